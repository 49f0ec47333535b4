"""Reading of samples of more than 8 bits that Pillow would truncate or damage.

Pillow reads 16-bit grey as it is. It truncates samples of several channels in PNG and TIFF, in JPEG
2000 it turns white into black, and PPM it reads pixel by pixel in Python. imagecodecs and NumPy
read these files here, and the samples are rounded to 8 bits. Pillow reads all other files.
"""

import io
import logging
import mmap
import os
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import imagecodecs
import numpy as np
from PIL import ImageFile, TiffImagePlugin

from smapcomp.pictures.modes import reduce_to_8_bit
from smapcomp.pictures.tiff_structure import TiffStructure

_log = logging.getLogger("smapcomp")

_Samples: TypeAlias = tuple[int, str, np.ndarray]
"""Bits of a stored sample, Pillow's mode of the samples, and the samples rounded to uint8."""

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _PLANES, _EXTRA, _FORMAT = 256, 257, 258, 262, 284, 338, 339
_RGB, _CMYK = 2, 5
_UNSPECIFIED, _ASSOCIATED, _UNASSOCIATED = 0, 1, 2
_MINISBLACK, _MINISWHITE = 1, 0
_J2K_SIZE_MARKER = b"\xff\x4f\xff\x51"
_J2K_SEARCHED_BYTES = 1 << 20


def _register_tiff_kinds() -> None:
    """Let Pillow open 16-bit TIFF files that it does not know, whose samples are read here."""
    known = TiffImagePlugin.OPEN_INFO
    for prefix, order in ((b"II", "L"), (b"MM", "B")):
        for photometric in (_MINISBLACK, _MINISWHITE):
            for extra in (_UNSPECIFIED, _ASSOCIATED, _UNASSOCIATED):
                mode = "L" if extra == _UNSPECIFIED else "LA"
                grey = prefix, photometric, (1,), 1, (16, 16), (extra,)
                known.setdefault(grey, (mode, f"LA;16{order}"))
        for count in (1, 2):
            ink = prefix, _CMYK, (1,), 1, (16,) * (4 + count), (_UNSPECIFIED,) * count
            known.setdefault(ink, ("CMYK", f"CMYK;16{order}"))
    known.setdefault((b"MM", _MINISWHITE, (1,), 1, (16,), ()), ("I;16B", "I;16B"))


_register_tiff_kinds()


def read_deep_samples(
    image: ImageFile.ImageFile, path: str | os.PathLike
) -> tuple[str, np.ndarray] | None:
    """Read the samples of a file that Pillow would truncate or damage.

    Args:
        image: The file, which Pillow has opened but not loaded; its size has been checked.
        path: Path of the file.

    Returns:
        `None` if Pillow reads the file well. Else Pillow's mode of the samples (L, LA, RGB, RGBA or
        CMYK) and the samples as stored, uint8 `[height, width, channels]`.

    Raises:
        ValueError: The file is damaged.
        RuntimeError: The file is damaged.
    """
    read = _READERS.get(image.format or "")
    found = read(image, path) if read else None
    if found is None:
        if _is_deep(image) and not image.mode.startswith("I"):
            _log.warning("%s: 16-bit samples are truncated to 8 bits", path)
        return None
    bits, mode, samples = found
    _log.warning("%s: %d-bit samples are rounded to 8 bits", path, bits)
    return mode, samples


def _read_png(image: ImageFile.ImageFile, path: str | os.PathLike) -> _Samples | None:
    if not _is_deep(image) or image.fp is None:
        return None
    # This file has no metadata chunks, which could be too long for libpng.
    place = image.fp.tell()
    image.fp.seek(0)
    wide = imagecodecs.png_decode(image.fp.read())
    image.fp.seek(place)
    wide = _checked(wide, (image.height, image.width))
    return 16, _mode(wide), reduce_to_8_bit(wide)


def _read_tiff(image: TiffImagePlugin.TiffImageFile, path: str | os.PathLike) -> _Samples | None:
    tags = image.tag_v2
    bits = tags.get(_BITS, (1,))
    if set(bits) != {16} or set(tags.get(_FORMAT, (1,))) != {1}:
        return None
    if len(bits) == 1 and tags.get(_PLANES) != 2:
        return None  # Pillow reads 16-bit grey as it is.
    if tags.get(_PHOTOMETRIC) == _CMYK:
        return _read_cmyk_tiff(path, tags)
    wide = _decoded(path, lambda data: imagecodecs.tiff_decode(data, index=0))
    if tags.get(_PLANES) == 2 and wide.ndim == 3:
        wide = np.moveaxis(wide, 0, -1)
    wide = _checked(wide, (tags[_HEIGHT], tags[_WIDTH]))
    mode = _mode(wide)
    if mode in ("LA", "RGBA"):
        extra = tags.get(_EXTRA, (_UNASSOCIATED,))[0]
        if extra == _UNSPECIFIED:
            mode, wide = mode[:-1], wide[:, :, :-1]
        elif extra == _ASSOCIATED:
            wide = _unmultiplied(wide)
    if tags.get(_PHOTOMETRIC) == _MINISWHITE:
        wide = wide.copy()
        np.subtract(65535, wide[:, :, 0], out=wide[:, :, 0])
    return 16, mode, reduce_to_8_bit(wide)


