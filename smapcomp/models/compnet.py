"""CompNet, which makes the compact image from a picture and its label map."""

import keras
from keras import ops

from smapcomp.design import COMPNET_SCALE
from smapcomp.models.label_conv import LabelConv2D
from smapcomp.models.layers import (
    LabelStride,
    SpaceToDepth,
    conv,
    norm_relu,
)


def build_compnet(variant: str) -> keras.Model:
    """Build CompNet.

    "paper" (docs/spec.md, section 2; 2,107,459 parameters):

        image, label map ── 7×7, 64 ── 3×3/2, 128 ── 3×3/2, 256 ── 3×3/2, 512 ── 7×7, 3 ── tanh

    "lite" (218,019 parameters) adds a learned correction to the mean of each block:

        image ─┬─ mean of 8×8 blocks ───────────────────────────────────────────────────── + ── clip
               └─ 2×2 to channels ── 3×3/2, 32 ── 3×3/2, 64 ── 3×3 ── + ── 2 blocks ── 3×3 ┘
        labels of the 1/8 grid ── 1×1 label convolution ──────────────┘

    Args:
        variant: "paper" or "lite".

    Returns:
        Model of `[image, label_map]`, float `[batch, height, width, 3]` in [-1, 1] and int
        `[batch, height, width]` in 0..150, to float `[batch, height/8, width/8, 3]` in [-1, 1],
        not quantised. Height and width are multiples of 8, at least 16; "paper" needs 32, since
        its last layer reflects three rows of the 1/8 grid.

    Raises:
        ValueError: The variant is unknown.
    """
    builders = {"paper": _paper, "lite": _lite}
    if variant not in builders:
        raise ValueError(f"variant {variant!r} is unknown; allowed: {', '.join(builders)}")
    image = keras.Input((None, None, 3), name="image")
    label_map = keras.Input((None, None), dtype="int32", name="label_map")
    outputs = builders[variant](image, label_map)
    return keras.Model([image, label_map], outputs, name=f"compnet_{variant}")


def _paper(image, label_map):
    x = conv(image, 64, 7, pad="reflect", name="conv0")
    x = x + LabelConv2D(64, 7, padding="reflect", initializer=_normal(), name="labels0")(label_map)
    x = norm_relu(x, name="conv0")
    for i, filters in enumerate((128, 256, 512), 1):
        x = conv(x, filters, 3, strides=2, name=f"conv{i}")
        x = norm_relu(x, name=f"conv{i}")
    # The compact image is float32 under any dtype policy: a bfloat16 step is half a grey level.
    x = conv(x, 3, 7, pad="reflect", name="conv4", dtype="float32")
    return keras.layers.Activation("tanh", dtype="float32", name="tanh")(x)


def _lite(image, label_map):
    """Return the mean of each block plus a learned correction, without normalisation.

    The mean alone is a good compact image. The last layer starts with zeros, so training begins
    there and learns only how to make the image cheaper to code or a better source of the
    prediction. Mean and correction are float32 under any dtype policy, since bfloat16 has fewer
    steps than the compact image.
    """
    mean = keras.layers.AveragePooling2D(COMPNET_SCALE, dtype="float32", name="mean")(image)
    x = SpaceToDepth(2, name="blocks")(image)
    for i, filters in enumerate((32, 64), 1):
        x = conv(x, filters, 3, strides=2, name=f"conv{i}")
        x = keras.layers.ReLU(name=f"conv{i}_relu")(x)
    labels = LabelStride(COMPNET_SCALE, name="label_grid")(label_map)
    x = conv(x, 64, 3, name="conv3")
    x = x + LabelConv2D(64, 1, initializer=_normal(), name="labels3")(labels)
    x = keras.layers.ReLU(name="conv3_relu")(x)
    for i in range(2):
        y = conv(x, 64, 3, name=f"block{i}_conv1")
        y = keras.layers.ReLU(name=f"block{i}_relu")(y)
        x = x + conv(y, 64, 3, name=f"block{i}_conv2")
    correction = keras.layers.Conv2D(
        3, 3, padding="same", kernel_initializer="zeros", dtype="float32", name="correction"
    )(x)
    return ops.clip(mean + correction, -1.0, 1.0)


def _normal():
    return keras.initializers.RandomNormal(stddev=0.02)
