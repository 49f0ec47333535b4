"""Opening of picture files by Pillow, without faults that its readers have with metadata."""

import contextlib
import io
import logging
import os
import threading

from PIL import Image, ImageFile, JpegImagePlugin, UnidentifiedImageError

from smapcomp.pictures.avif_boxes import read_avif_facts
from smapcomp.pictures.colour_tags import CICP
from smapcomp.pictures.png_chunks import PNG_SIGNATURE, PngChunks

_log = logging.getLogger("smapcomp")

_JPEG_SIGNATURE = b"\xff\xd8\xff"


def open_image(stack: contextlib.ExitStack, path: str | os.PathLike) -> ImageFile.ImageFile:
    """Open a picture; memory for the pixels is not allocated yet.

    A TIFF file is not turned upright when it is loaded. `info` has `CICP` if an AVIF file has such
    numbers. A warning on the logger "smapcomp" tells of metadata that are too long or damaged, and
    of an AVIF file of more than 8 bits.

    Args:
        stack: Context at whose end the file is closed.
        path: Path of the file.

    Raises:
        UnidentifiedImageError: The file is no picture that Pillow knows.
        Exception: The file does not exist or is damaged.
    """
    file = stack.enter_context(open(path, "rb"))  # noqa: SIM115 (the stack closes it)
    head = file.read(len(PNG_SIGNATURE))
    if head == PNG_SIGNATURE:
        chunks = PngChunks(file)
        image = stack.enter_context(Image.open(io.BufferedReader(chunks)))
        image.info.update(chunks.info)
        for fault, names in (("too long", chunks.too_long), ("damaged", chunks.damaged)):
            if names:
                text = ", ".join(names)
                _log.warning("%s: metadata that are %s are left out: %s", path, fault, text)
    else:
        image = stack.enter_context(_open_by_pillow(path, head))
    if image.format == "AVIF":
        bits, numbers = read_avif_facts(file)
        if numbers is not None:
            image.info[CICP] = numbers
        if bits > 8:
            _log.warning("%s: %d-bit samples are rounded to 8 bits", path, bits)
    if image.format == "TIFF":
        _keep_from_turning(image)
    # If Pillow knows the file's name, it maps the file into memory, and the process ends if the
    # file gets shorter meanwhile.
    image.filename = ""
    return image


def _keep_from_turning(image: ImageFile.ImageFile) -> None:
    """Keep Pillow from turning a TIFF file when it loads it.

    Pillow then parses EXIF and refuses the picture if it is unusual, and it does not find each
    orientation that `read_metadata` finds.
    """
    image.load_end = lambda: None  # type: ignore[method-assign]
    image._size = getattr(image, "_tile_size", image.size)


class _JpegImageFile(JpegImagePlugin.JpegImageFile):
    """JPEG file whose EXIF is not parsed for the resolution, on which Pillow may fail."""

    def _read_dpi_from_exif(self) -> None:
        pass


def _open_by_pillow(path: str | os.PathLike, head: bytes) -> ImageFile.ImageFile:
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        if head.startswith(_JPEG_SIGNATURE):
            with contextlib.suppress(SyntaxError):
                return _JpegImageFile(path)
        raise


class _PillowLimit:
    """Context in which Pillow's own limit on pixels, which `max_pixels` replaces, is off.

    The limit is global, so it is restored when the last of several threads leaves the context.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._limit: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._readers:
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                Image.MAX_IMAGE_PIXELS = self._limit


pillow_limit_lifted = _PillowLimit()
"""Context for `open_image` and for loading, whose callers limit the pixels themselves."""
