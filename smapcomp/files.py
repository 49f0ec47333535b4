"""Compression and decompression of files, as the command line and the bulk job do it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from smapcomp import metrics
from smapcomp.codec import api
from smapcomp.codec.bitstream.container import unpack
from smapcomp.codec.options import DecodeOptions, make_options
from smapcomp.codec.stream_input import file_name, read_pieces, stream_bytes
from smapcomp.design import DEFAULT_MAX_PIXELS
from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files
from smapcomp.predictors.base import TiledPredictor

SUFFIX = ".smc"
"""Extension of a stream's file."""

BinarySource = str | os.PathLike | BinaryIO
"""What is read: the path of a file, or a binary file that is open."""

BinaryTarget = str | os.PathLike | BinaryIO
"""What is written: the path of a file, or a binary file that is open for writing."""

# A picture file without compression has up to 8 bytes a pixel. The rest is for its metadata.
_MAX_PICTURE_BYTES_PER_PIXEL = 8
_MAX_PICTURE_BYTES_EXTRA = 1 << 26


def read_stream(source: BinarySource, max_pixels: int) -> bytes:
    """Read a stream from a file.

    Args:
        source: The file.
        max_pixels: Largest picture in pixels; a file that no such picture needs is refused.

    Raises:
        ImageFileError: There is no such file, or it is too long.
    """
    return stream_bytes(Path(source) if isinstance(source, str) else source, max_pixels)


@contextmanager
def picture_file(
    source: BinarySource, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Iterator[str | os.PathLike]:
    """Yield a path from which `image_files.read_picture` can read.

    An open file and a named pipe are copied to a temporary file, since readers of pictures must
    move about in it.

    Args:
        source: The file.
        max_pixels: Largest picture in pixels; an open file that no such picture needs is refused.

    Raises:
        SmapcompError: The file cannot be read, or is too long.
    """
    if isinstance(source, (str, os.PathLike)):
        if Path(source).is_fifo():
            with open(source, "rb") as pipe, picture_file(pipe, max_pixels) as path:
                yield path
        else:
            yield source
        return
    limit = max_pixels * _MAX_PICTURE_BYTES_PER_PIXEL + _MAX_PICTURE_BYTES_EXTRA
    with tempfile.NamedTemporaryFile(prefix="smapcomp_") as copy:
        for piece in read_pieces(source, limit, f"a picture of {max_pixels} pixels"):
            copy.write(piece)
        copy.flush()
        yield _NamedCopy(copy.name, file_name(source))


class _NamedCopy(os.PathLike):
    """Path of a copy, which messages call by the name of the original."""

    def __init__(self, path: str, name: str):
        self._path, self._name = path, name

    def __fspath__(self) -> str:
        return self._path

    def __str__(self) -> str:
        return self._name


def _write(target: BinaryTarget, data: bytes | memoryview, *, overwrite: bool) -> None:
    if isinstance(target, (str, os.PathLike)):
        image_files.write_file(target, data, overwrite=overwrite)
        return
    # An unbuffered file may take less than it is offered.
    left = memoryview(data)
    try:
        while len(left):
            left = left[target.write(left) :]
        target.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SmapcompError(f"{file_name(target)}: {error.strerror or error}") from error


def compress_file(
    source: BinarySource,
    target: BinaryTarget,
    *,
    overwrite: bool = False,
    keep_metadata: bool = False,
    to_srgb: bool = False,
    predictor: TiledPredictor | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Compress a picture file to a stream file.

    Args:
        source: Picture of any format that Pillow reads: a path, or a binary file.
        target: File of the stream: a path, whose file appears whole or not at all, or a binary file
            that is open for writing.
        overwrite: Whether an existing target may be replaced.
        keep_metadata: Whether colour profile, EXIF and XMP are kept.
        to_srgb: Whether the samples are converted to sRGB by the colour profile of the picture.
        predictor: As `smapcomp.compress` takes it.
        **options: Fields of `CompressOptions`.

    Returns:
        `width`, `height`, `bytes` and `bpp` (bits per pixel) of the stream.

    Raises:
        SmapcompError: The picture cannot be read or compressed, or the stream cannot be written.
    """
    if isinstance(target, (str, os.PathLike)):
        image_files.check_output(target, overwrite=overwrite)
    max_pixels = options.get("max_pixels", DecodeOptions.max_pixels)
    with picture_file(source, max_pixels) as path:
        picture = image_files.read_picture(path, max_pixels, keep_metadata, to_srgb)
    data = api.compress(picture, predictor=predictor, **options)
    _write(target, data, overwrite=overwrite)
    height, width, _ = picture.samples.shape
    bpp = metrics.bits_per_pixel(len(data), width, height)
    return {"width": width, "height": height, "bytes": len(data), "bpp": bpp}


def decompress_file(
    source: BinarySource,
    target: BinaryTarget,
    *,
    overwrite: bool = False,
    file_format: str = "png",
    predictor: TiledPredictor | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Decompress a stream file to a picture file.

    Args:
        source: File of the stream: a path, or a binary file.
        target: File of the picture: a path, whose extension selects the format and whose file
            appears whole or not at all, or a binary file that is open for writing.
        overwrite: Whether an existing target may be replaced.
        file_format: Format of the picture in a target without a path: one of
            `image_files.OUTPUT_EXTENSIONS` without its dot.
        predictor: As `smapcomp.decode` takes it.
        **options: Fields of `DecodeOptions`.

    Returns:
        `width` and `height`.

    Raises:
        SmapcompError: The stream cannot be read or decompressed, or the picture cannot be written.
    """
    checked = make_options(DecodeOptions, options)
    if isinstance(target, (str, os.PathLike)):
        extension, name = Path(target).suffix, target
        image_files.check_output(target, overwrite=overwrite, image=True)
    else:
        extension, name = f".{file_format}", file_name(target)
        image_files.check_format(extension, name, alpha=False)
    data = read_stream(source, checked.max_pixels)
    # A bad stream is found before the networks are loaded, which takes seconds.
    stream = unpack(data, checked.max_pixels, checked.allow_partial)
    image_files.check_format(extension, name, alpha=stream.layer("alpha") is not None)
    picture = api.decode(data, predictor=predictor, **options)
    _write(target, image_files.encode_picture(picture, extension, name), overwrite=overwrite)
    height, width, _ = picture.samples.shape
    return {"width": width, "height": height}
