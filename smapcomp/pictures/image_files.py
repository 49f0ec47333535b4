"""Pictures in and files out.

What is read becomes 8-bit RGB or grey samples with or without alpha, turned upright by the EXIF
orientation; what cannot be held exactly is said in one line on the logger "smapcomp", or refused.
Colour profiles are not applied, except to CMYK: they are kept or left out. What is written appears
under its name whole or not at all.
"""

import logging
import os
import secrets
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from smapcomp.design import DEFAULT_MAX_PIXELS
from smapcomp.errors import SmapcompError
from smapcomp.pictures import metadata as pillow_metadata
from smapcomp.pictures import modes as pillow_modes
from smapcomp.pictures.deep_samples import read_deep
from smapcomp.pictures.formats import FORMATS, save_options
from smapcomp.pictures.picture import Picture

_log = logging.getLogger("smapcomp")

OUTPUT_EXTENSIONS = tuple(FORMATS)
ALPHA_EXTENSIONS = tuple(suffix for suffix, entry in FORMATS.items() if entry.alpha)

# What Pillow's readers raise on damaged data.
_READ_ERRORS = (
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    TypeError,
    struct.error,
    zlib.error,
)


class ImageFileError(SmapcompError):
    """A file that cannot be read or written, or holds no picture of a kind that is supported."""


def read_picture(
    path: str | os.PathLike, max_pixels: int = DEFAULT_MAX_PIXELS, keep_metadata: bool = False
) -> Picture:
    """Reads a picture of any format that Pillow knows.

    Grey and bilevel pictures become grey, RGB stays RGB, alpha is kept, whether it is a channel, in
    a palette or one transparent colour. With a notice, palettes become RGB or grey, CMYK, YCbCr and
    Lab become RGB, deeper samples are rounded to 8 bit, and of several frames the first is taken.

    Args:
      path: the file.
      max_pixels: the largest picture to accept, width times height.
      keep_metadata: whether to take colour profile, EXIF and XMP along. Their orientation becomes
        1, since the samples are upright.

    Raises:
      ImageFileError: if there is no such file, it is no picture, it is damaged, larger than
        `max_pixels`, or of samples without an 8-bit meaning (floats, 32-bit integers).
    """
    with _pillow_limit_lifted, warnings.catch_warnings():
        # Pillow warns of bad metadata and of much else that does not matter here.
        warnings.simplefilter("ignore")
        return _read(path, max_pixels, keep_metadata)


