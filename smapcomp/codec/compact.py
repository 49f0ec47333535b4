"""The compact layer: the quantised compact image, coded losslessly."""

import numpy as np

from smapcomp.codec.container import Layer
from smapcomp.codec.flif import decode_flif, encode_flif
from smapcomp.codec.jxl import decode_jxl, encode_jxl
from smapcomp.errors import PayloadError
from smapcomp.levels import max_level


def quantise_compact(values: np.ndarray, step: int) -> np.ndarray:
    """Rounds values in 0..255 (any shape) to uint8 levels: floor(value / step + 1/2)."""
    return np.floor(np.clip(values, 0, 255) / step + 0.5).astype(np.uint8)


def dequantise_compact(levels: np.ndarray, step: int) -> np.ndarray:
    """Returns the uint8 values min(255, level * step) of levels (any shape)."""
    return np.minimum(levels.astype(np.uint16) * step, 255).astype(np.uint8)


def encode_compact(levels: np.ndarray, coder: str = "jxl") -> Layer:
    """Codes levels, uint8 [h, w, 1 or 3], losslessly.

    The coder "flif" is the papers'; it is never chosen by itself, since few decoders have it.
    """
    encode = {"jxl": encode_jxl, "flif": encode_flif}[coder]
    return Layer("compact", coder, encode(levels))


def decode_compact(layer: Layer, shape: tuple[int, int, int], step: int) -> np.ndarray:
    """Decodes a compact layer.

    Args:
      layer: the compact layer of a stream.
      shape: `Stream.compact_shape`, [h, w, channels].
      step: the quantiser step, 1..128.

    Returns:
      Levels, uint8 of that shape, 0..max_level(step).

    Raises:
      PayloadError: if the payload is anything else.
      MissingCoderError: if it takes a program that is not installed.
    """
    decode = {"jxl": decode_jxl, "flif": decode_flif}[layer.coder]
    levels = decode(layer.payload, shape)
    if levels.max() > max_level(step):
        raise PayloadError(
            f"compact level {levels.max()}; at step {step} 0..{max_level(step)} are allowed"
        )
    return levels
