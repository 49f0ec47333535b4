"""SMapNet, which repairs the label map of an up-sampled compact image."""

import math

import keras
from keras import layers

from smapcomp.design import NUM_CLASSES
from smapcomp.models.architecture import SMAPNET_BLOCKS
from smapcomp.models.exact_layers import ExactConv2D, ExactRounding

NORM_EPSILON = 1e-5
"""Number that the batch normalisation adds to variances."""


def build_smapnet(
    representation: str = "index",
    channels: int | None = None,
    filters: int = 64,
    blocks: int = SMAPNET_BLOCKS,
    exact: bool = False,
) -> keras.Model:
    """Build SMapNet, a recursive residual network (docs/spec.md, section 2).

    All blocks share one pair of 3×3 convolutions, conv1 and conv2:

        labels ─┬─ norm ── conv_in ─┬─ conv1 ─ conv2 ─ + ─ … ─ conv1 ─ conv2 ─ + ─ conv_out ─ + ─>
                │                   └──────────────────┴─ … ───────────────────┘
                └─────────────────────────────────────────────────────────────────────────────┘

    With three index channels it has 77,190 trainable parameters, with one 74,882. These do not
    count the statistics of the batch normalisation, two for each channel.

    Args:
        representation: "index" or "classes". "index": the input is label / 255, the same in all
            channels. The mean of the output over the channels, times 255, rounded and clipped to
            0..150, is the repaired map. "classes": the input and the output are logits, and
            argmax + 1 is the repaired map. "classes" avoids that the mean of two labels is the
            label of an unrelated class.
        channels: Channels of input and output. For "index" 3, the default, as in the papers'
            supplement, or 1 as in the authors' released weights; for "classes" 150.
        filters: Filters of all hidden layers.
        blocks: Number of passes through the shared convolutions.
        exact: Whether the network is exact (`smapcomp.models.exact_layers`); "classes" only. Its
            `norm` is a 1×1 convolution of each channel.

    Returns:
        Model of float `[batch, height, width, channels]` to the same shape, for any height and
        width. The input is added to the output, so the network learns the difference.

    Raises:
        ValueError: The representation is unknown, or cannot be exact.
    """
    defaults = {"index": 3, "classes": NUM_CLASSES}
    if representation not in defaults:
        allowed = ", ".join(defaults)
        raise ValueError(f"representation {representation!r} is unknown; allowed: {allowed}")
    channels = defaults[representation] if channels is None else channels
    if exact and representation != "classes":
        raise ValueError(f"representation {representation!r} cannot be exact; allowed: classes")
    conv = _exact_conv if exact else _conv
    x = keras.Input((None, None, channels), name="labels")
    if exact:
        y = ExactConv2D(channels, 1, depthwise=True, name="norm")(x)
    else:
        # Momentum and epsilon of the PyTorch layer that the released weights were trained with.
        y = layers.BatchNormalization(momentum=0.9, epsilon=NORM_EPSILON, name="norm")(x)
    y = conv(filters, filters, "conv_in")(layers.ReLU(name="norm_relu")(y))
    start = layers.ReLU(name="conv_in_relu")(y)
    conv1 = conv(filters, filters, "conv1", rounded=False)
    conv2 = conv(filters, filters, "conv2")
    out = start
    for i in range(blocks):
        y = conv1(layers.ReLU(name=f"block{i}_relu1")(out))
        y = conv2(layers.ReLU(name=f"block{i}_relu2")(y))
        out = layers.Add(name=f"block{i}")([y, start])
    last = conv(channels, filters, "conv_out")
    if representation == "classes":
        # The label map is right in most places, so training starts from unchanged logits.
        last.kernel_initializer = keras.initializers.Zeros()
    y = last(layers.ReLU(name="out_relu")(out))
    unchanged = ExactRounding(name="logits")(x) if exact else x
    outputs = layers.Add(name="corrected")([y, unchanged])
    return keras.Model(x, outputs, name=f"smapnet_{representation}")


def _exact_conv(outputs: int, filters: int, name: str, rounded: bool = True) -> ExactConv2D:
    """Return the exact form of `_conv`; `rounded` says whether its output is added."""
    return ExactConv2D(
        outputs,
        3,
        relu=True,
        rounded=rounded,
        kernel_initializer=_initializer(filters),
        name=name,
    )


def _conv(outputs: int, filters: int, name: str, rounded: bool = True) -> layers.Conv2D:
    """Return a 3×3 convolution without bias."""
    del rounded
    return layers.Conv2D(
        outputs,
        3,
        padding="same",
        use_bias=False,
        kernel_initializer=_initializer(filters),
        name=name,
    )


def _initializer(filters: int) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=math.sqrt(2 / (9 * filters)))
