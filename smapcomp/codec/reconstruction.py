"""Prediction, residual and picture: what of two of them makes the third.

By strips, so that no more than a strip is ever there in more than a byte a sample.
"""

import numpy as np

from smapcomp.codec.residual import ResidualRange, decode_samples
from smapcomp.codec.stream import Layer
from smapcomp.strips import strips


def add_residual(
    prediction: np.ndarray, layer: Layer | None, residual_range: ResidualRange, whole: bool = False
) -> np.ndarray:
    """The decoded picture: clip(prediction + residual).

    Args:
        prediction: uint8 `[height, width, channels]`.
        layer: Of a lossy residual; None and an empty payload are a residual of 0.
        residual_range: What its samples stand for.
        whole: It is one picture of any size, as in format version 1.

    Returns:
        uint8 of the same shape; `prediction` itself if the residual is 0.

    Raises:
        PayloadError: The layer does not decode to that shape.
        MissingCoderError: Its coder is not installed.
    """
    if layer is None or not layer.payload:
        return prediction
    samples = decode_samples(layer, prediction.shape, whole)
    picture = np.empty_like(samples)
    for rows in strips(*samples.shape[:2]):
        total = prediction[rows] + residual_range.to_residual(samples[rows])
        picture[rows] = np.clip(total, 0, 255)
    return picture


def grey_of(prediction: np.ndarray) -> np.ndarray:
    """The mean of three channels, rounded half up: uint8 `[h, w, 3]` to `[h, w, 1]`."""
    grey = np.empty((*prediction.shape[:2], 1), np.uint8)
    for rows in strips(*grey.shape[:2]):
        total = prediction[rows].sum(axis=-1, keepdims=True, dtype=np.uint16)
        grey[rows] = (2 * total + 3) // 6
    return grey
