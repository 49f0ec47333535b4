"""Two-scale discriminator for the adversarial loss and the feature-matching loss."""

import keras
from keras import layers, ops

from smapcomp.models.label_conv import LabelConv2D, LabelPool2D
from smapcomp.models.layers import InstanceNormalization, conv

FILTERS = {"paper": 64, "lite": 32}
"""Filters of the first convolution by variant. The next three have 2, 4 and 8 times as many. "lite"
is half the size of "paper", for training without a GPU."""


def build_discriminator(variant: str) -> keras.Model:
    """Build the discriminator: two networks of the same shape that judge patches of a picture.

    The second one sees the picture at half its size:

        image, label map ─┬─ 4×4/2 ── 4×4/2 ── 4×4/2 ── 4×4 ── 4×4, 1 ─> features, scores
                          └─ 3×3/2 mean ── the same layers, with own weights ─> features, scores

    A convolution over the concatenated one-hot label map and image is computed as the sum of two:
    a `LabelConv2D` and one over the image. Together their kernels are that convolution's kernel,
    split after the 151st input.

    Args:
        variant: "paper" (docs/spec.md, section 2; 5,838,722 parameters) or "lite".

    Returns:
        Model of `[image, label_map]`, float `[batch, height, width, 3]` in [-1, 1] and int
        `[batch, height, width]` in 0..150, to `[full, half]`, one list for each scale: the features
        of the four hidden layers, float `[batch, h, w, filters]` with h = height // 2 + 1 in the
        first, and the scores, float `[batch, h, w, 1]`, where 1 stands for a real picture. Height
        and width are at least 16.

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
    """Average pooling with a 3×3 window and stride 2, centred on every second pixel.

    float `[batch, height, width, channels]` to `[batch, ceil(height/2), ceil(width/2), channels]`.
    Pixels beyond the border do not count. The "same" pooling of Keras pads even sizes on one side
    only, so its windows are centred elsewhere.
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
