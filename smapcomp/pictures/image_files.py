"""Reading and writing of picture files.

A picture is read as 8-bit RGB or grey samples with or without alpha, and turned upright by its EXIF
orientation. A loss of precision is reported in one line on the logger "smapcomp", or the file is
refused. Colour profiles are kept or left out; only those of CMYK pictures are applied. A file that
is written appears whole or not at all.
"""

import contextlib
import logging
import os
import secrets
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from smapcomp.design import DEFAULT_MAX_PIXELS
from smapcomp.errors import SmapcompError, one_line
from smapcomp.pictures.colour import settle_colours
from smapcomp.pictures.colour_tags import declared_space
from smapcomp.pictures.deep_samples import read_deep_samples
from smapcomp.pictures.formats import FORMATS, encode
from smapcomp.pictures.metadata import apply_orientation, read_metadata, reset_orientation
from smapcomp.pictures.modes import samples_and_alpha
from smapcomp.pictures.opening import open_image, pillow_limit_lifted
from smapcomp.pictures.picture import Picture

_log = logging.getLogger("smapcomp")

# Bytes of a file's name that its temporary name repeats. File systems allow names of 255 bytes.
_KEPT_BYTES = 200

OUTPUT_EXTENSIONS = tuple(FORMATS)
"""Extensions of the picture files that can be written."""

ALPHA_EXTENSIONS = tuple(suffix for suffix, entry in FORMATS.items() if entry.alpha)
"""Those of them whose formats store alpha."""


class ImageFileError(SmapcompError):
    """The file cannot be read or written, or is not a picture of a supported kind."""


def read_picture(
    path: str | os.PathLike,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    keep_metadata: bool = False,
    to_srgb: bool = False,
) -> Picture:
    """Read a picture of any format that Pillow knows.

    Grey and bilevel pictures become grey, and RGB stays RGB. Alpha is kept, be it a channel, part
    of a palette or one transparent colour. The following are reported by a warning: palettes become
    RGB or grey, CMYK, YCbCr and Lab become RGB, deeper samples are rounded to 8 bits, and of
    several frames the first one is read.

    Args:
        path: Path of the file.
        max_pixels: Largest picture to accept, width times height.
        keep_metadata: Whether to keep colour profile, EXIF and XMP. Their orientation becomes 1,
            since the samples are upright.
        to_srgb: Whether to convert the samples to sRGB by the colour profile of the file, with
            relative colorimetric intent and black point compensation. No profile is kept then.
            What a PNG (cICP, gAMA, cHRM) or an AVIF says of its colours counts as a profile.

    Raises:
        ImageFileError: The file does not exist, is damaged or not a picture; the picture is larger
            than `max_pixels`; or its samples have no 8-bit meaning (floats, 32-bit integers).
    """
    with pillow_limit_lifted, warnings.catch_warnings():
        # Pillow warns of bad metadata and of other things that do not matter here.
        warnings.simplefilter("ignore")
        return _read(path, max_pixels, keep_metadata, to_srgb)


