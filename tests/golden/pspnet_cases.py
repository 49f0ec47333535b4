"""Cases of the segmenters' golden files, and the scale of their random weights."""

import math

SIZES = {
    "resnet50": ((1, 65, 97), (2, 40, 35)),
    "resnet101": ((1, 65, 97), (1, 40, 35)),
    "efficientnet_lite0": ((1, 131, 97), (2, 40, 24)),
}
"""Batch, height and width of the inputs by backbone.

On the grids of the pyramid no side is a multiple of 6 and few are multiples of 2 or 3, so bins
overlap. The smaller input has fewer cells than bins.
"""

STEPS = (5, 7)
"""A golden file keeps every fifth row and seventh column of full-size logits. That keeps it small,
and all phases of the up-sampling by 8 occur."""


def kept(backbone: str, logits):
    """Return the part of logits [B, H, W, 150] that the golden file keeps."""
    return logits if backbone == "efficientnet_lite0" else logits[:, :: STEPS[0], :: STEPS[1]]


def gain(layer: str, shape: tuple[int, ...]) -> float:
    """Return the gain of a kernel, in Keras' layout, that keeps activations of the order of one.

    A residual branch ends in a small gain, since the sum of dozens of them would grow. A depthwise
    kernel [h, w, channels, 1] has h*w inputs, not h*w*channels.
    """
    if layer.endswith("_depthwise"):
        return math.sqrt(2.0 * shape[2])
    return 0.3 if layer.endswith(("_conv3", "_project")) else math.sqrt(2.0)
