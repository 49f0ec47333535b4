"""Pillow's many modes as 8-bit grey or RGB samples and an alpha plane.

Large images are gone through in strips: of the whole picture there are never more than Pillow's own
copy and the arrays that are returned.
"""

import io
import logging
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageCms

from smapcomp.errors import SmapcompError
from smapcomp.pictures.strips import strips

_log = logging.getLogger("smapcomp")

_OPAQUE = 255

# Pillow scales the samples of a PNG of few bits to 8, but not the key that goes with them.
_KEY_SCALES = {"L;2": 85, "L;4": 17}
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262


def reduce_to_8_bit(wide: np.ndarray, maximum: int = 65535) -> np.ndarray:
    """Rounds [H, W, ...] of 0..maximum (larger ones are clipped) to uint8: round(255 v / maximum).

    `maximum` is at most 65,535; 32 bits hold all that is computed then.
    """
    samples = np.empty(wide.shape, np.uint8)
    for rows in strips(*wide.shape[:2]):
        part = np.minimum(wide[rows], maximum).astype(np.uint32)
        samples[rows] = (part * 510 + maximum) // (2 * maximum)
    return samples


def samples_and_alpha(image: Image.Image, name: object) -> tuple[np.ndarray, np.ndarray | None]:
    """Takes an image apart.

    Args:
      image: of any mode; it is loaded if it is not yet, and not changed otherwise.
      name: of the picture, for notices.

    Returns:
      Samples, uint8 [H, W, 3] (RGB) or [H, W, 1] (grey), and alpha, uint8 [H, W], or None if the
      mode has none and no colour is declared transparent.

    Raises:
      SmapcompError: samples of that mode have no 8-bit meaning.
    """
    key = _key(image)
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
    """Converts an image to L, LA, RGB or RGBA, strip by strip; returns samples and alpha."""
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


def _key(image: Image.Image) -> tuple[int, ...] | None:
    """The one colour that is transparent, if the image declares one; asked before it is loaded."""
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
    """Palette pictures; grey if every entry that is in use is."""
    palette = _palette(image)
    indices, _ = _collect(image, "L", lambda strip: strip.getchannel(0))
    alpha = None
    if image.mode == "PA":
        alpha, _ = _collect(image, "L", lambda strip: strip.getchannel(1))
    used = np.zeros(256, bool)
    for rows in strips(image.height, image.width):
        used[indices[rows]] = True
    grey = (palette[used, :3] == palette[used, :1]).all()
    _log.warning("%s: a palette becomes %s", name, "grey" if grey else "RGB")
    colours = np.ascontiguousarray(palette[:, : 1 if grey else 3])
    if alpha is not None:
        alpha = alpha[:, :, 0]
    elif palette[used, 3].min() < _OPAQUE:
        alpha = palette[:, 3][indices[:, :, 0]]
    return colours[indices[:, :, 0]], alpha


def _palette(image: Image.Image) -> np.ndarray:
    """Red, green, blue and alpha of 256 entries, uint8 [256, 4]; black beyond the palette's end."""
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
    """16-bit grey, which Pillow keeps as it is in the file: TIFF may mean 12 bits or white by 0."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS, (16,))[0]
    _log.warning("%s: %d bits a sample become 8", name, bits)
    samples = np.empty((image.height, image.width, 1), np.uint8)
    alpha = None if key is None else np.empty(samples.shape[:2], np.uint8)
    for rows, strip in _strips_of(image):
        wide = np.asarray(strip)
        samples[rows, :, 0] = reduce_to_8_bit(wide, (1 << bits) - 1)
        if alpha is not None:
            alpha[rows] = np.where(wide == key[0], 0, _OPAQUE)
    if tags.get(_TIFF_PHOTOMETRIC) == 0:
        np.subtract(255, samples, out=samples)
    return samples, alpha


def _to_rgb(image: Image.Image, name: object) -> np.ndarray:
    """Other colour spaces: CMYK by the embedded profile if there is one, else plain formulas."""
    mode, icc = image.mode, image.info.get("icc_profile")
    srgb = ImageCms.createProfile("sRGB")
    transform, how = None, "without a colour profile"
    try:
        if mode == "LAB":
            transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), srgb, mode, "RGB")
            how = "as sRGB"
        elif mode == "CMYK" and icc:
            profile = ImageCms.getOpenProfile(io.BytesIO(icc))
            # What printing programs do by default.
            intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
            flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
            transform = ImageCms.buildTransform(profile, srgb, mode, "RGB", intent, flags)
            how = "sRGB by its colour profile"
    except ImageCms.PyCMSError:
        how = "without its colour profile, which is damaged"
    _log.warning("%s: %s becomes RGB, %s", name, mode, how)
    if transform is None:
        return _collect(image, "RGB")[0]
    return _collect(image, "RGB", lambda strip: ImageCms.applyTransform(strip, transform))[0]
