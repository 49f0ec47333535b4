"""Decoding of residual layers to residuals."""

import numpy as np

from smapcomp.codec.bitstream.stream import Layer
from smapcomp.codec.layers.residual import ResidualRange, decode_samples


def decode_residual(
    layer: Layer, shape: tuple[int, int, int], residual_range: ResidualRange
) -> np.ndarray:
    """Decode a lossy residual layer to int16 of the given shape, -255..255."""
    return residual_range.to_residual(decode_samples(layer, shape))
