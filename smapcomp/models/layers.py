"""Layers that the networks share.

They use `keras.layers` and `keras.ops` only, so they run on every Keras backend. The papers'
networks and Keras differ in some defaults (padding of strided convolutions, epsilon, shape of
transposed convolutions); the layers of this module have the papers'.
"""

import keras
from keras import ops

from smapcomp.design import max_level


@keras.saving.register_keras_serializable(package="smapcomp")
class ReflectionPad2D(keras.layers.Layer):
    """Padding of height and width by reflection.

    float `[batch, height, width, channels]` to the same with 2·padding more rows and columns.

    Args:
        padding: Rows and columns to add on every side; less than the height and the width.
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
    """Normalisation of every channel of every picture to zero mean and unit variance.

    It has no scale and no offset, as in the papers' networks. The variance is the biased one.

    Args:
        epsilon: Number that is added to the variance, 1e-5 as in the papers (docs/spec.md,
            section 2). The 1e-3 of Keras' GroupNormalization differs visibly on flat pictures.
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
    """Rearrangement of blocks of pixels into channels.

    `[batch, height, width, channels]` to `[batch, height/size, width/size, size²·channels]`.

    Args:
        size: Side of a block in pixels; divides height and width.
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
    """Inverse of `SpaceToDepth`, also called pixel shuffle.

    `[batch, height, width, size²·channels]` to `[batch, size·height, size·width, channels]`.

    Args:
        size: Side of a block in pixels.
    """

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
    """Selection of one label for each block: the one to the lower right of the block's centre.

    int `[batch, height, width]` to int `[batch, height/stride, width/stride]`.

    Args:
        stride: Side of a block in pixels; divides height and width.
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
    """Removal of the first row and column, which a padded transposed convolution leaves out."""

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
    """Build a convolution with bias that pads every side, as in the papers.

    Args:
        x: float `[batch, height, width, channels]`.
        filters: Output channels.
        kernel_size: Odd side of the window.
        name: Name of the layer and thus of its weights.
        strides: Step in both directions.
        pad: "zero" or "reflect", by `kernel_size // 2` on every side.
        dtype: Dtype of the computation; `None` for that of the dtype policy.

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
    """Build a 3×3 transposed convolution of stride 2, padding 1 and output padding 1.

    Args:
        x: float `[batch, height, width, channels]`.
        filters: Output channels.
        name: Name of the layer.

    Returns:
        float `[batch, 2·height, 2·width, filters]`.
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
    """Build instance normalisation followed by ReLU."""
    x = InstanceNormalization(name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def upsample(compact, scale: int):
    """Up-sample by bilinear interpolation between pixel centres (docs/spec.md, section 2).

    Args:
        compact: float `[batch, height, width, channels]`.
        scale: Factor of both sides.

    Returns:
        The papers' u, float `[batch, scale·height, scale·width, channels]`.
    """
    _, height, width, _ = ops.shape(compact)
    return ops.image.resize(compact, (height * scale, width * scale), interpolation="bilinear")


def quantize(compact, step: int):
    """Round a compact image to the values that the compact layer can carry.

    The gradient passes through unchanged (straight-through estimator).

    Args:
        compact: float in [-1, 1], any shape.
        step: Quantiser step in units of 1/255; the papers' is 1.

    Returns:
        `(quantized, levels)`: the value that the decoder sees, float in [-1, 1], and its level,
        float in 0..`max_level(step)`; quantized = min(levels·step, 255)/127.5 - 1.
    """
    exact = (compact + 1.0) * (127.5 / step)
    rounded = ops.clip(ops.round(exact), 0.0, float(max_level(step)))
    value = ops.minimum(rounded * step, 255.0) / 127.5 - 1.0
    quantized = compact + ops.stop_gradient(value - compact)
    levels = exact + ops.stop_gradient(rounded - exact)
    return quantized, levels
