"""Layers that change the size of feature maps.

Height and width may be unknown when the graph is built. The layers use `keras.ops` only, so they
run under every Keras backend.
"""

from typing import TypeAlias

import keras
from keras import ops

Tensor: TypeAlias = keras.KerasTensor

MEAN_UNITS = 64
"""Units of exact means in a step of the values."""


def _bin_members(bins: int, size: int | Tensor) -> Tensor:
    """Return float32 `[bins, size]`, whose row i is 1 at the positions of bin i and 0 elsewhere."""
    index = ops.arange(bins, dtype="int32")
    start = index * size // bins
    end = ((index + 1) * size + bins - 1) // bins
    position = ops.arange(size, dtype="int32")[None, :]
    inside = ops.logical_and(position >= start[:, None], position < end[:, None])
    return ops.cast(inside, "float32")


def _bin_matrix(bins: int, size: int | Tensor) -> Tensor:
    """Return float32 `[bins, size]`, whose row i averages the positions of bin i."""
    members = _bin_members(bins, size)
    return members / ops.sum(members, axis=1, keepdims=True)


def _bilinear_matrix(size_out: int | Tensor, size_in: int | Tensor) -> Tensor:
    """Return the float32 matrix `[size_out, size_in]` of linear interpolation between centres."""
    scale = ops.cast(size_in, "float32") / ops.cast(size_out, "float32")
    centre = (ops.cast(ops.arange(size_out, dtype="int32"), "float32") + 0.5) * scale - 0.5
    centre = ops.clip(centre, 0.0, ops.cast(size_in, "float32") - 1.0)
    position = ops.cast(ops.arange(size_in, dtype="int32"), "float32")
    return ops.relu(1.0 - ops.abs(centre[:, None] - position[None, :]))


