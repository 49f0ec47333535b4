"""Layers of exact networks, whose float32 arithmetic rounds nothing inside a sum.

Weights are integers times a power of two, inputs are rounded to a grid of the same kind, and the
largest possible partial sum stays below 2^24 units. Then every order of additions gives the same
bits, on every processor and in every library (docs/exact.md). `smapcomp.models.exact_weights` has
the bound and the form in which weights are stored.

In training the layers quantise too, and gradients pass through the rounding unchanged
(straight-through estimator, arXiv 1308.3432); where a value was clipped its gradient is zero.
"""

from typing import TypeAlias

import keras
from keras import ops

from smapcomp.models.architecture import GREY_SCALE, SIGNAL_EXPONENT
from smapcomp.models.exact_weights import OUTPUT_LIMIT, SUM_LIMIT, WIDE_KERNEL_LIMIT
from smapcomp.models.label_conv import LabelConv2D

Tensor: TypeAlias = keras.KerasTensor

FLOAT32 = "float32"
"""Number format of the layers under any precision policy: bfloat16 cannot hold the grids."""


def in_steps(values: Tensor, step: Tensor, low: Tensor, high: Tensor, training: bool) -> Tensor:
    """Round values to integers in units of a step, halves to even.

    Args:
        values: float32.
        step: Step of the grid, a power of two; broadcast against `values`.
        low: Lowest multiple; values below it become it.
        high: Highest multiple.
        training: Whether gradients are needed.

    Returns:
        float32 integers of the shape of `values`.
    """
    # No multiplication by 1 / step: TensorFlow's optimiser computes it as a reciprocal, which
    # vectorised code approximates, so that it need not be a power of two.
    scaled = ops.clip(values / step, low, high)
    rounded = ops.round(scaled)
    if training:
        # Exact, since the two differ by a half at most: each is at least half of the other, or one
        # is zero.
        rounded = scaled + ops.stop_gradient(rounded - scaled)
    return rounded


def on_grid(values: Tensor, step: Tensor, low: Tensor, high: Tensor, training: bool) -> Tensor:
    """Round values to the multiples of a step; arguments are those of `in_steps`."""
    return in_steps(values, step, low, high, training) * step


def bit_range(bits: int, unsigned: bool) -> tuple[float, float]:
    """Return the lowest and the highest integer of a number of bits; signed ones are symmetric."""
    return (0.0, 2.0**bits - 1) if unsigned else (1 - 2.0 ** (bits - 1), 2.0 ** (bits - 1) - 1)


def round_to(grid: keras.Variable, values: Tensor, training: bool) -> Tensor:
    """Round values to the grid `[step, lowest multiple, highest multiple]` of a layer."""
    step, low, high = ops.unstack(ops.convert_to_tensor(grid))
    return on_grid(values, step, low, high, training)


def _add_grid(layer: keras.layers.Layer, name: str, low: float, high: float) -> keras.Variable:
    return layer.add_weight(
        name=name,
        shape=(3,),
        initializer=lambda shape, dtype=None: ops.convert_to_tensor([2.0**-8, low, high], dtype),
        trainable=False,
        autocast=False,
    )


def _add_output_grid(layer: keras.layers.Layer) -> keras.Variable:
    return _add_grid(layer, "output_grid", -float(OUTPUT_LIMIT), float(OUTPUT_LIMIT))


