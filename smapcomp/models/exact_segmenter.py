"""The lite variant's segmenter as an exact network.

It is the network of `build_pspnet("efficientnet_lite0")` with these differences: batch
normalisation is part of the convolutions; the picture is mapped to multiples of 2^-16 first;
pooling adds exactly and divides integers; maps are resized with weights that are multiples of 1/64;
and the head is a sum of five convolutions, one for each map that the original concatenates, since a
single one of 448 channels leaves its inputs 7 bits only.
"""

import functools
import itertools
from typing import TypeAlias

import keras
from keras import layers

from smapcomp.design import NUM_CLASSES
from smapcomp.models.architecture import (
    OUTPUT_STRIDE,
    PYRAMID_BINS,
    SEGMENTER_OFFSET,
    Lite0Block,
    lite0_stages,
)
from smapcomp.models.backbones import LITE0_STEM_FILTERS
from smapcomp.models.exact_layers import ExactConv2D, ExactRounding, ExactSignal
from smapcomp.models.spatial import (
    ExactAveragePooling2D,
    ExactResizeLike,
    PadToMultiple,
    UpsampleToGrid,
)

Tensor: TypeAlias = keras.KerasTensor

BRANCH_FILTERS = 64
HEAD_FILTERS = 128

HEADS = ("head_features", *(f"head_pyramid{bins}" for bins in PYRAMID_BINS))
"""Convolutions of the head, in the order of the maps that `build_pspnet` concatenates."""

POOLED_BITS = 10
"""Bits of the values that pooling adds: 2^13 of them, a picture of two megapixels, then stay below
2^23."""

RESIZED_BITS = 11
"""Bits of the values that are resized; each direction adds six."""

_conv = functools.partial(ExactConv2D, scaled=True)
_relu6_conv = functools.partial(_conv, relu=True, relu_max=6.0)


def build_exact_segmenter() -> keras.Model:
    """Build the exact segmenter.

    Returns:
        Model of float `[batch, height, width, 3]` in [-1, 1] to logits of the classes 1..150,
        `[batch, ceil(height/8), ceil(width/8), 150]`. Sides are at least 16.
    """
    image = keras.Input((None, None, 3), name="image")
    x = ExactSignal(offset=SEGMENTER_OFFSET, name="signal")(image)
    x = PadToMultiple(2 * OUTPUT_STRIDE, name="pad")(x)
    x = layers.AveragePooling2D(2, name="halve")(x)
    features = _backbone(x)
    head = [_conv(HEAD_FILTERS, 3, rounded=True, name=HEADS[0])(features)]
    for branch, name in zip(_pyramid(features), HEADS[1:], strict=True):
        head.append(_conv(HEAD_FILTERS, 3, rounded=True, name=name)(branch))
    x = layers.Add(name="head")(head)
    logits = _conv(NUM_CLASSES, 1, relu=True, rounded=True, name="head_logits")(x)
    return keras.Model(image, UpsampleToGrid(OUTPUT_STRIDE, name="logits")([logits, image]))


def _pyramid(x: Tensor) -> list[Tensor]:
    """Return maps of features `[batch, h, w, channels]` averaged over 1, 4, 9 and 36 cells."""
    branches = []
    rounded = ExactRounding(POOLED_BITS, returns_step=True, name="pyramid_rounded")(x)
    for bins in PYRAMID_BINS:
        y = ExactAveragePooling2D(bins, name=f"pyramid{bins}_pool")(rounded)
        y = _conv(BRANCH_FILTERS, 1, name=f"pyramid{bins}")(y)
        y = ExactRounding(RESIZED_BITS, relu=True, name=f"pyramid{bins}_rounded")(y)
        branches.append(ExactResizeLike(name=f"pyramid{bins}_resize")([y, x]))
    return branches


def _backbone(x: Tensor) -> Tensor:
    """Return the features of EfficientNet-Lite0 as `backbones.efficientnet_lite0` has them."""
    x = _conv(LITE0_STEM_FILTERS, 3, 2, name="stem")(x)
    after_relu = True
    for block in itertools.chain.from_iterable(lite0_stages(OUTPUT_STRIDE)):
        x = _block(x, block, after_relu)
        after_relu = False
    return x


def _block(x: Tensor, block: Lite0Block, after_relu: bool) -> Tensor:
    """Build an inverted residual block; `after_relu` says whether its input needs ReLU6 first."""
    name, kernel, stride, dilation, expansion, filters, shifted = block
    inputs, channels = x, x.shape[-1]
    if expansion != 1:
        x = _conv(channels * expansion, 1, name=f"{name}_expand")(x)
        after_relu = True
    padding = "same"
    if shifted:
        x = layers.ZeroPadding2D(((kernel // 2, kernel // 2 - 1),) * 2, name=f"{name}_pad")(x)
        padding = "valid"
    depthwise = _relu6_conv if after_relu else _conv
    x = depthwise(
        x.shape[-1], kernel, stride, padding, dilation, depthwise=True, name=f"{name}_depthwise"
    )(x)
    x = _relu6_conv(filters, 1, rounded=True, name=f"{name}_project")(x)
    if stride == 1 and channels == filters:
        x = layers.Add(name=f"{name}_add")([x, inputs])
    return x
