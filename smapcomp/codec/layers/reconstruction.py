"""Reconstruction of the picture from prediction and residual.

Pictures are processed in strips, so that at most a strip is held in more than one byte a sample.
"""

import numpy as np

from smapcomp.codec.bitstream.stream import Layer
from smapcomp.codec.layers.residual import ResidualRange, decode_samples
from smapcomp.pictures.strips import strips


def add_residual(
    prediction: np.ndarray, layer: Layer | None, residual_range: ResidualRange
) -> np.ndarray:
    """Return the decoded picture, clip(prediction + residual).

    Args:
        prediction: uint8 `[height, width, channels]`.
        layer: A lossy residual layer, or `None` for a residual of 0.
        residual_range: Map from the layer's samples to residuals.

    Returns:
        uint8 of the same shape; `prediction` itself without a layer.

    Raises:
        PayloadError: The layer does not decode to that shape.
        MissingCoderError: The layer's coder is not installed.
    """
    if layer is None:
        return prediction
    samples = decode_samples(layer, prediction.shape)
    picture = np.empty_like(samples)
    for rows in strips(*samples.shape[:2]):
        total = prediction[rows] + residual_range.to_residual(samples[rows])
        picture[rows] = np.clip(total, 0, 255)
    return picture


def grey_of(prediction: np.ndarray) -> np.ndarray:
    """Return the mean of three channels, rounded half up.

    Args:
        prediction: uint8 `[height, width, 3]`.

    Returns:
        uint8 `[height, width, 1]`.
    """
    grey = np.empty((*prediction.shape[:2], 1), np.uint8)
    for rows in strips(*grey.shape[:2]):
        total = prediction[rows].sum(axis=-1, keepdims=True, dtype=np.uint16)
        grey[rows] = (2 * total + 3) // 6
    return grey
