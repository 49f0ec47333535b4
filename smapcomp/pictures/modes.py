"""Conversion of Pillow's modes to 8-bit grey or RGB samples and an alpha plane.

Images are converted strip by strip, so the only copies of a whole picture are Pillow's own and the
returned arrays.
"""

import io
import logging
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
from PIL import Image, ImageCms

from smapcomp.errors import SmapcompError
from smapcomp.pictures.strips import strips

_log = logging.getLogger("smapcomp")

_OPAQUE = 255

# Pillow scales samples of 2 and 4 bits in a PNG to 8 bits, but not the transparent colour.
_KEY_SCALES = {"L;2": 85, "L;4": 17}
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262


def reduce_to_8_bit(wide: np.ndarray, maximum: int = 65535) -> np.ndarray:
    """Scale samples to 8 bits: round(255 v / maximum).

    Args:
        wide: Integers `[height, width, ...]`; values above `maximum` are clipped.
        maximum: Value that becomes 255, at most 65,535, so that 32-bit arithmetic suffices.

    Returns:
        uint8 of the same shape.
    """
    samples = np.empty(wide.shape, np.uint8)
    for rows in strips(*wide.shape[:2]):
        part = np.minimum(wide[rows], maximum).astype(np.uint32)
        samples[rows] = (part * 510 + maximum) // (2 * maximum)
    return samples


def samples_and_alpha(image: Image.Image, name: object) -> tuple[np.ndarray, np.ndarray | None]:
    """Return samples and alpha of a Pillow image.

    Args:
        image: Image of any mode. It is loaded if it is not yet, and not changed otherwise.
        name: Name of the picture for warnings.

    Returns:
        Samples, uint8 `[height, width, 3]` (RGB) or `[height, width, 1]` (grey), and alpha, uint8
        `[height, width]`, or `None` if the mode has no alpha and no colour is transparent.

    Raises:
        SmapcompError: The mode has no 8-bit meaning, or a side is 0.
    """
    if not image.width * image.height:
        raise SmapcompError(f"picture of {image.width}x{image.height} has no pixels")
    key = _transparent_colour(image)
    image.load()
    mode = image.mode
    if mode in ("1", "L", "RGB"):
        samples, _ = _collect(image, "L" if mode == "1" else mode)
        return samples, _key_alpha(samples, key)
    if mode in ("LA", "La"):
        return _collect(image, "LA")
    if mode in ("RGBA", "RGBa"):
        return _collect(image, "RGBA")
    if mode == "RGBX":
        return _collect(image, "RGB")
    if mode in ("P", "PA"):
        return _look_up(image, name)
    if mode.startswith("I;16"):
        return _reduce_grey(image, key, name)
    if mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        return _to_rgb(image, name), None
    raise SmapcompError(f"samples of kind {mode!r} cannot become 8 bit")


