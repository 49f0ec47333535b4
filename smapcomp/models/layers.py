"""Building blocks that the networks share.

Everything here is written with `keras.layers` and `keras.ops`, so that it runs on every Keras
backend. Where the paper's networks and Keras differ in a default (padding of strided
convolutions, epsilon, shape of transposed convolutions), the difference is bridged here once.
"""

import keras
from keras import ops

from smapcomp.design import max_level


@keras.saving.register_keras_serializable(package="smapcomp")
class ReflectionPad2D(keras.layers.Layer):
    """Pads height and width of `[batch, height, width, channels]` by reflection.

    Args:
        padding: Rows and columns added on every side; less than the height and the width.
    """

    def __init__(self, padding: int, **kwargs):
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, x):
        p = self.padding
        return ops.pad(x, [[0, 0], [p, p], [p, p], [0, 0]], mode="reflect")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        grow = 2 * self.padding
        return (
            batch,
            None if height is None else height + grow,
            None if width is None else width + grow,
            channels,
        )

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}


@keras.saving.register_keras_serializable(package="smapcomp")
class InstanceNormalization(keras.layers.Layer):
    """Normalises every channel of every picture to zero mean and unit variance.

    No scale and no offset, as in the papers' networks. The variance is the biased one.

    Args:
        epsilon: Added to the variance. 1e-5 as in the papers (SPEC section 2); Keras'
            GroupNormalization defaults to 1e-3, which is visibly different on flat pictures.
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, x):
        mean, variance = ops.moments(x, axes=(1, 2), keepdims=True)
        return (x - mean) * ops.rsqrt(variance + self.epsilon)

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="smapcomp")
class SpaceToDepth(keras.layers.Layer):
    """Moves blocks of `size` × `size` pixels into channels.

    `[batch, height, width, channels]` to `[batch, height/size, width/size, size²·channels]`;
    height and width are multiples of `size`.
    """

    def __init__(self, size: int, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, x):
        _, height, width, channels = ops.shape(x)
        s = self.size
        x = ops.reshape(x, (-1, height // s, s, width // s, s, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height // s, width // s, s * s * channels))

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        s = self.size
        return (
            batch,
            None if height is None else height // s,
            None if width is None else width // s,
            s * s * channels,
        )

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="smapcomp")
class DepthToSpace(keras.layers.Layer):
    """The inverse of `SpaceToDepth`."""

    def __init__(self, size: int, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, x):
        _, height, width, channels = ops.shape(x)
        s = self.size
        depth = channels // (s * s)
        x = ops.reshape(x, (-1, height, width, s, s, depth))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height * s, width * s, depth))

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        s = self.size
        return (
            batch,
            None if height is None else height * s,
            None if width is None else width * s,
            channels // (s * s),
        )

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="smapcomp")
class LabelStride(keras.layers.Layer):
    """Reads one label for each block of `stride` × `stride`: the one right of and below its centre.

    int `[batch, height, width]` to int `[batch, height/stride, width/stride]`.
    """

    def __init__(self, stride: int, **kwargs):
        super().__init__(**kwargs)
        self.stride = stride

    def call(self, label_map):
        start = self.stride // 2
        return label_map[:, start :: self.stride, start :: self.stride]

    def compute_output_shape(self, input_shape):
        batch, height, width = input_shape
        s = self.stride
        return (
            batch,
            None if height is None else height // s,
            None if width is None else width // s,
        )

    def get_config(self):
        return {**super().get_config(), "stride": self.stride}


@keras.saving.register_keras_serializable(package="smapcomp")
class CropTopLeft(keras.layers.Layer):
    """Drops the first row and column: what a padded transposed convolution leaves out."""

    def call(self, x):
        return x[:, 1:, 1:, :]

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (
            batch,
            None if height is None else height - 1,
            None if width is None else width - 1,
            channels,
        )


def conv(
    x,
    filters: int,
    kernel_size: int,
    *,
    name: str,
    strides: int = 1,
    pad: str = "zero",
    dtype: str | None = None,
):
    """Convolution with bias as the papers have it: padded on every side, then valid.

    Args:
        x: float `[batch, height, width, channels]`.
        filters: Output channels.
        kernel_size: Odd side of the window.
        name: Layer name, the key of its weights.
        strides: Step in both directions.
        pad: "zero" or "reflect"; `kernel_size // 2` on every side.
        dtype: That it computes in; None for the dtype policy's.

    Returns:
        float `[batch, ceil(height/strides), ceil(width/strides), filters]`.
    """
    half = kernel_size // 2
    if half:
        layer = {"zero": keras.layers.ZeroPadding2D, "reflect": ReflectionPad2D}[pad]
        x = layer(half, name=f"{name}_pad", dtype=dtype)(x)
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="valid",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
        dtype=dtype,
        name=name,
    )(x)


def conv_transpose(x, filters: int, *, name: str):
    """3×3 transposed convolution of stride 2 with padding 1 and output padding 1 on one side.

    float `[batch, height, width, channels]` to `[batch, 2·height, 2·width, filters]`.
    """
    x = keras.layers.Conv2DTranspose(
        filters,
        3,
        strides=2,
        padding="valid",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
        name=name,
    )(x)
    return CropTopLeft(name=f"{name}_crop")(x)


def norm_relu(x, *, name: str):
    """Instance normalisation, then ReLU."""
    x = InstanceNormalization(name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def upsample(compact, scale: int):
    """Half-pixel bilinear up-sampling (SPEC section 2): `u` of the papers.

    Args:
        compact: float `[batch, height, width, channels]`.
        scale: Factor of both sides.

    Returns:
        float `[batch, scale·height, scale·width, channels]`.
    """
    _, height, width, _ = ops.shape(compact)
    return ops.image.resize(compact, (height * scale, width * scale), interpolation="bilinear")


def quantize(compact, step: int):
    """Rounds a compact image to the values that the compact layer can carry.

    The gradient passes straight through.

    Args:
        compact: float in [-1, 1].
        step: Distance of two neighbouring values in units of 1/255; 1 is the papers' 8 bit.

    Returns:
        `(quantized, levels)`: the value that the decoder sees, float in [-1, 1], and its level,
        float 0..round(255/step); quantized = min(levels·step, 255)/127.5 - 1.
    """
    exact = (compact + 1.0) * (127.5 / step)
    rounded = ops.clip(ops.round(exact), 0.0, float(max_level(step)))
    value = ops.minimum(rounded * step, 255.0) / 127.5 - 1.0
    quantized = compact + ops.stop_gradient(value - compact)
    levels = exact + ops.stop_gradient(rounded - exact)
    return quantized, levels
