"""PSPNet semantic segmentation (arXiv 1612.01105): the papers' networks, and a light one."""

import keras
from keras import layers, ops

from smapcomp.design import NUM_CLASSES
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

Tensor = keras.KerasTensor

OUTPUT_STRIDE = 8
PYRAMID_BINS = (1, 2, 3, 6)
DROPOUT = 0.1


def _conv_bn_relu(x: Tensor, filters: int, kernel: int, epsilon: float, name: str) -> Tensor:
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(epsilon=epsilon, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


# Whole channels are dropped, as the authors' segmentation code does: neighbours in a map are too
# alike for single values to be missed.
def _pyramid_head(x: Tensor, branch_filters: int, filters: int, epsilon: float) -> Tensor:
    """Maps features [B, h, w, C] to class logits [B, h, w, 150] that see the whole picture."""
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
    # The lite segmenter mostly sees pictures that were up-sampled by 8: half the size loses nothing
    # and costs a quarter.
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
    """Builds a PSPNet: image float [B, H, W, 3] in [-1, 1] -> logits of the classes 1..150.

    "resnet50" and "resnet101" are the papers' (SPEC section 2): logits [B, H, W, 150], bilinear
    from the 1/8 grid, for any H and W. "efficientnet_lite0" is the lite variant's: logits
    [B, ceil(H/8), ceil(W/8), 150], one for each started 8x8 block, for H and W from 16; its
    pyramid has 64 filters a branch and 128 in the head (decided here: the whole of it takes 6 MB
    in float16).

    Args:
        backbone: "resnet50", "resnet101" or "efficientnet_lite0".
        auxiliary: adds the training-only second output, of the same shape, from the last stage but
            one (loss weight 0.4). All other layers keep their names and weights.

    Raises:
        ValueError: unknown backbone.
    """
    if backbone == "efficientnet_lite0":
        return _build_lite(auxiliary)
    if backbone in RESNET_BLOCKS:
        return _build_paper(backbone, auxiliary)
    allowed = [*sorted(RESNET_BLOCKS), "efficientnet_lite0"]
    raise ValueError(f"backbone must be one of {allowed}, got {backbone!r}")


def label_map_from_logits(logits: Tensor, stride: int = 1) -> Tensor:
    """Takes the likeliest class of every cell, and repeats it over the cell's pixels.

    Args:
        logits: float [B, h, w, 150] of the classes 1..150.
        stride: pixels on a side of a cell: 1 for the papers' networks, 8 for the lite one.

    Returns:
        Label map uint8 [B, h*stride, w*stride], 1..150; of two equal logits the lower id. A picture
        whose sides are no multiples of `stride` still has to be cropped out of it.
    """
    label_map = ops.cast(ops.argmax(logits, axis=-1) + 1, "uint8")
    return ops.repeat(ops.repeat(label_map, stride, axis=1), stride, axis=2)