def _read_cmyk_tiff(path: str | os.PathLike, tags: Mapping[int, Any]) -> _Samples:
    """Read a TIFF file of 16-bit ink, which imagecodecs would convert to RGB but cannot."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    structure = TiffStructure(io.BytesIO(data))
    photometric = structure.directory(structure.first).last(_PHOTOMETRIC)
    if photometric is None:
        raise ValueError("no photometric interpretation")
    # imagecodecs returns the samples of RGB with more channels as they are.
    rgb = struct.pack(structure.order + "H", _RGB)
    place = photometric.position + (12 if structure.is_big else 8)
    data[place : place + 2] = rgb
    wide = imagecodecs.tiff_decode(bytes(data), index=0)
    if tags.get(_PLANES) == 2:
        wide = np.moveaxis(wide, 0, -1)
    # Pillow leaves out channels beyond those of the inks, too.
    wide = _checked(wide[:, :, :4], (tags[_HEIGHT], tags[_WIDTH]))
    return 16, "CMYK", reduce_to_8_bit(wide)


def _is_deep(image: ImageFile.ImageFile) -> bool:
    """Return whether Pillow reads samples of 16 bits; "BGR;16" is a pixel of 16 bits instead."""
    return bool(image.tile) and re.search(r";16[BLN]\b", str(image.tile[0][3])) is not None


def _read_jpeg2000(image: ImageFile.ImageFile, path: str | os.PathLike) -> _Samples | None:
    with open(path, "rb") as file:
        head = file.read(_J2K_SEARCHED_BYTES)
    start = head.find(_J2K_SIZE_MARKER)
    if start < 0 or len(head) < start + 43:
        return None
    channels = struct.unpack_from(">H", head, start + 40)[0]
    # Three bytes for each channel; the first holds precision minus one and a bit for the sign.
    depths = set(head[start + 42 : start + 42 + 3 * channels : 3])
    if len(depths) != 1 or not 8 <= max(depths) < 16:
        return None
    bits = depths.pop() + 1
    wide = _decoded(path, imagecodecs.jpeg2k_decode)
    wide = _checked(wide, (image.height, image.width))
    return bits, _mode(wide), reduce_to_8_bit(wide, (1 << bits) - 1)


def _read_ppm(image: ImageFile.ImageFile, path: str | os.PathLike) -> _Samples | None:
    codec, _, offset, arguments = image.tile[0]
    if codec == "raw" and arguments == "I;16B":
        mode, maximum = "L", 65535
    elif codec == "ppm":
        mode, maximum = cast(tuple[str, int], arguments)
    elif codec == "ppm_plain" and image.mode == "I":
        # Pillow itself scales plain text to 0..65535.
        image.load()
        return 16, "L", reduce_to_8_bit(np.asarray(image)[:, :, None])
    else:
        return None
    if mode not in ("L", "RGB"):
        return None
    shape = (image.height, image.width, len(mode))
    dtype = np.dtype("u1" if maximum < 256 else ">u2")
    data = np.memmap(path, dtype, "r", offset, shape)
    return maximum.bit_length(), mode, reduce_to_8_bit(data, maximum)


_READERS: dict[str, Callable[[Any, str | os.PathLike], _Samples | None]] = {
    "JPEG2000": _read_jpeg2000,
    "PNG": _read_png,
    "PPM": _read_ppm,
    "TIFF": _read_tiff,
}


def _decoded(path: str | os.PathLike, decode: Callable[[mmap.mmap], np.ndarray]) -> np.ndarray:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return decode(data)


def _checked(wide: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the samples as `[height, width, channels]` after a check of type and size."""
    wide = wide[:, :, None] if wide.ndim == 2 else wide
    if wide.dtype != np.uint16 or wide.shape[:2] != size or not 1 <= wide.shape[2] <= 4:
        raise ValueError(f"samples {wide.dtype} {wide.shape} in a picture of {size[1]}x{size[0]}")
    return wide


def _mode(wide: np.ndarray) -> str:
    return {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[wide.shape[2]]


def _unmultiplied(wide: np.ndarray) -> np.ndarray:
    """Divide the other channels by alpha, the last one; black where alpha is 0."""
    out = wide.copy()
    for row, target in zip(wide, out, strict=True):
        alpha = row[:, -1:].astype(np.int64)
        colours = (row[:, :-1] * np.int64(65535) + alpha // 2) // np.maximum(alpha, 1)
        target[:, :-1] = np.minimum(colours, 65535)
    return out
