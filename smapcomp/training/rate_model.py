"""What the lossless compact layer will cost, as a differentiable estimate for training.

JPEG XL has no gradient. A small causal network that models each level from its neighbours above
and to the left, and from the channels before it, stands in for its context modelling. It is
trained along with CompNet and thrown away: no stream depends on it.
"""

import keras
import numpy as np
from keras import ops

CONTEXT = 5
"""Side of the window whose upper half, and whose middle row's left half, are the context."""

MIXTURE = 3
"""Logistic components of a level's distribution (PixelCNN++ uses 5 to 10 for 8 bit)."""


@keras.saving.register_keras_serializable(package="smapcomp")
class CausalConv2D(keras.layers.Layer):
    """Convolution that sees only pixels before the current one in raster order.

    float `[batch, height, width, channels]` to `[batch, height, width, filters]`.
    """

    def __init__(self, filters: int, kernel_size: int = CONTEXT, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        mask = np.ones((kernel_size, kernel_size, 1, 1), "float32")
        half = kernel_size // 2
        mask[half, half:] = 0
        mask[half + 1 :] = 0
        self.mask = mask

    def build(self, input_shape):
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="he_normal")
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, x):
        return ops.conv(x, self.kernel * self.mask, padding="same") + self.bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
        }


def build_rate_model(max_level: int, filters: int = 64) -> keras.Model:
    """Builds the estimator.

    Args:
        max_level: Highest level of the compact image; levels are 0..max_level.
        filters: Channels of the hidden layers.

    Returns:
        Model of levels, float `[batch, height, width, 3]`, to bits per channel, float
        `[batch, height, width, 3]`: the cost of each level, at least 0.
    """
    levels = keras.Input((None, None, 3), name="levels")
    scaled = levels * (2.0 / max_level) - 1.0
    context = CausalConv2D(filters, name="context")(scaled)
    context = keras.layers.ReLU(name="context_relu")(context)
    context = keras.layers.Dense(filters, activation="relu", name="context_dense")(context)
    bits = []
    for channel, name in enumerate(("red", "green", "blue")):
        known = context
        if channel:
            known = ops.concatenate([context, scaled[..., :channel]], axis=-1)
        x = keras.layers.Dense(filters // 2, activation="relu", name=f"{name}_dense")(known)
        parameters = keras.layers.Dense(3 * MIXTURE, name=f"{name}_mixture")(x)
        bits.append(_bits(levels[..., channel : channel + 1], parameters, max_level))
    return keras.Model(levels, ops.concatenate(bits, axis=-1), name="rate")


def _bits(level, parameters, max_level: int):
    """-log2 of the mixture's probability of the level, the tails folded into the end levels."""
    weight, mean, log_scale = ops.split(parameters, 3, axis=-1)
    mean = (mean + 1.0) * (max_level / 2.0)
    inverse_scale = ops.exp(-ops.clip(log_scale, -4.0, 5.0))
    upper = ops.sigmoid((level + 0.5 - mean) * inverse_scale)
    lower = ops.sigmoid((level - 0.5 - mean) * inverse_scale)
    upper = ops.where(level > max_level - 0.5, 1.0, upper)
    lower = ops.where(level < 0.5, 0.0, lower)
    probability = ops.sum(ops.softmax(weight, axis=-1) * (upper - lower), axis=-1, keepdims=True)
    return -ops.log(ops.maximum(probability, 1e-6)) / float(np.log(2.0))