def read_image(path: str | os.PathLike, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Reads the samples of a picture that has no transparent pixels, uint8 [H, W, 1 or 3].

    For measuring and training, where alpha has no meaning; else as `read_picture`.

    Raises:
      ImageFileError: as `read_picture`, and if a pixel is transparent.
    """
    picture = read_picture(path, max_pixels)
    if picture.alpha is not None:
        raise ImageFileError(f"{path}: has transparent pixels; flatten it onto a background first")
    return picture.samples


def read_file(path: str | os.PathLike, max_bytes: int) -> bytes:
    """Reads a whole file, or raises `ImageFileError` if it is longer than `max_bytes`."""
    try:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ImageFileError(f"{path}: {error.strerror}") from error
    if len(data) > max_bytes:
        raise ImageFileError(f"{path}: longer than {max_bytes} bytes, which no stream is")
    return data


def check_output(
    path: str | os.PathLike, *, overwrite: bool, image: bool = False, alpha: bool = False
) -> None:
    """Finds out, before any work is done, whether `path` may be written.

    Args:
      path: the file to write.
      overwrite: whether a file of that name may be replaced.
      image: whether it is to be a picture, so that its extension must be in `OUTPUT_EXTENSIONS`.
      alpha: whether the picture has transparent pixels, which only `ALPHA_EXTENSIONS` can hold.

    Raises:
      ImageFileError: if not.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if image and suffix not in FORMATS:
        raise ImageFileError(
            f"{path}: unknown extension {target.suffix!r}; known are {', '.join(FORMATS)}"
        )
    if image and alpha and suffix not in ALPHA_EXTENSIONS:
        raise ImageFileError(
            f"{path}: {FORMATS[suffix].name} cannot hold the picture's transparent pixels; "
            f"these can: {', '.join(ALPHA_EXTENSIONS)}"
        )
    try:
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = None
    except OSError as error:
        raise ImageFileError(f"{path}: {error.strerror}") from error
    if mode is not None:
        if stat.S_ISDIR(mode):
            raise ImageFileError(f"{path}: is a directory")
        if not stat.S_ISREG(mode):
            raise ImageFileError(f"{path}: is not a regular file")
        if not overwrite:
            raise ImageFileError(f"{path}: exists; --overwrite replaces it")
    folder = target.resolve().parent
    if not folder.is_dir():
        raise ImageFileError(f"{path}: there is no directory {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageFileError(f"{path}: no permission to write in {folder}")


def write_picture(path: str | os.PathLike, picture: Picture, overwrite: bool = False) -> None:
    """Writes a picture in the format of the path's extension.

    PNG, TIFF, BMP, PPM/PGM, WebP and JPEG 2000 keep every sample; JPEG and AVIF lose a little.
    Metadata that the format cannot hold are left out with a notice.

    Args:
      path: where to; the extension is one of `OUTPUT_EXTENSIONS`.
      picture: the picture.
      overwrite: whether a file of that name may be replaced.

    Raises:
      ImageFileError: if the path may not be written, the format cannot hold the picture or its
        alpha, or the disk is full; no part of the file is left behind then.
    """
    has_alpha = picture.alpha is not None
    check_output(path, overwrite=overwrite, image=True, alpha=has_alpha)
    entry = FORMATS[Path(path).suffix.lower()]
    # The options come first: they tell whether the metadata fit, before there is a file.
    options = save_options(picture, entry, path)
    image = replace(picture, icc=None, exif=None, xmp=None).to_image()
    with _written(path, overwrite) as file:
        try:
            image.save(file, entry.name, **options)
        except (OSError, ValueError, KeyError, struct.error) as error:
            raise ImageFileError(f"{path}: {entry.name}: {_one_line(error)}") from error


def write_image(path: str | os.PathLike, image: np.ndarray, *, overwrite: bool = False) -> None:
    """Writes uint8 [H, W, 1 to 4], as `Picture.from_array` takes it; else as `write_picture`."""
    write_picture(path, Picture.from_array(image), overwrite)


def write_file(path: str | os.PathLike, data: bytes, *, overwrite: bool = False) -> None:
    """Writes a file under a temporary name beside its place and renames it.

    Raises:
      ImageFileError: if the path may not be written or the disk is full; no part of the file is
        left behind then.
    """
    with _written(path, overwrite) as file:
        file.write(data)


@contextmanager
def _written(path: str | os.PathLike, overwrite: bool) -> Iterator[BinaryIO]:
    """A file to write to that takes its name when the block ends and is removed if it fails."""
    check_output(path, overwrite=overwrite)
    # A link is followed, so that what it points at is replaced and not the link.
    target = Path(path).resolve()
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            # Readable too: Pillow's TIFF writer reads back what it wrote.
            with open(temporary, "x+b") as file:
                yield file
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ImageFileError(f"{path}: {error.strerror or _one_line(error)}") from error


def _read(path: str | os.PathLike, max_pixels: int, keep_metadata: bool) -> Picture:
    with _open(path) as image:
        if image.width * image.height > max_pixels:
            raise ImageFileError(
                f"{path}: {image.width}x{image.height} pixels; up to {max_pixels} are allowed"
            )
        # Pillow maps a file whose name it knows into memory, and then turns TIFF wrongly.
        image.filename = ""
        is_tiff = image.format == "TIFF"
        try:
            frames = getattr(image, "n_frames", 1)
            before = pillow_metadata.metadata_of(image, path) if is_tiff else None
            mode, samples, alpha, turned = _samples(image, path)
            metadata = before or pillow_metadata.metadata_of(image, path)
        except SmapcompError as error:
            raise ImageFileError(f"{path}: {error}") from error
        except _READ_ERRORS as error:
            raise ImageFileError(f"{path}: truncated or damaged ({_one_line(error)})") from error
    # Pillow's copy goes before there is a turned one.
    del image
    if frames > 1:
        _log.warning("%s: only the first of %d frames is taken", path, frames)
    icc = pillow_metadata.usable_icc(metadata.icc, mode, samples.shape[2], keep_metadata, path)
    if not turned:
        samples = pillow_metadata.turned_upright(samples, metadata.orientation)
        if alpha is not None:
            alpha = pillow_metadata.turned_upright(alpha, metadata.orientation)
    if not keep_metadata:
        return Picture(samples, alpha)
    metadata = pillow_metadata.upright(metadata)
    return Picture(samples, alpha, icc, metadata.exif, metadata.xmp)


def _samples(
    image: Image.Image, path: str | os.PathLike
) -> tuple[str, np.ndarray, np.ndarray | None, bool]:
    """Mode in the file, samples, alpha, and whether Pillow has turned them upright already."""
    deep = read_deep(image, path)
    if deep is None:
        mode = image.mode
        # Of all readers Pillow's for TIFF applies the orientation by itself.
        return mode, *pillow_modes.samples_and_alpha(image, path), image.format == "TIFF"
    mode, array = deep
    if image.format == "PNG":
        # For the metadata that follow the samples, and for damage that libpng lets pass.
        image.load()
    if mode == "CMYK":
        ink = Image.fromarray(array, mode)
        ink.info = image.info
        return mode, *pillow_modes.samples_and_alpha(ink, path), False
    if mode in ("LA", "RGBA"):
        return mode, np.ascontiguousarray(array[:, :, :-1]), array[:, :, -1].copy(), False
    return mode, array, None, False


def _open(path: str | os.PathLike) -> Image.Image:
    """Opens a picture; nothing of its size is allocated yet."""
    try:
        return Image.open(path)
    except UnidentifiedImageError as error:
        raise ImageFileError(f"{path}: not a picture of a known format") from error
    except _READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or f"damaged ({_one_line(error)})"
        raise ImageFileError(f"{path}: {reason}") from error


class _PillowLimit:
    """Lifts Pillow's own limit on pixels, which `max_pixels` replaces, while pictures are read.

    It belongs to the whole process, so that it comes back when the last of several threads is done.
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


_pillow_limit_lifted = _PillowLimit()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