@keras.saving.register_keras_serializable(package="smapcomp")
class ExactConv2D(keras.layers.Layer):
    """Convolution with bias that rounds its inputs and weights, and its output if that is added.

    float `[batch, height, width, channels]` to float32 `[batch, out_height, out_width, filters]`.

    Args:
        filters: Output channels; for depthwise convolutions the input channels.
        kernel_size: Side of the square window.
        strides: Step in both directions.
        padding: "same" or "valid".
        dilation_rate: Distance of the window's positions.
        depthwise: Whether each channel has a window of its own.
        relu: Whether negative inputs count as zero.
        relu_max: Largest input if `relu`, such as 6 for ReLU6; `None` for no limit.
        rounded: Whether the output is rounded to the grid `output_grid`, so that sums of such
            outputs are exact.
        scaled: Whether each input channel is multiplied by a power of two before it is rounded, so
            that channels of small values are not lost beside those of large ones.
        kernel_initializer: Initializer of the kernel.

    Attributes:
        kernel: Weights of the scaled inputs before quantising, `[kernel_size, kernel_size,
            channels, filters]`, or `[kernel_size, kernel_size, channels, 1]` if depthwise.
        bias: Bias before quantising, `[filters]`.
        kernel_step: Step of each output channel's weights, `[filters]`, or `[channels, 1]`.
        input_scale: Factor of each input channel, `[channels]`, if `scaled`; `None` otherwise.
        input_grid: Step, lowest and highest multiple of the inputs, `[3]`.
        output_grid: The same of the outputs, if `rounded`; `None` otherwise.
        quantises: Whether the layer rounds anything. `smapcomp.training.calibration` sets it to
            `False` to see the values that grids must hold.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        padding: str = "same",
        dilation_rate: int = 1,
        depthwise: bool = False,
        relu: bool = False,
        relu_max: float | None = None,
        rounded: bool = False,
        scaled: bool = False,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": FLOAT32})
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.dilation_rate = dilation_rate
        self.depthwise = depthwise
        self.relu = relu
        self.relu_max = relu_max
        self.rounded = rounded
        self.scaled = scaled
        self.quantises = True
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        channels, side = input_shape[-1], self.kernel_size
        outputs = (channels, 1) if self.depthwise else (self.filters,)
        shape = (side, side, channels, 1 if self.depthwise else self.filters)
        self.kernel = self.add_weight(
            name="kernel", shape=shape, initializer=self.kernel_initializer
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        self.kernel_step = self.add_weight(
            name="kernel_step",
            shape=outputs,
            initializer=keras.initializers.Constant(2.0**-7),
            trainable=False,
        )
        self.input_scale = (
            self.add_weight(
                name="input_scale", shape=(channels,), initializer="ones", trainable=False
            )
            if self.scaled
            else None
        )
        self.input_grid = _add_grid(self, "input_grid", 0.0 if self.relu else -511.0, 511.0)
        self.output_grid = _add_output_grid(self) if self.rounded else None

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Convolve.

        Args:
            inputs: float `[batch, height, width, channels]`.
            training: Whether gradients are needed; the values are the same.
        """
        x = self.activated(ops.cast(inputs, FLOAT32))
        if not self.quantises:
            return self.convolve(x, ops.convert_to_tensor(self.kernel)) + self.bias
        input_step, low, high = ops.unstack(ops.convert_to_tensor(self.input_grid))
        x = in_steps(x, input_step, low, high, training)
        step = ops.convert_to_tensor(self.kernel_step)
        limit = float(WIDE_KERNEL_LIMIT)
        kernel = on_grid(ops.convert_to_tensor(self.kernel), step, -limit, limit, training)
        unit = ops.reshape(step, (-1,)) * input_step
        bias = on_grid(
            ops.convert_to_tensor(self.bias), unit, -float(SUM_LIMIT), float(SUM_LIMIT), training
        )
        # The inputs' step goes into the kernel, which is smaller than the inputs.
        y = self.convolve(x, kernel * input_step) + bias
        return y if self.output_grid is None else round_to(self.output_grid, y, training)

    def activated(self, x: Tensor) -> Tensor:
        """Return the inputs after ReLU and scaling, if the layer has them."""
        if self.relu_max is not None:
            x = ops.clip(x, 0.0, self.relu_max)
        elif self.relu:
            x = ops.relu(x)
        return x if self.input_scale is None else x * ops.convert_to_tensor(self.input_scale)

    def convolve(self, x: Tensor, kernel: Tensor) -> Tensor:
        convolve = ops.depthwise_conv if self.depthwise else ops.conv
        return convolve(
            x,
            kernel,
            strides=self.strides,
            padding=self.padding,
            data_format="channels_last",
            dilation_rate=self.dilation_rate,
        )

    def get_config(self):
        sizes = ("filters", "kernel_size", "strides", "padding", "dilation_rate")
        names = (*sizes, "depthwise", "relu", "relu_max", "rounded", "scaled")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="smapcomp")
