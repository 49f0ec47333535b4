"""The label layer: a grid of class ids, coded losslessly."""

import numpy as np

from smapcomp.codec.container import Layer
from smapcomp.codec.jxl import decode_jxl, encode_jxl
from smapcomp.errors import PayloadError

MAX_LABEL = 150


def encode_labels(labels: np.ndarray) -> Layer:
    """Codes a label grid, uint8 [h, w] of 0..150, losslessly."""
    return Layer("labels", "jxl", encode_jxl(labels[..., None]))


def decode_labels(layer: Layer, shape: tuple[int, int]) -> np.ndarray:
    """Decodes a label layer.

    Args:
      layer: the label layer of a stream.
      shape: [h, w] of the label grid: the padded picture's divided by the variant's label stride.

    Returns:
      Labels, uint8 [h, w], 0..150.

    Raises:
      PayloadError: if the payload is anything else.
    """
    labels = decode_jxl(layer.payload, (*shape, 1))[..., 0]
    if labels.max() > MAX_LABEL:
        raise PayloadError(f"label {labels.max()}; 0..{MAX_LABEL} are allowed")
    return labels
