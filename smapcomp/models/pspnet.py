"""PSPNet for semantic segmentation (arXiv 1612.01105): the papers' networks and a light one."""

from typing import TypeAlias

import keras
from keras import layers, ops

from smapcomp.design import NUM_CLASSES
from smapcomp.models.architecture import OUTPUT_STRIDE, PYRAMID_BINS
from smapcomp.models.backbones import (
    LITE0_BN_EPSILON,
    RESNET_BLOCKS,
    RESNET_BN_EPSILON,
    efficientnet_lite0,
    resnet,
)
from smapcomp.models.spatial import (
    AdaptiveAveragePooling2D,
    PadToMultiple,
    ResizeLike,
    UpsampleToGrid,
)

Tensor: TypeAlias = keras.KerasTensor

DROPOUT = 0.1
"""Share of the channels that are dropped in training. Whole channels are dropped, as in the papers'
segmentation code: neighbouring values of a map are too similar for dropping single ones to help."""


def _conv_bn_relu(x: Tensor, filters: int, kernel: int, epsilon: float, name: str) -> Tensor:
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(epsilon=epsilon, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _pyramid_head(x: Tensor, branch_filters: int, filters: int, epsilon: float) -> Tensor:
    """Map features `[batch, h, w, channels]` to logits `[batch, h, w, 150]`.

    The pooled branches let every logit depend on the whole picture.
    """
    branches = [x]
    for bins in PYRAMID_BINS:
        pooled = AdaptiveAveragePooling2D(bins, name=f"pyramid{bins}_pool")(x)
        pooled = _conv_bn_relu(pooled, branch_filters, 1, epsilon, f"pyramid{bins}")
        branches.append(ResizeLike(name=f"pyramid{bins}_resize")([pooled, x]))
    x = layers.Concatenate(name="pyramid")(branches)
    x = _conv_bn_relu(x, filters, 3, epsilon, "head")
    x = layers.SpatialDropout2D(DROPOUT, name="head_dropout")(x)
    return layers.Conv2D(NUM_CLASSES, 1, name="head_logits")(x)


def _auxiliary_head(x: Tensor, filters: int, epsilon: float) -> Tensor:
    x = _conv_bn_relu(x, filters, 3, epsilon, "auxiliary")
    x = layers.SpatialDropout2D(DROPOUT, name="auxiliary_dropout")(x)
    return layers.Conv2D(NUM_CLASSES, 1, name="auxiliary_logits")(x)


def _build_lite(auxiliary: bool) -> keras.Model:
    image = keras.Input((None, None, 3), name="image")
    # Most of its pictures were up-sampled by 8, so halving them loses nothing and the network takes
    # a quarter of the time.
    x = PadToMultiple(2 * OUTPUT_STRIDE, name="pad")(image)
    x = layers.AveragePooling2D(2, name="halve")(x)
    stages = efficientnet_lite0(x)
    logits = _pyramid_head(stages[-1], 64, 128, LITE0_BN_EPSILON)
    outputs = [UpsampleToGrid(OUTPUT_STRIDE, name="logits")([logits, image])]
    if auxiliary:
        logits = _auxiliary_head(stages[-2], 64, LITE0_BN_EPSILON)
        outputs.append(UpsampleToGrid(OUTPUT_STRIDE, name="auxiliary_resize")([logits, image]))
    return keras.Model(image, outputs if auxiliary else outputs[0])


def _build_paper(depth: str, auxiliary: bool) -> keras.Model:
    image = keras.Input((None, None, 3), name="image")
    stages = resnet(image, depth)
    logits = _pyramid_head(stages[-1], 512, 512, RESNET_BN_EPSILON)
    outputs = [ResizeLike(name="logits")([logits, image])]
    if auxiliary:
        logits = _auxiliary_head(stages[-2], 512, RESNET_BN_EPSILON)
        outputs.append(ResizeLike(name="auxiliary_resize")([logits, image]))
    return keras.Model(image, outputs if auxiliary else outputs[0])


def build_pspnet(backbone: str, auxiliary: bool = False) -> keras.Model:
    """Build a PSPNet.

        image ── backbone ─┬────────────────────────────────── concatenate ── 3×3 ── 1×1 ─> logits
                           ├─ mean over 1×1 cells ── 1×1 ── resize ─┤
                           ├─ mean over 2×2 cells ── 1×1 ── resize ─┤
                           ├─ mean over 3×3 cells ── 1×1 ── resize ─┤
                           └─ mean over 6×6 cells ── 1×1 ── resize ─┘

    Args:
        backbone: "resnet50" or "resnet101" for the papers' networks (docs/spec.md, section 2), or
            "efficientnet_lite0" for the lite variant's, which sees the picture at half its size.
            Its branches have 64 filters and its head has 128, so that it takes 6 MB in float16.
        auxiliary: Whether to add a second output of the same shape, which only training needs: the
            logits of a head on the last stage but one (loss weight 0.4). Names and weights of all
            other layers stay the same.

    Returns:
        Model of float `[batch, height, width, 3]` in [-1, 1] to logits of the classes 1..150. The
        papers' networks take any size and return `[batch, height, width, 150]`, interpolated from
        the 1/8 grid. The lite network takes sides of at least 16 and returns
        `[batch, ceil(height/8), ceil(width/8), 150]`, one for each 8×8 block.

    Raises:
        ValueError: The backbone is unknown.
    """
    if backbone == "efficientnet_lite0":
        return _build_lite(auxiliary)
    if backbone in RESNET_BLOCKS:
        return _build_paper(backbone, auxiliary)
    allowed = [*sorted(RESNET_BLOCKS), "efficientnet_lite0"]
    raise ValueError(f"backbone must be one of {allowed}, got {backbone!r}")


def label_map_from_logits(logits: Tensor, stride: int = 1) -> Tensor:
    """Return the label map of the likeliest class of every block.

    Args:
        logits: float `[batch, h, w, 150]` of the classes 1..150.
        stride: Side of a block in pixels: 1 for the papers' networks, 8 for the lite one.

    Returns:
        uint8 `[batch, h*stride, w*stride]` in 1..150; of equal logits the lower label counts. If
        the sides of the picture are no multiples of `stride`, the map is larger than the picture.
    """
    label_map = ops.cast(ops.argmax(logits, axis=-1) + 1, "uint8")
    return ops.repeat(ops.repeat(label_map, stride, axis=1), stride, axis=2)
