"""PSPNet semantic segmentation (arXiv 1612.01105) on a light backbone."""

import keras
from keras import layers

from smapcomp.models.backbones import efficientnet_lite0
from smapcomp.models.spatial import (
    AdaptiveAveragePooling2D,
    PadToMultiple,
    ResizeLike,
    UpsampleToGrid,
)

Tensor = keras.KerasTensor

CLASSES = 150
PYRAMID_BINS = (1, 2, 3, 6)
DROPOUT = 0.1


def _conv_bn_relu(x: Tensor, filters: int, kernel: int, epsilon: float, name: str) -> Tensor:
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(epsilon=epsilon, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _pyramid_head(x: Tensor, branch_filters: int, filters: int, epsilon: float) -> Tensor:
    """Maps features [B, h, w, C] to class logits [B, h, w, 150] that see the whole picture."""
    branches = [x]
    for bins in PYRAMID_BINS:
        pooled = AdaptiveAveragePooling2D(bins, name=f"pyramid{bins}_pool")(x)
        pooled = _conv_bn_relu(pooled, branch_filters, 1, epsilon, f"pyramid{bins}")
        branches.append(ResizeLike(name=f"pyramid{bins}_resize")([pooled, x]))
    x = layers.Concatenate(name="pyramid")(branches)
    x = _conv_bn_relu(x, filters, 3, epsilon, "head")
    x = layers.Dropout(DROPOUT, name="head_dropout")(x)
    return layers.Conv2D(CLASSES, 1, name="head_logits")(x)


def _auxiliary_head(x: Tensor, filters: int, epsilon: float) -> Tensor:
    x = _conv_bn_relu(x, filters, 3, epsilon, "auxiliary")
    x = layers.Dropout(DROPOUT, name="auxiliary_dropout")(x)
    return layers.Conv2D(CLASSES, 1, name="auxiliary_logits")(x)


def _build_lite(auxiliary: bool) -> keras.Model:
    image = keras.Input((None, None, 3), name="image")
    # The lite segmenter mostly sees pictures that were up-sampled by 8: half the size loses nothing
    # and costs a quarter.
    x = PadToMultiple(16, name="pad")(image)
    x = layers.AveragePooling2D(2, name="halve")(x)
    stages = efficientnet_lite0(x, output_stride=8)
    logits = _pyramid_head(stages[-1], branch_filters=64, filters=128, epsilon=1e-3)
    outputs = [UpsampleToGrid(8, name="logits")([logits, image])]
    if auxiliary:
        logits = _auxiliary_head(stages[-2], filters=64, epsilon=1e-3)
        outputs.append(UpsampleToGrid(8, name="auxiliary_upsample")([logits, image]))
    return keras.Model(
        image, outputs if auxiliary else outputs[0], name="pspnet_efficientnet_lite0"
    )


def build_pspnet(backbone: str, auxiliary: bool = False) -> keras.Model:
    """Builds a PSPNet: image [B, H, W, 3] in [-1, 1], H, W >= 16 -> logits of the classes 1..150.

    "efficientnet_lite0" is the lite variant's segmenter: logits [B, ceil(H/8), ceil(W/8), 150], one
    for each started 8x8 block.

    Args:
        backbone: "efficientnet_lite0".
        auxiliary: adds the training-only second output, of the same shape, from an earlier stage
            (loss weight 0.4). All other layers keep their names and weights.

    Raises:
        ValueError: unknown backbone.
    """
    if backbone == "efficientnet_lite0":
        return _build_lite(auxiliary)
    raise ValueError(f"backbone must be 'efficientnet_lite0', got {backbone!r}")