class ExactLabelConv2D(LabelConv2D):
    """`LabelConv2D` whose rows lie on the grid `output_grid`, so that its sums are exact.

    Attributes:
        output_grid: Step, lowest and highest multiple of the rows, `[3]`.
    """

    def __init__(self, filters: int, kernel_size: int, **kwargs):
        super().__init__(filters, kernel_size, **{**kwargs, "dtype": FLOAT32})
        self.quantises = True

    def build(self, input_shape):
        super().build(input_shape)
        self.output_grid = _add_output_grid(self)

    def rows(self, training: bool) -> Tensor:
        rows = super().rows(training)
        return round_to(self.output_grid, rows, training) if self.quantises else rows


@keras.saving.register_keras_serializable(package="smapcomp")
class ExactRounding(keras.layers.Layer):
    """Rounding of a tensor of any shape to the grid `output_grid`, so that sums of it are exact.

    Args:
        bits: Bits of the grid's multiples, the sign included unless `relu`; `None` for the grid of
            rounded convolutions, to which it is added.
        relu: Whether negative values become zero.
        returns_step: Whether to return the rounded tensor and its step, a scalar.

    Attributes:
        output_grid: Step, lowest and highest multiple, `[3]`.
    """

    def __init__(
        self,
        bits: int | None = None,
        relu: bool = False,
        returns_step: bool = False,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": FLOAT32})
        self.bits = bits
        self.relu = relu
        self.returns_step = returns_step
        self.quantises = True

    def build(self, input_shape):
        if self.bits is None:
            self.output_grid = _add_output_grid(self)
        else:
            self.output_grid = _add_grid(self, "output_grid", *bit_range(self.bits, self.relu))

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Round; `training` says whether gradients are needed, the values are the same."""
        if self.quantises:
            rounded = round_to(self.output_grid, inputs, training)
        else:
            rounded = ops.relu(inputs) if self.relu else inputs
        step = ops.convert_to_tensor(self.output_grid)[0]
        return [rounded, step] if self.returns_step else rounded

    def compute_output_shape(self, input_shape):
        return [input_shape, ()] if self.returns_step else input_shape

    def get_config(self):
        names = ("bits", "relu", "returns_step")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="smapcomp")
class ExactSignal(keras.layers.Layer):
    """Map of the networks' signal to multiples of 2^-16.

    Grey level p has the signal p/127.5 - 1, which float32 rounds. This returns exactly
    (p - 127.5)/128 + offset, for any such rounding.

    Args:
        offset: Multiple of 2^-16 that is added.
    """

    def __init__(self, offset: float = 0.0, **kwargs):
        super().__init__(**{**kwargs, "dtype": FLOAT32})
        self.offset = offset

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Map; `training` says whether gradients are needed, the values are the same."""
        scaled = ops.cast(inputs, FLOAT32) * GREY_SCALE + self.offset
        return on_grid(scaled, 2.0**-SIGNAL_EXPONENT, -(2.0**17), 2.0**17, training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "offset": self.offset}


def exact_detail(detail: Tensor) -> Tensor:
    """Return an exact network's output, in units of 128 grey levels, in units of the signal."""
    return keras.layers.Rescaling(1 / GREY_SCALE, name="detail_signal", dtype=FLOAT32)(detail)


def residual_conv(
    x: Tensor,
    filters: int,
    size: int,
    name: str,
    *,
    exact: bool,
    relu: bool = False,
    rounded: bool = True,
    initializer: str | keras.initializers.Initializer = "glorot_uniform",
) -> Tensor:
    """Build a convolution of a residual network in float32 or exact arithmetic.

    Args:
        x: float `[batch, height, width, channels]`.
        filters: Output channels.
        size: Side of the window.
        name: Name of the layer and thus of its weights.
        exact: Whether it is an `ExactConv2D`.
        relu: Whether ReLU comes before it.
        rounded: Whether its output is one of several that are added; see `ExactConv2D`.
        initializer: Initializer of the kernel.

    Returns:
        `[batch, height, width, filters]`.
    """
    if exact:
        layer = ExactConv2D(
            filters, size, relu=relu, rounded=rounded, kernel_initializer=initializer, name=name
        )
        return layer(x)
    if relu:
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
    return keras.layers.Conv2D(
        filters, size, padding="same", kernel_initializer=initializer, name=name
    )(x)
