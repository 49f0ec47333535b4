"""Facts that the networks and the bitstream must agree on.

Every other module of the package may import this one; it imports nothing of the package and needs
NumPy alone.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

NUM_CLASSES = 150
"""Classes of SceneParse150. Label ids run from 1 to 150; 0 is void (no label)."""

NUM_LABELS = NUM_CLASSES + 1
"""Values that a label map can hold, void included."""

COMPNET_SCALE = 8
"""Side, in pixels, of the block that one pixel of CompNet's compact image stands for."""

SCALES = (1, 2, 4, 8)
"""Sides of those blocks for the other compact images, which are plain down-sampled pictures."""

MODES = ("none", "sent", "matched", "mapped")
"""Sources of FineNet's label map, in the order of their numbers in the header: no label map, the
stream, the decoder's segmenter, or the segmenter followed by SMapNet."""

METADATA_KINDS = ("icc", "exif", "xmp")
"""Metadata that a picture and a stream can carry: colour profile, EXIF, XMP."""

MAX_METADATA_BYTES = 1 << 24
"""Largest metadata of one kind in bytes: about a hundred times what cameras and editors write, and
small enough to hold in memory."""

MAX_SIDE = 1 << 16
"""Longest side of a picture in pixels; AV1's limit."""

DEFAULT_MAX_PIXELS = 1 << 27
"""Largest picture that is accepted by default, in pixels: somewhat more than 100 megapixels."""

DIGEST_BYTES = 8
"""Length of every digest in a stream."""

MIN_PADDED_SIDE = 16
"""Shortest side of a padded picture in pixels."""

PADDED_MULTIPLE = 8
"""Number that the sides of a padded picture are multiples of."""


@dataclass(frozen=True)
class Tiling:
    """Layout of the overlapping windows in which a large picture is predicted.

    Attributes:
        side: Side of a window in pixels, a multiple of 16.
        overlap: Overlap of neighbouring windows in pixels, a multiple of 16 in 16..side/2.
    """

    side: int
    overlap: int


def padded_shape(height: int, width: int) -> tuple[int, int]:
    """Return height and width after padding: the next multiples of 8, at least 16."""

    def padded(side: int) -> int:
        return max(MIN_PADDED_SIDE, -(-side // PADDED_MULTIPLE) * PADDED_MULTIPLE)

    return padded(height), padded(width)


def pad_picture(pixels: np.ndarray) -> np.ndarray:
    """Repeat the last row and column of `[height, width, channels]` up to `padded_shape`."""
    height, width, _ = pixels.shape
    rows, columns = padded_shape(height, width)
    if (rows, columns) == (height, width):
        return pixels
    return np.pad(pixels, ((0, rows - height), (0, columns - width), (0, 0)), mode="edge")


def max_level(step: int) -> int:
    """Return the highest quantised level of a compact image, the one that stands for 255.

    Args:
        step: Quantiser step in units of 1/255, in 1..128.
    """
    return (255 + step // 2) // step


def quantise_compact(values: np.ndarray, step: int) -> np.ndarray:
    """Round values in 0..255 (any shape) to uint8 levels: floor(value / step + 1/2)."""
    return np.floor(np.clip(values, 0, 255) / step + 0.5).astype(np.uint8)


def dequantise_compact(levels: np.ndarray, step: int) -> np.ndarray:
    """Return the uint8 values min(255, level * step) of quantised levels (any shape)."""
    return np.minimum(levels.astype(np.uint16) * step, 255).astype(np.uint8)


def array_digest(array: np.ndarray) -> bytes:
    """Return the first 8 bytes of the SHA-256 of a uint8 array in row-major order.

    Raises:
        TypeError: The array is not uint8.
    """
    if array.dtype != np.uint8:
        raise TypeError(f"array_digest takes uint8, got {array.dtype}")
    values = np.ascontiguousarray(array).reshape(-1).data
    return hashlib.sha256(values).digest()[:DIGEST_BYTES]


def weights_digest(weights: Mapping[str, np.ndarray]) -> bytes:
    """Return the first 8 bytes of the SHA-256 of named arrays.

    The digest does not depend on the order of the arrays or on the file that they come from. Hashed
    for each name in code-point order: the name in UTF-8, a zero byte, the dtype and the shape as in
    "<f4 3,3,64,64", a zero byte, and the little-endian values in row-major order.
    """
    sha = hashlib.sha256()
    for name in sorted(weights):
        array = np.asarray(weights[name])
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        sha.update(f"{name}\0{array.dtype.str} {','.join(map(str, array.shape))}\0".encode())
        sha.update(array.tobytes())
    return sha.digest()[:DIGEST_BYTES]
