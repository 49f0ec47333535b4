"""The two-scale discriminator of the adversarial and the feature-matching loss."""

import keras
from keras import layers, ops

from smapcomp.models.label_conv import LabelConv2D, LabelPool2D
from smapcomp.models.layers import InstanceNormalization, conv

FILTERS = {"paper": 64, "lite": 32}
"""Of the first convolution; the next three have two, four and eight times as many."""


def build_discriminator(variant: str) -> keras.Model:
    """Builds the discriminator.

    Two networks of the same shape judge patches, the second on a picture of half the size. In
    place of a convolution over the concatenated one-hot map and image, the first layer is the
    sum of one over each; its kernel is that convolution's, split after the 151st input.

    Args:
        variant: "paper" (SPEC section 2; 5,838,722 parameters), or "lite": half the filters, for
            training on a processor (decided here).

    Returns:
        Model of `[image, label_map]`, float `[batch, height, width, 3]` in [-1, 1] and int
        `[batch, height, width]` of 0..150, to `[full, half]`, the scales. Each is the list of
        the four hidden layers' features and the scores, all float, `[batch, h, w, filters]`
        with h = height // 2 + 1 in the first layer and scores `[batch, h, w, 1]` that are 1 for
        real under LSGAN. Any height and width of at least 16.

    Raises:
        ValueError: The variant is unknown.
    """
    if variant not in FILTERS:
        raise ValueError(f"variant {variant!r} is unknown; allowed: {', '.join(FILTERS)}")
    filters = FILTERS[variant]
    image = keras.Input((None, None, 3), name="image")
    label_map = keras.Input((None, None), dtype="int32", name="label_map")
    full = _scale(image, label_map, filters, "full")
    half_image = AveragePool2D(name="half_image")(image)
    half = _scale(half_image, LabelPool2D(name="half_labels")(label_map), filters, "half")
    return keras.Model([image, label_map], [full, half], name=f"discriminator_{variant}")


def _scale(image, labels, filters: int, name: str) -> list:
    normal = keras.initializers.RandomNormal(stddev=0.02)
    x = conv(image, filters, 4, strides=2, name=f"{name}_conv0")
    x = layers.Add(name=f"{name}_sum0")(
        [x, LabelConv2D(filters, 4, 2, initializer=normal, name=f"{name}_labels0")(labels)]
    )
    x = layers.LeakyReLU(0.2, name=f"{name}_relu0")(x)
    features = [x]
    for i, (factor, strides) in enumerate(((2, 2), (4, 2), (8, 1)), 1):
        x = conv(x, factor * filters, 4, strides=strides, name=f"{name}_conv{i}")
        x = InstanceNormalization(name=f"{name}_conv{i}_norm")(x)
        x = layers.LeakyReLU(0.2, name=f"{name}_relu{i}")(x)
        features.append(x)
    return [*features, conv(x, 1, 4, name=f"{name}_conv4")]


@keras.saving.register_keras_serializable(package="smapcomp")
class AveragePool2D(layers.Layer):
    """Halves `[batch, height, width, channels]` by the mean of 3×3 pixels around every second one.

    Pixels beyond the border are not counted. Keras' own "same" pooling of even sizes looks at
    the border of one side only, so its pixels lie elsewhere.
    """

    def call(self, x):
        pads = [[0, 0], [1, 1], [1, 1], [0, 0]]
        inside = ops.pad(ops.ones_like(x[:1, :, :, :1]), pads)
        return _pool(ops.pad(x, pads)) / _pool(inside)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        half = [None if side is None else -(-side // 2) for side in (height, width)]
        return (batch, *half, channels)


def _pool(x):
    return ops.average_pool(x, 3, strides=2, padding="valid")
