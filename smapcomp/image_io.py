"""Pictures in and files out.

What is read becomes 8-bit RGB or grey samples, turned upright by the EXIF orientation; what cannot
be held that way exactly is said in one line on the logger "smapcomp", or refused. Colour profiles
are not applied: the samples are taken as they are. What is written appears under its name whole or
not at all.
"""

import io
import logging
import os
import secrets
import stat
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from smapcomp.codec.stream import DEFAULT_MAX_PIXELS
from smapcomp.errors import SmapcompError

_log = logging.getLogger("smapcomp")

# Without loss where the format allows it; what remains lossy is close to it and keeps full chroma.
_FORMATS = {
    ".avif": ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
    ".bmp": ("BMP", {}),
    ".jp2": ("JPEG2000", {"irreversible": False}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".pgm": ("PPM", {}),
    ".png": ("PNG", {}),
    ".ppm": ("PPM", {}),
    ".tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".webp": ("WEBP", {"lossless": True}),
}
OUTPUT_EXTENSIONS = tuple(_FORMATS)

# What Pillow's readers raise on damaged data.
_READ_ERRORS = (
    OSError,
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


def read_image(path: str | os.PathLike, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Reads a picture of any format that Pillow knows.

    Palette pictures become RGB. 16-bit samples are reduced to 8 bit, CMYK, YCbCr and Lab become
    RGB, and of several frames the first is taken, each with a notice. An alpha channel is dropped
    if it is opaque everywhere and an error otherwise, since the stream could not carry it.

    Args:
      path: the file.
      max_pixels: the largest picture to accept, width times height.

    Returns:
      uint8 [H, W, 3] (RGB) or [H, W, 1] (grey).

    Raises:
      ImageFileError: if there is no such file, it is no picture, it is damaged, larger than
        `max_pixels`, transparent, or of samples without an 8-bit meaning (floats, 32-bit integers).
    """
    with warnings.catch_warnings():
        # Pillow warns of its own limit on pixels, which `max_pixels` replaces, and of bad metadata.
        warnings.simplefilter("ignore")
        return _read_image(path, max_pixels)


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


def check_output(path: str | os.PathLike, *, overwrite: bool, image: bool = False) -> None:
    """Finds out, before any work is done, whether `path` may be written.

    Args:
      path: the file to write.
      overwrite: whether a file of that name may be replaced.
      image: whether it is to be a picture, so that its extension must be in `OUTPUT_EXTENSIONS`.

    Raises:
      ImageFileError: if not.
    """
    target = Path(path)
    if image and target.suffix.lower() not in _FORMATS:
        raise ImageFileError(
            f"{path}: unknown extension {target.suffix!r}; known are {', '.join(_FORMATS)}"
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


def write_image(path: str | os.PathLike, image: np.ndarray, *, overwrite: bool = False) -> None:
    """Writes a picture in the format of the path's extension.

    PNG, TIFF, BMP, PPM/PGM, WebP and JPEG 2000 keep every sample; JPEG and AVIF lose a little.

    Args:
      path: where to; the extension is one of `OUTPUT_EXTENSIONS`.
      image: uint8 [H, W, 3] or [H, W, 1].
      overwrite: whether a file of that name may be replaced.

    Raises:
      ImageFileError: if the path may not be written or the format cannot hold the picture.
      ValueError: if `image` is no such array.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(f"got {image.dtype} {image.shape}; uint8 [H, W, 3] or [H, W, 1] is needed")
    check_output(path, overwrite=overwrite, image=True)
    file_format, options = _FORMATS[Path(path).suffix.lower()]
    encoded = io.BytesIO()
    try:
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(
            encoded, file_format, **options
        )
    except (OSError, ValueError, KeyError) as error:
        raise ImageFileError(f"{path}: {file_format}: {_one_line(error)}") from error
    write_file(path, encoded.getvalue(), overwrite=overwrite)


def write_file(path: str | os.PathLike, data: bytes, *, overwrite: bool = False) -> None:
    """Writes a file under a temporary name beside its place and renames it.

    Raises:
      ImageFileError: if the path may not be written or the disk is full; no part of the file is
        left behind then.
    """
    check_output(path, overwrite=overwrite)
    # A link is followed, so that what it points at is replaced and not the link.
    target = Path(path).resolve()
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ImageFileError(f"{path}: {error.strerror}") from error


def _read_image(path: str | os.PathLike, max_pixels: int) -> np.ndarray:
    with _open(path) as picture:
        if picture.width * picture.height > max_pixels:
            raise ImageFileError(
                f"{path}: {picture.width}x{picture.height} pixels; up to {max_pixels} are allowed"
            )
        deep = _is_deep(picture)
        try:
            frames = getattr(picture, "n_frames", 1)
            picture.load()
            picture = ImageOps.exif_transpose(picture)
        except _READ_ERRORS as error:
            raise ImageFileError(f"{path}: truncated or damaged ({_one_line(error)})") from error
        if frames > 1:
            _log.warning("%s: only the first of %d frames is taken", path, frames)
        if deep:
            _log.warning("%s: 16 bits a sample become 8", path)
        return _samples(picture, path)


def _open(path: str | os.PathLike) -> Image.Image:
    """Opens a picture; nothing of its size is allocated yet."""
    try:
        return Image.open(path)
    except UnidentifiedImageError as error:
        raise ImageFileError(f"{path}: not a picture of a known format") from error
    except Image.DecompressionBombError as error:
        raise ImageFileError(f"{path}: {_one_line(error)}") from error
    except _READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or f"damaged ({_one_line(error)})"
        raise ImageFileError(f"{path}: {reason}") from error


def _is_deep(picture: Image.Image) -> bool:
    """Whether Pillow will cut the samples to 8 bit while reading, as far as it shows before."""
    return any(
        ";16" in str(tile.args) or (tile.codec_name == "ppm" and tile.args[1] > 255)
        for tile in picture.tile
    )


def _samples(picture: Image.Image, path: str | os.PathLike) -> np.ndarray:
    """Samples of a loaded picture, uint8 [H, W, 3] or [H, W, 1]."""
    mode = picture.mode
    if mode.startswith("I;16"):
        wide = np.asarray(picture).astype(np.uint32)
        if np.any(wide == picture.info.get("transparency", -1)):
            raise _transparent(path)
        samples = np.round(wide / 257).astype(np.uint8)
    elif mode in ("1", "L", "LA", "La"):
        samples = np.array(_opaque(picture, "LA", path).convert("L"))
    elif mode in ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX"):
        samples = np.array(_opaque(picture, "RGBA", path).convert("RGB"))
    elif mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        _log.warning("%s: %s becomes RGB, without its colour profile", path, mode)
        samples = np.array(picture.convert("RGB"))
    else:
        raise ImageFileError(f"{path}: samples of kind {mode!r} cannot become 8 bit")
    return samples[:, :, None] if samples.ndim == 2 else samples


def _opaque(picture: Image.Image, alpha_mode: str, path: str | os.PathLike) -> Image.Image:
    """Returns the picture if no pixel is transparent, by a channel, the palette or a key colour."""
    if picture.has_transparency_data:
        picture = picture.convert(alpha_mode)
        if picture.getchannel("A").getextrema()[0] < 255:
            raise _transparent(path)
    return picture


def _transparent(path: str | os.PathLike) -> ImageFileError:
    return ImageFileError(
        f"{path}: has transparent pixels, which a stream cannot carry; "
        "flatten it onto a background first"
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
