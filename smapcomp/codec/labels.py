"""The label layer: a grid of class ids, coded losslessly."""

import numpy as np

from smapcomp.codec.jxl import decode_jxl, encode_jxl
from smapcomp.codec.label_contexts import decode_contexts, encode_contexts
from smapcomp.codec.stream import Layer
from smapcomp.errors import PayloadError, SmapcompError

MAX_LABEL = 150
# The context coder takes some 5 us a label: a few seconds for the full-size map of a 768x512
# picture. Larger maps are left to JPEG XL.
MAX_CONTEXT_LABELS = 1 << 19


def encode_labels(labels: np.ndarray) -> Layer:
    """Codes a label grid, uint8 [h, w] of 0..150, losslessly.

    Raises:
      SmapcompError: if a label is larger.
    """
    if labels.max() > MAX_LABEL:
        raise SmapcompError(f"label {labels.max()}; 0..{MAX_LABEL} are allowed")
    if labels.size <= MAX_CONTEXT_LABELS:
        return Layer("labels", "contexts", encode_contexts(labels))
    return Layer("labels", "jxl", encode_jxl(labels[..., None], efforts=(7,)))


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
    if layer.coder == "contexts":
        size = shape[0] * shape[1]
        if size > MAX_CONTEXT_LABELS:
            raise PayloadError(f"{size} labels in contexts; up to {MAX_CONTEXT_LABELS} are allowed")
        return decode_contexts(layer.payload, shape)
    labels = decode_jxl(layer.payload, (*shape, 1))[..., 0]
    if labels.max() > MAX_LABEL:
        raise PayloadError(f"label {labels.max()}; 0..{MAX_LABEL} are allowed")
    return labels