def _apply_matrices(rows: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    """Apply [n, H] to the rows and [m, W] to the columns of [B, H, W, C]; return [B, n, m, C]."""
    rows, columns = (ops.cast(matrix, values.dtype) for matrix in (rows, columns))
    return ops.einsum("mw,bnwc->bnmc", columns, ops.einsum("nh,bhwc->bnwc", rows, values))


def resize_bilinear(values: Tensor, height: int | Tensor, width: int | Tensor) -> Tensor:
    """Resize a map by bilinear interpolation between pixel centres, without antialiasing.

    `keras.ops.image.resize` of Keras 3.15 compares the sizes in Python, so it cannot take sizes
    that are known only when a TensorFlow graph runs. This uses two small matrix products.

    Args:
        values: float `[batch, h, w, channels]`.
        height: New height.
        width: New width.

    Returns:
        `[batch, height, width, channels]` of the same dtype.
    """
    _, height_in, width_in, _ = ops.shape(values)
    return _apply_matrices(
        _bilinear_matrix(height, height_in), _bilinear_matrix(width, width_in), values
    )


@keras.saving.register_keras_serializable(package="smapcomp")
class AdaptiveAveragePooling2D(keras.layers.Layer):
    """Average pooling of a map of any size into bins x bins cells, which may overlap.

    Cell i of a side of n covers floor(i*n/bins) to ceil((i+1)*n/bins), the end excluded. This is
    PyTorch's AdaptiveAvgPool2d, with which the published PSPNet weights were trained. The layer of
    Keras needs the size when the graph is built.

    float `[batch, height, width, channels]` to `[batch, bins, bins, channels]` of the same dtype.

    Args:
        bins: Cells along a side; height and width may be smaller.

    Raises:
        ValueError: `bins` is less than 1.
    """

    def __init__(self, bins: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if bins < 1:
            raise ValueError(f"bins must be at least 1, got {bins!r}")
        self.bins = bins

    def call(self, inputs: Tensor) -> Tensor:
        _, height, width, _ = ops.shape(inputs)
        return _apply_matrices(
            _bin_matrix(self.bins, height), _bin_matrix(self.bins, width), inputs
        )

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self.bins, self.bins, input_shape[3])

    def get_config(self) -> dict:
        return {**super().get_config(), "bins": self.bins}


@keras.saving.register_keras_serializable(package="smapcomp")
class ResizeLike(keras.layers.Layer):
    """`resize_bilinear` of the first input to the height and width of the second.

    float `[batch, h, w, channels]` and `[batch, height, width, any]` to
    `[batch, height, width, channels]`.
    """

    def call(self, inputs: list[Tensor]) -> Tensor:
        values, like = inputs
        shape = ops.shape(like)
        return resize_bilinear(values, shape[1], shape[2])

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        values, like = input_shape
        return (values[0], like[1], like[2], values[3])


@keras.saving.register_keras_serializable(package="smapcomp")
class PadToMultiple(keras.layers.Layer):
    """Padding of height and width to the next multiples by repeating the last row and column.

    Zeros would be a grey bar, which the network would see as an object.

    Args:
        multiple: Number that height and width become multiples of.

    Raises:
        ValueError: `multiple` is less than 1.
    """

    def __init__(self, multiple: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if multiple < 1:
            raise ValueError(f"multiple must be at least 1, got {multiple!r}")
        self.multiple = multiple

    def call(self, inputs: Tensor) -> Tensor:
        for axis in (1, 2):
            size = ops.shape(inputs)[axis]
            padded = (size + self.multiple - 1) // self.multiple * self.multiple
            index = ops.minimum(ops.arange(padded, dtype="int32"), size - 1)
            inputs = ops.take(inputs, index, axis=axis)
        return inputs

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, height, width, channels = input_shape
        return (batch, self._round_up(height), self._round_up(width), channels)

    def _round_up(self, size: int | None) -> int | None:
        return None if size is None else -(-size // self.multiple) * self.multiple

    def get_config(self) -> dict:
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable(package="smapcomp")
class UpsampleToGrid(keras.layers.Layer):
    """Up-sampling of a map by 2, cropped to one cell for each block of a picture.

    float `[batch, h, w, channels]` and the picture `[batch, height, width, any]` to
    `[batch, ceil(height/stride), ceil(width/stride), channels]`. 2h is at least
    ceil(height/stride), and 2w at least ceil(width/stride). The weights are 1/4 and 3/4.

    Args:
        stride: Side of a block in pixels.

    Raises:
        ValueError: `stride` is less than 1.
    """

    def __init__(self, stride: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if stride < 1:
            raise ValueError(f"stride must be at least 1, got {stride!r}")
        self.stride = stride

    def call(self, inputs: list[Tensor]) -> Tensor:
        values, picture = inputs
        shape, size = ops.shape(values), ops.shape(picture)
        height, width = ((n + self.stride - 1) // self.stride for n in size[1:3])
        rows, columns = (_fixed_point_bilinear_matrix(2 * n, n) for n in shape[1:3])
        return _apply_matrices(rows, columns, values)[:, :height, :width]

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        values, picture = input_shape
        height, width = (None if n is None else -(-n // self.stride) for n in picture[1:3])
        return (values[0], height, width, values[3])

    def get_config(self) -> dict:
        return {**super().get_config(), "stride": self.stride}


@keras.saving.register_keras_serializable(package="smapcomp")
class ExactAveragePooling2D(AdaptiveAveragePooling2D):
    """`AdaptiveAveragePooling2D` by exact sums and a division of integers.

    Compilers may multiply by the reciprocal instead of dividing floats, which rounds differently.

    float32 `[batch, height, width, channels]` of multiples of a step, at most 511 of them, and the
    step, float32 `[]`, to float32 `[batch, bins, bins, channels]` of multiples of step/64. Halves
    are rounded away from zero. A cell has 2^15 positions at most.

    Attributes:
        quantises: Whether means are rounded to multiples of step/64.
    """

    def __init__(self, bins: int, **kwargs: object) -> None:
        super().__init__(bins, **kwargs)
        self.quantises = True

    def call(self, inputs: list[Tensor], training: bool = False) -> Tensor:
        """Pool; `training` says whether gradients are needed, the values are the same."""
        values, step = inputs
        if not self.quantises:
            return super().call(values)
        _, height, width, _ = ops.shape(values)
        rows, columns = _bin_members(self.bins, height), _bin_members(self.bins, width)
        count = ops.sum(rows, axis=1)[:, None] * ops.sum(columns, axis=1)[None, :]
        count = ops.cast(count, "int32")[None, :, :, None]
        total = ops.cast(_apply_matrices(rows, columns, values) / step, "int32")
        # No operand is negative, since engines do not agree on the quotients of such.
        mean = (2 * MEAN_UNITS * ops.abs(total) + count) // (2 * count)
        mean = ops.cast(ops.where(total < 0, -mean, mean), "float32") * (step / MEAN_UNITS)
        if training:
            smooth = super().call(values)
            mean = ops.stop_gradient(mean) + (smooth - ops.stop_gradient(smooth))
        return mean

    def compute_output_shape(self, input_shape):
        return super().compute_output_shape(input_shape[0])


@keras.saving.register_keras_serializable(package="smapcomp")
class ExactResizeLike(ResizeLike):
    """`ResizeLike` with weights that are multiples of 1/64, computed in integers."""

    def call(self, inputs: list[Tensor]) -> Tensor:
        values, like = inputs
        _, height, width, _ = ops.shape(values)
        shape = ops.shape(like)
        rows = _fixed_point_bilinear_matrix(shape[1], height)
        columns = _fixed_point_bilinear_matrix(shape[2], width)
        return _apply_matrices(rows, columns, values)


def _fixed_point_bilinear_matrix(size_out: int | Tensor, size_in: int | Tensor) -> Tensor:
    """Return `_bilinear_matrix` with weights rounded down or up to multiples of 1/64."""
    position = ops.arange(size_out, dtype="int32")
    # Centres in units of 1/64, rounded down.
    centre = 32 * ((2 * position + 1) * size_in - size_out) // size_out
    centre = ops.clip(centre, 0, 64 * (size_in - 1))
    cells = 64 * ops.arange(size_in, dtype="int32")
    distance = ops.abs(centre[:, None] - cells[None, :])
    return ops.cast(ops.maximum(64 - distance, 0), "float32") / 64.0
