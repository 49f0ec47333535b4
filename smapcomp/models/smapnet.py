"""SMapNet: from the labels found on the up-sampled compact image to those of the picture."""

import math

import keras
from keras import layers

from smapcomp.design import NUM_CLASSES


def build_smapnet(
    representation: str = "index",
    channels: int | None = None,
    filters: int = 64,
    blocks: int = 9,
) -> keras.Model:
    """Builds the recursive residual network that corrects a label map (SPEC section 2).

    With the default sizes it has 77,190 trainable parameters for three index channels and 74,882
    for one. The statistics of the batch normalisation, two a channel, are not among them.

    Args:
        representation: "index": label id / 255 in [0, 1], replicated over the channels; the
            output times 255, averaged over the channels, rounded and clipped to 0..150 is the
            corrected map. "classes": logits in, logits out; argmax + 1 is the corrected map
            (decided here: averages of ids are ids of unrelated classes).
        channels: Of input and output. "index": 3, the default and the supplement's text, or 1,
            the authors' released weights. "classes": 150 by default.
        filters: Of all hidden layers.
        blocks: Passes through the one pair of shared convolutions.

    Returns:
        Model of float `[batch, height, width, channels]` to the same shape, of any height and
        width. The input is added to the output, so the network learns the difference.

    Raises:
        ValueError: The representation is unknown.
    """
    defaults = {"index": 3, "classes": NUM_CLASSES}
    if representation not in defaults:
        allowed = ", ".join(defaults)
        raise ValueError(f"representation {representation!r} is unknown; allowed: {allowed}")
    channels = defaults[representation] if channels is None else channels
    x = keras.Input((None, None, channels), name="labels")
    # The values of the PyTorch layer that the released weights were trained with.
    y = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="norm")(x)
    y = _conv(filters, filters, "conv_in")(layers.ReLU(name="norm_relu")(y))
    start = layers.ReLU(name="conv_in_relu")(y)
    conv1 = _conv(filters, filters, "conv1")
    conv2 = _conv(filters, filters, "conv2")
    out = start
    for i in range(blocks):
        y = conv1(layers.ReLU(name=f"block{i}_relu1")(out))
        y = conv2(layers.ReLU(name=f"block{i}_relu2")(y))
        out = layers.Add(name=f"block{i}")([y, start])
    last = _conv(channels, filters, "conv_out")
    if representation == "classes":
        # Decided here: logits start as they came, since the label map is right in most places.
        last.kernel_initializer = keras.initializers.Zeros()
    y = last(layers.ReLU(name="out_relu")(out))
    outputs = layers.Add(name="corrected")([y, x])
    return keras.Model(x, outputs, name=f"smapnet_{representation}")


def _conv(outputs: int, filters: int, name: str) -> layers.Conv2D:
    """3×3, zero padding, no bias; the same N(0, sqrt(2 / (9·filters))) in every layer."""
    return layers.Conv2D(
        outputs,
        3,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.RandomNormal(stddev=math.sqrt(2 / (9 * filters))),
        name=name,
    )