def _strips_of(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    for rows in strips(image.height, image.width):
        yield rows, image.crop((0, rows.start, image.width, rows.stop))


def _collect(
    image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image] | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Convert an image to L, LA, RGB or RGBA, strip by strip; return samples and alpha."""
    colours = 3 if mode.startswith("RGB") else 1
    samples = np.empty((image.height, image.width, colours), np.uint8)
    alpha = np.empty(samples.shape[:2], np.uint8) if mode.endswith("A") else None
    for rows, strip in _strips_of(image):
        if convert is not None:
            strip = convert(strip)
        elif strip.mode != mode:
            strip = strip.convert(mode)
        part = np.asarray(strip).reshape(*strip.size[::-1], -1)
        samples[rows] = part[:, :, :colours]
        if alpha is not None:
            alpha[rows] = part[:, :, -1]
    return samples, alpha


def _transparent_colour(image: Image.Image) -> tuple[int, ...] | None:
    """Return the colour that a not yet loaded image declares transparent, if any."""
    key = image.info.get("transparency")
    if isinstance(key, int):
        arguments = [tile[3] for tile in getattr(image, "tile", ())]
        return (key * (_KEY_SCALES.get(str(arguments[0]), 1) if arguments else 1),)
    return key if isinstance(key, tuple) else None


def _key_alpha(samples: np.ndarray, key: tuple[int, ...] | None) -> np.ndarray | None:
    if key is None or len(key) != samples.shape[2]:
        return None
    transparent = samples[:, :, 0] == key[0]
    for channel in range(1, len(key)):
        transparent &= samples[:, :, channel] == key[channel]
    return np.where(transparent, np.uint8(0), np.uint8(_OPAQUE))


def _look_up(image: Image.Image, name: object) -> tuple[np.ndarray, np.ndarray | None]:
    """Return samples and alpha of a palette image; grey if all entries in use are grey."""
    palette = _palette(image)
    indices, _ = _collect(image, "L", lambda strip: strip.getchannel(0))
    alpha = None
    if image.mode == "PA":
        alpha, _ = _collect(image, "L", lambda strip: strip.getchannel(1))
    used = np.zeros(256, bool)
    for rows in strips(image.height, image.width):
        used[indices[rows]] = True
    grey = (palette[used, :3] == palette[used, :1]).all()
    _log.warning("%s: the palette is converted to %s", name, "grey" if grey else "RGB")
    colours = np.ascontiguousarray(palette[:, : 1 if grey else 3])
    if alpha is not None:
        alpha = alpha[:, :, 0]
    elif palette[used, 3].min() < _OPAQUE:
        alpha = palette[:, 3][indices[:, :, 0]]
    return colours[indices[:, :, 0]], alpha


def _palette(image: Image.Image) -> np.ndarray:
    """Return RGBA of the palette's entries, uint8 `[256, 4]`; missing ones are opaque black."""
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 3] = _OPAQUE
    entries = np.array(image.getpalette("RGBA") or [], np.uint8).reshape(-1, 4)[:256]
    palette[: len(entries)] = entries
    transparency = image.info.get("transparency")
    if isinstance(transparency, bytes):
        palette[: len(transparency), 3] = list(transparency[:256])
    elif isinstance(transparency, int) and 0 <= transparency < 256:
        palette[transparency, 3] = 0
    return palette


def _reduce_grey(
    image: Image.Image, key: tuple[int, ...] | None, name: object
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return 8-bit samples and alpha of a 16-bit grey image.

    Pillow returns the values of the file. In a TIFF they may have 12 bits, and 0 may be white.
    """
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS, (16,))[0]
    _log.warning("%s: %d-bit samples are rounded to 8 bits", name, bits)
    samples = np.empty((image.height, image.width, 1), np.uint8)
    alpha = None if key is None else np.empty(samples.shape[:2], np.uint8)
    for rows, strip in _strips_of(image):
        wide = np.asarray(strip)
        samples[rows, :, 0] = reduce_to_8_bit(wide, (1 << bits) - 1)
        if alpha is not None and key is not None:
            alpha[rows] = np.where(wide == key[0], 0, _OPAQUE)
    if tags.get(_TIFF_PHOTOMETRIC) == 0:
        np.subtract(255, samples, out=samples)
    return samples, alpha


def _to_rgb(image: Image.Image, name: object) -> np.ndarray:
    """Return RGB samples of an image in another colour space.

    CMYK is converted with the embedded profile if there is one, else with Pillow's formulas.
    """
    mode, icc = image.mode, image.info.get("icc_profile")
    srgb = ImageCms.createProfile("sRGB")
    transform, target = None, "RGB without a colour profile"
    try:
        if mode == "LAB":
            transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), srgb, mode, "RGB")
            target = "sRGB"
        elif mode == "CMYK" and icc:
            profile = ImageCms.getOpenProfile(io.BytesIO(icc))
            # These are the defaults of printing programs.
            intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
            flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
            transform = ImageCms.buildTransform(profile, srgb, mode, "RGB", intent, flags)
            target = "sRGB with its colour profile"
    except ImageCms.PyCMSError:
        target = "RGB without its colour profile, which is damaged"
    _log.warning("%s: %s is converted to %s", name, mode, target)
    if transform is None:
        return _collect(image, "RGB")[0]

    def convert(strip: Image.Image) -> Image.Image:
        # The result is `None` only for a transform in place.
        return cast(Image.Image, ImageCms.applyTransform(strip, transform))

    return _collect(image, "RGB", convert)[0]
