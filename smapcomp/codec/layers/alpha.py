"""The alpha layer: transparency, coded losslessly."""

import numpy as np

from smapcomp.codec.bitstream.stream import Layer
from smapcomp.codec.coders.jxl import decode_jxl, encode_jxl
from smapcomp.codec.layers.blocks import decode_blocks, encode_blocks
from smapcomp.errors import SmapcompError

_EFFORTS = (7,)
"""Efforts of libjxl that are tried. Higher ones take seconds a megapixel, and alpha planes are
mostly flat."""


def encode_alpha(alpha: np.ndarray) -> Layer:
    """Code an alpha plane losslessly.

    Args:
        alpha: uint8 `[height, width]`.

    Raises:
        SmapcompError: The array is of another dtype or rank, or empty.
    """
    if alpha.dtype != np.uint8 or alpha.ndim != 2 or alpha.size == 0:
        raise SmapcompError(f"alpha {alpha.dtype} {alpha.shape}; uint8 [H, W] is needed")
    payload = encode_blocks(alpha[:, :, None], lambda block: encode_jxl(block, _EFFORTS))
    return Layer("alpha", "jxl", payload)


def decode_alpha(layer: Layer, shape: tuple[int, int]) -> np.ndarray:
    """Decode an alpha layer.

    Args:
        layer: The alpha layer of a stream.
        shape: Height and width of the picture.

    Returns:
        uint8 `[height, width]`.

    Raises:
        PayloadError: The payload does not decode to that shape.
    """
    return decode_blocks(layer.payload, (*shape, 1), decode_jxl)[:, :, 0]
