"""Rate model: a differentiable estimate of the bits of the lossless compact layer, for training.

JPEG XL has no gradient. In its place, a small causal network models each level from its neighbours
above and to the left and from the channels before it. It is trained together with CompNet and not
used afterwards: no stream depends on it.
"""

import keras
import numpy as np
from keras import ops

CONTEXT = 5
"""Side of the window. Its rows above the middle and the left half of its middle row are the context
of a pixel."""

MIXTURE = 3
"""Number of logistic components of a level's distribution (PixelCNN++: 5 to 10 for 8 bits)."""


@keras.saving.register_keras_serializable(package="smapcomp")
class CausalConv2D(keras.layers.Layer):
    """Convolution over the pixels that precede the current one in raster order.

    It maps float `[batch, height, width, channels]` to `[batch, height, width, filters]`.

    Args:
        filters: Number of output channels.
        kernel_size: Side of the window, an odd number.
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
    """Build the rate model.

    Args:
        max_level: Highest level of the compact image; levels are 0..max_level.
        filters: Channels of the hidden layers.

    Returns:
        Model that maps levels, float `[batch, height, width, 3]`, to the bits of each level, at
        least 0, of the same shape.
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
    """Return -log2 of the mixture's probability of a level; end levels include the tails."""
    weight, mean, log_scale = ops.split(parameters, 3, axis=-1)
    mean = (mean + 1.0) * (max_level / 2.0)
    inverse_scale = ops.exp(-ops.clip(log_scale, -4.0, 5.0))
    upper = ops.sigmoid((level + 0.5 - mean) * inverse_scale)
    lower = ops.sigmoid((level - 0.5 - mean) * inverse_scale)
    upper = ops.where(level > max_level - 0.5, 1.0, upper)
    lower = ops.where(level < 0.5, 0.0, lower)
    probability = ops.sum(ops.softmax(weight, axis=-1) * (upper - lower), axis=-1, keepdims=True)
    return -ops.log(ops.maximum(probability, 1e-6)) / float(np.log(2.0))
