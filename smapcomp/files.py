"""Compression and decompression of files, as the command line and the bulk job do it."""

from typing import Any

from smapcomp import metrics
from smapcomp.codec import api
from smapcomp.codec.bitstream.container import unpack
from smapcomp.codec.options import DecodeOptions, make_options
from smapcomp.errors import DigestMismatchError
from smapcomp.pictures import image_files
from smapcomp.predictors.base import TiledPredictor

SUFFIX = ".smc"
"""Extension of a stream's file."""

# Any coder needs less for noise at the highest quality; a limit makes an endless input end.
_MAX_STREAM_BYTES_PER_PIXEL = 8
_MAX_STREAM_BYTES_EXTRA = 1 << 20


def read_stream(path: str, max_pixels: int) -> bytes:
    """Read the file of a stream.

    Args:
        path: The file.
        max_pixels: Largest picture in pixels; a file that no such picture needs is refused.

    Raises:
        ImageFileError: There is no such file, or it is too long.
    """
    limit = max_pixels * _MAX_STREAM_BYTES_PER_PIXEL + _MAX_STREAM_BYTES_EXTRA
    return image_files.read_file(path, limit)


def compress_file(
    source: str,
    target: str,
    *,
    overwrite: bool = False,
    keep_metadata: bool = False,
    predictor: TiledPredictor | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Compress a picture file to a stream file.

    Args:
        source: Picture of any format that Pillow reads.
        target: File of the stream; it appears whole or not at all.
        overwrite: Whether an existing target may be replaced.
        keep_metadata: Whether colour profile, EXIF and XMP are kept.
        predictor: As `smapcomp.compress` takes it.
        **options: Fields of `CompressOptions`.

    Returns:
        `width`, `height`, `bytes` and `bpp` (bits per pixel) of the stream.

    Raises:
        SmapcompError: The picture cannot be read or compressed, or the stream cannot be written.
    """
    image_files.check_output(target, overwrite=overwrite)
    max_pixels = options.get("max_pixels", DecodeOptions.max_pixels)
    picture = image_files.read_picture(source, max_pixels=max_pixels, keep_metadata=keep_metadata)
    data = api.compress(picture, predictor=predictor, **options)
    image_files.write_file(target, data, overwrite=overwrite)
    height, width, _ = picture.samples.shape
    bpp = metrics.bits_per_pixel(len(data), width, height)
    return {"width": width, "height": height, "bytes": len(data), "bpp": bpp}


def decompress_file(
    source: str,
    target: str,
    *,
    overwrite: bool = False,
    predictor: TiledPredictor | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Decompress a stream file to a picture file.

    Args:
        source: File of the stream.
        target: File of the picture, whose extension selects the format; it appears whole or not at
            all.
        overwrite: Whether an existing target may be replaced.
        predictor: As `smapcomp.decode` takes it. A stream whose digests it does not reproduce is
            decoded by this process.
        **options: Fields of `DecodeOptions`.

    Returns:
        `width` and `height`.

    Raises:
        SmapcompError: The stream cannot be read or decompressed, or the picture cannot be written.
    """
    checked = make_options(DecodeOptions, options)
    image_files.check_output(target, overwrite=overwrite, image=True)
    data = read_stream(source, checked.max_pixels)
    # A bad stream is found before the networks are loaded, which takes seconds.
    stream = unpack(data, checked.max_pixels, checked.allow_partial)
    alpha = stream.layer("alpha") is not None
    image_files.check_output(target, overwrite=overwrite, image=True, alpha=alpha)
    try:
        picture = api.decode(data, predictor=predictor, **options)
    except DigestMismatchError:
        if predictor is None:
            raise
        # The encoder's arithmetic was not the server's; it may be that of this machine.
        picture = api.decode(data, **options)
    image_files.write_picture(target, picture, overwrite=overwrite)
    height, width, _ = picture.samples.shape
    return {"width": width, "height": height}
