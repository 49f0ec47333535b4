"""Files of pictures and annotations into samples, and what is wrong with them.

Pillow decodes, which names what is wrong. TensorFlow's decoder gives the same samples (`records`
relies on it) but its errors name no file.
"""

from __future__ import annotations

import io
import logging

import numpy as np
from PIL import Image, UnidentifiedImageError

from data.errors import DataError
from smapcomp.ade20k import INSTANCE_LABELS
from smapcomp.design import NUM_CLASSES

_log = logging.getLogger("smapcomp")


def decode_image(data: bytes, where: str) -> np.ndarray:
    """Samples of a picture file.

    Args:
      data: the file.
      where: what errors call it.

    Returns:
      uint8 [H, W, 3]. Grey pictures get three equal channels, with a notice on the logger
      "smapcomp"; transparency is dropped, the EXIF orientation ignored: annotations have none.

    Raises:
      DataError: it cannot be read or has more than 8 bits a sample.
    """
    image, raw_mode = _open(data, where)
    if image.mode.startswith(("I", "F")) or ";16" in raw_mode:
        # Pillow clips the first to 0..255 and cuts the second to 8 bit.
        raise DataError(f"{where}: has more than 8 bits a sample ({raw_mode or image.mode})")
    notice = image_notice(image.mode)
    if notice:
        _log.warning("%s: %s", where, notice)
    return np.asarray(image.convert("RGB"))


def image_notice(mode: str) -> str | None:
    """What is worth saying about a readable picture of a Pillow mode, or None."""
    return "is grey; gets three equal channels" if mode in ("1", "L", "LA") else None


def decode_label_map(data: bytes, where: str, size: tuple[int, int]) -> np.ndarray:
    """Labels of an annotation file: a grey PNG of the ids themselves.

    Args:
      data: the file.
      where: what errors call it.
      size: height and width of the picture.

    Returns:
      uint8 [H, W] with 0 = void and 1..150.

    Raises:
      DataError: it cannot be read, is not 8-bit grey, of another size, or has a label over 150.
    """
    label_map, raw_mode = _open(data, where)
    if (label_map.format, raw_mode) != ("PNG", "L"):
        # Two of ADE20K's colours are equal, so colours don't tell the labels (SPEC section 6), and
        # Pillow spreads grey of fewer bits over 0..255.
        png = label_map.format == "PNG"
        got = f"mode {raw_mode}" if png else f"a file of {label_map.format}"
        raise DataError(f"{where}: labels must be an 8-bit grey PNG, got {got}")
    return _checked(np.asarray(label_map), where, size, NUM_CLASSES)


def decode_instance_map(data: bytes, where: str, size: tuple[int, int]) -> np.ndarray:
    """Labels of an annotation of the Places Challenge 2017, instances of 100 kinds of objects.

    The red channel numbers the kinds, which become the ids of SceneParse150; the green one, the
    instances, is dropped. Everything that isn't one of these objects (walls, sky, ...) is void. A
    grey file is taken as `decode_label_map` does.

    Args, Returns, Raises: as `decode_label_map`.
    """
    annotation, raw_mode = _open(data, where)
    if raw_mode != "RGB":
        return decode_label_map(data, where, size)
    kinds = np.asarray(annotation)[..., 0]
    return INSTANCE_LABELS[_checked(kinds, where, size, len(INSTANCE_LABELS) - 1)]


def _checked(labels: np.ndarray, where: str, size: tuple[int, int], highest: int) -> np.ndarray:
    if labels.shape != size:
        (label_h, label_w), (h, w) = labels.shape, size
        raise DataError(f"{where}: labels are {label_w}x{label_h}, the picture is {w}x{h}")
    if labels.max() > highest:
        raise DataError(f"{where}: has label {labels.max()}, allowed are 0..{highest}")
    return labels


def _open(data: bytes, where: str) -> tuple[Image.Image, str]:
    """A loaded picture, and how its samples lie in the file, "" where Pillow doesn't tell."""
    try:
        image = Image.open(io.BytesIO(data))
        arguments = image.tile[0].args if image.tile else ""
        image.load()
    except UnidentifiedImageError:
        raise DataError(f"{where}: cannot be read as a picture: of no known format") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{where}: cannot be read as a picture: {reason}") from None
    raw_mode = arguments if isinstance(arguments, str) else next(iter(arguments or ()), "")
    return image, str(raw_mode)
