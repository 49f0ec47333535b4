"""The label layer: a grid of class ids, coded losslessly."""

import numpy as np

from smapcomp.codec.bitstream.stream import Layer
from smapcomp.codec.coders.jxl import decode_jxl, encode_jxl
from smapcomp.codec.layers.label_contexts import decode_contexts, encode_contexts
from smapcomp.design import NUM_CLASSES
from smapcomp.errors import PayloadError, SmapcompError

MAX_CONTEXT_LABELS = 1 << 19
"""Largest grid for the context coder, which takes about 5 µs a label: a few seconds for the
full-size map of a 768×512 picture. Larger maps are coded by JPEG XL."""


def encode_labels(labels: np.ndarray) -> Layer:
    """Code a label grid losslessly.

    Args:
        labels: uint8 `[height, width]` of 0..150.

    Raises:
        SmapcompError: A label is larger.
    """
    if labels.max() > NUM_CLASSES:
        raise SmapcompError(f"label {labels.max()}; 0..{NUM_CLASSES} are allowed")
    if labels.size <= MAX_CONTEXT_LABELS:
        return Layer("labels", "contexts", encode_contexts(labels))
    return Layer("labels", "jxl", encode_jxl(labels[..., None], efforts=(7,)))


def decode_labels(layer: Layer, shape: tuple[int, int]) -> np.ndarray:
    """Decode a label layer.

    Args:
        layer: The label layer of a stream.
        shape: Height and width of the grid: those of the padded picture, divided by the variant's
            label stride.

    Returns:
        uint8 `[height, width]` of 0..150.

    Raises:
        PayloadError: The payload does not decode to such a grid.
    """
    if layer.coder == "contexts":
        size = shape[0] * shape[1]
        if size > MAX_CONTEXT_LABELS:
            raise PayloadError(f"{size} labels in contexts; up to {MAX_CONTEXT_LABELS} are allowed")
        return decode_contexts(layer.payload, shape)
    labels = decode_jxl(layer.payload, (*shape, 1))[..., 0]
    if labels.max() > NUM_CLASSES:
        raise PayloadError(f"label {labels.max()}; 0..{NUM_CLASSES} are allowed")
    return labels