def read_file(path: str | os.PathLike, max_bytes: int) -> bytes:
    """Read a whole file.

    Args:
        path: Path of the file.
        max_bytes: Longest file to accept.

    Raises:
        ImageFileError: The file does not exist or is longer than `max_bytes`.
    """
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
    """Check that a file can be written, before the work that produces it.

    Args:
        path: Path of the file.
        overwrite: Whether an existing file may be replaced.
        image: Whether the file is a picture, so that its extension must be in `OUTPUT_EXTENSIONS`.
        alpha: Whether the picture has transparent pixels, which only `ALPHA_EXTENSIONS` can store.

    Raises:
        ImageFileError: The extension is unknown or cannot store alpha, the file exists, or the
            place cannot be written.
    """
    target = Path(path)
    if image:
        check_format(target.suffix, path, alpha=alpha)
    try:
        # pathlib would drop a slash at the end.
        mode = os.stat(path).st_mode
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
    elif os.path.basename(path) in ("", ".", ".."):
        name = os.fspath(path) or "''"
        raise ImageFileError(f"{name}: the name of a folder, and there is no such folder")
    folder = target.resolve().parent
    if not folder.is_dir():
        raise ImageFileError(f"{path}: there is no directory {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageFileError(f"{path}: no permission to write in {folder}")


def check_format(extension: str, name: object, *, alpha: bool) -> None:
    """Check that pictures of an extension can be written.

    Args:
        extension: The extension with its dot, in letters of either case.
        name: Name of the output, for the error.
        alpha: Whether the picture has transparent pixels, which only `ALPHA_EXTENSIONS` can store.

    Raises:
        ImageFileError: The extension is unknown or cannot store alpha.
    """
    entry = FORMATS.get(extension.lower())
    if entry is None:
        raise ImageFileError(
            f"{name}: unknown extension {extension!r}; known are {', '.join(FORMATS)}"
        )
    if alpha and not entry.alpha:
        raise ImageFileError(
            f"{name}: {entry.name} cannot hold the picture's transparent pixels; "
            f"these can: {', '.join(ALPHA_EXTENSIONS)}"
        )


def write_picture(path: str | os.PathLike, picture: Picture, overwrite: bool = False) -> None:
    """Write a picture in the format of the path's extension.

    PNG, TIFF, BMP, PPM/PGM, WebP and JPEG 2000 keep every sample; JPEG and AVIF are slightly lossy.
    Metadata that the format cannot store are left out with a warning.

    Args:
        path: Path of the file, with an extension of `OUTPUT_EXTENSIONS`.
        picture: The picture.
        overwrite: Whether an existing file may be replaced.

    Raises:
        ImageFileError: The path cannot be written, the format cannot store the picture or its
            alpha, or the disk is full. No part of the file is left behind.
    """
    has_alpha = picture.alpha is not None
    check_output(path, overwrite=overwrite, image=True, alpha=has_alpha)
    write_file(path, encode_picture(picture, Path(path).suffix, path), overwrite=overwrite)


def encode_picture(picture: Picture, extension: str, name: object) -> memoryview:
    """Return the bytes of a picture's file.

    Args:
        picture: The picture.
        extension: One of `OUTPUT_EXTENSIONS`, in letters of either case.
        name: Name of the output, for errors and warnings.

    Raises:
        ImageFileError: The format is unknown or cannot store the picture or its alpha.
    """
    check_format(extension, name, alpha=picture.alpha is not None)
    entry = FORMATS[extension.lower()]
    try:
        return encode(picture, entry, name).getbuffer()
    except MemoryError:
        raise
    except Exception as error:
        raise ImageFileError(f"{name}: {entry.name}: {one_line(error)}") from error


def write_image(path: str | os.PathLike, image: np.ndarray, *, overwrite: bool = False) -> None:
    """Write an array that `Picture.from_array` takes; all else is as in `write_picture`."""
    write_picture(path, Picture.from_array(image), overwrite)


def write_file(
    path: str | os.PathLike, data: bytes | memoryview, *, overwrite: bool = False
) -> None:
    """Write a file under a temporary name in the same folder, then rename it.

    Args:
        path: Path of the file.
        data: Content of the file.
        overwrite: Whether an existing file may be replaced.

    Raises:
        ImageFileError: The path cannot be written or the disk is full. No part of the file is left
            behind.
    """
    check_output(path, overwrite=overwrite)
    # A link is followed, so that its target is replaced and not the link itself.
    target = Path(path).resolve()
    kept = cut_name(target.name, _KEPT_BYTES)
    temporary = target.with_name(f".{kept}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ImageFileError(f"{path}: {error.strerror or one_line(error)}") from error


def cut_name(name: str, max_bytes: int) -> str:
    """Return as many whole characters of a file's name as have so many bytes in the file system."""
    while len(os.fsencode(name)) > max_bytes:
        name = name[:-1]
    return name


def _read(path: str | os.PathLike, max_pixels: int, keep_metadata: bool, to_srgb: bool) -> Picture:
    with contextlib.ExitStack() as stack:
        image = _open(stack, path)
        if image.width * image.height > max_pixels:
            raise ImageFileError(
                f"{path}: {image.width}x{image.height} pixels; up to {max_pixels} are allowed"
            )
        is_tiff = image.format == "TIFF"
        try:
            frames = getattr(image, "n_frames", 1)
            tiff_metadata = read_metadata(image, path) if is_tiff else None
            mode, samples, alpha = _samples(image, path)
            metadata = tiff_metadata or read_metadata(image, path)
            declared = declared_space(image.info, image.format or "file")
        except SmapcompError as error:
            raise ImageFileError(f"{path}: {error}") from error
        except MemoryError:
            raise
        except Exception as error:
            # Pillow may raise almost any exception on damaged data.
            raise ImageFileError(f"{path}: truncated or damaged ({one_line(error)})") from error
    # Pillow's copy is freed before a turned copy is made.
    del image, stack
    if frames > 1:
        _log.warning("%s: only the first of %d frames is read", path, frames)
    samples, metadata = settle_colours(
        samples,
        mode,
        metadata,
        declared,
        keep_metadata=keep_metadata,
        to_srgb=to_srgb,
        name=path,
    )
    samples = apply_orientation(samples, metadata.orientation)
    if alpha is not None:
        alpha = apply_orientation(alpha, metadata.orientation)
    if not keep_metadata:
        return Picture(samples, alpha)
    metadata = reset_orientation(metadata)
    return Picture(samples, alpha, metadata.icc, metadata.exif, metadata.xmp)


def _samples(
    image: ImageFile.ImageFile, path: str | os.PathLike
) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Return mode in the file, samples, and alpha."""
    deep = read_deep_samples(image, path)
    if deep is None:
        mode = image.mode
        return mode, *samples_and_alpha(image, path)
    mode, array = deep
    if image.format == "PNG":
        # Loading reads metadata after the samples and finds damage that libpng accepts.
        image.load()
    if mode == "CMYK":
        ink = Image.fromarray(array, mode)
        ink.info = image.info
        return mode, *samples_and_alpha(ink, path)
    if mode in ("LA", "RGBA"):
        return mode, np.ascontiguousarray(array[:, :, :-1]), array[:, :, -1].copy()
    return mode, array, None


def _open(stack: contextlib.ExitStack, path: str | os.PathLike) -> ImageFile.ImageFile:
    """Open a picture until the end of a context; memory for the pixels is not allocated yet."""
    try:
        return open_image(stack, path)
    except UnidentifiedImageError as error:
        raise ImageFileError(f"{path}: not a picture of a known format") from error
    except MemoryError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or f"damaged ({one_line(error)})"
        raise ImageFileError(f"{path}: {reason}") from error
