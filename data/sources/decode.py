"""Decoding of picture and annotation files, with errors that name the file and the fault.

Pillow decodes because it tells what is wrong. TensorFlow's decoder gives the same samples, on which
`data.sources.records` relies, but its errors name no file.
"""

from __future__ import annotations

import io
import logging

import numpy as np
from PIL import Image, UnidentifiedImageError

from data.errors import DataError
from smapcomp.ade20k import INSTANCE_LABELS
from smapcomp.design import NUM_CLASSES

NUM_FULL_INDICES = 255 // 10 * 256 + 256
"""Number of class indices that `NAME_seg.png` can code; the full list of ADE20K is shorter."""

_log = logging.getLogger("smapcomp")


def decode_image(data: bytes, location: str) -> np.ndarray:
    """Decode a picture file.

    A grey picture gets three equal channels, with a notice on the logger "smapcomp". Transparency
    is dropped. The EXIF orientation is ignored, since annotations have none.

    Args:
        data: The file.
        location: How messages refer to it.

    Returns:
        uint8 [H, W, 3].

    Raises:
        DataError: The file cannot be read or has more than 8 bits a sample.
    """
    image, raw_mode = _open(data, location)
    if image.mode.startswith(("I", "F")) or ";16" in raw_mode:
        # Pillow would clip the former to 0..255 and reduce the latter to 8 bits.
        raise DataError(f"{location}: has more than 8 bits a sample ({raw_mode or image.mode})")
    if image.mode in ("1", "L", "LA"):
        _log.warning("%s: is grey; gets three equal channels", location)
    return np.asarray(image.convert("RGB"))


def decode_label_map(data: bytes, location: str, size: tuple[int, int]) -> np.ndarray:
    """Decode an annotation file: a grey PNG whose samples are label ids.

    Args:
        data: The file.
        location: How messages refer to it.
        size: Height and width of the picture.

    Returns:
        uint8 [H, W] of 0..150; 0 is void.

    Raises:
        DataError: The file cannot be read, is not 8-bit grey, has another size than the picture, or
            has a label above 150.
    """
    # Two of ADE20K's classes have the same colour, so that colours do not determine labels, and
    # Pillow scales grey of fewer bits to 0..255.
    label_map = _open_annotation(data, location, "L", "grey")
    return _checked(np.asarray(label_map), location, size, NUM_CLASSES)


def decode_class_indices(data: bytes, location: str, size: tuple[int, int]) -> np.ndarray:
    """Decode `NAME_seg.png` of the full ADE20K distribution.

    Args:
        data: The file.
        location: How messages refer to it.
        size: Height and width of the picture.

    Returns:
        Index of each pixel in the full class list, int32 [H, W] below `NUM_FULL_INDICES`; 0 is no
        class. Numbers of instances, the blue channel, are dropped.

    Raises:
        DataError: The file cannot be read, is not an 8-bit RGB PNG, or has another size than the
            picture.
    """
    annotation = _open_annotation(data, location, "RGB", "RGB")
    red, green, _ = np.moveaxis(np.asarray(annotation, np.int32), -1, 0)
    return _checked(red // 10 * 256 + green, location, size, NUM_FULL_INDICES - 1)


def decode_instance_map(data: bytes, location: str, size: tuple[int, int]) -> np.ndarray:
    """Decode an annotation of the Places Challenge 2017: instances of 100 kinds of objects.

    The red channel holds the number of the kind, which becomes the id of the same class of
    SceneParse150. The green channel, the number of the instance, is dropped. Everything else in the
    picture (walls, sky, ...) is void. A grey file is decoded by `decode_label_map`.

    Args:
        data: The file.
        location: How messages refer to it.
        size: Height and width of the picture.

    Returns:
        uint8 [H, W] of 0..150; 0 is void.

    Raises:
        DataError: The file cannot be read, has another size than the picture, or has a kind above
            100; or `decode_label_map` refuses it.
    """
    annotation, raw_mode = _open(data, location)
    if raw_mode != "RGB":
        return decode_label_map(data, location, size)
    kinds = np.asarray(annotation)[..., 0]
    return INSTANCE_LABELS[_checked(kinds, location, size, len(INSTANCE_LABELS) - 1)]


def _open_annotation(data: bytes, location: str, mode: str, kind: str) -> Image.Image:
    """Open a PNG of labels whose raw mode is `mode`; errors call that `kind`."""
    annotation, raw_mode = _open(data, location)
    if (annotation.format, raw_mode) != ("PNG", mode):
        is_png = annotation.format == "PNG"
        found = f"mode {raw_mode}" if is_png else f"a file of {annotation.format}"
        raise DataError(f"{location}: labels must be an 8-bit {kind} PNG, got {found}")
    return annotation


def _checked(labels: np.ndarray, location: str, size: tuple[int, int], highest: int) -> np.ndarray:
    if labels.shape != size:
        (label_h, label_w), (h, w) = labels.shape, size
        raise DataError(f"{location}: labels are {label_w}x{label_h}, the picture is {w}x{h}")
    if labels.max() > highest:
        raise DataError(f"{location}: has label {labels.max()}, allowed are 0..{highest}")
    return labels


def _open(data: bytes, location: str) -> tuple[Image.Image, str]:
    """Return a loaded picture and the mode of its samples in the file, "" if that is unknown."""
    try:
        image = Image.open(io.BytesIO(data))
        arguments = image.tile[0].args if image.tile else ""
        image.load()
    except UnidentifiedImageError:
        raise DataError(f"{location}: cannot be read as a picture: unknown format") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{location}: cannot be read as a picture: {reason}") from None
    raw_mode = arguments if isinstance(arguments, str) else next(iter(arguments or ()), "")
    return image, str(raw_mode)
