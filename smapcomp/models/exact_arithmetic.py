"""Integer arithmetic of exact networks, by NumPy alone; `exact_reference` has the networks.

A tensor is a `Map`: integers and exponents, which stand for integers · 2^-exponent. All steps are
sums, products, shifts and, in pooling, quotients of integers. Pictures have no batch axis.
"""

from dataclasses import dataclass

import numpy as np

from smapcomp.design import NUM_LABELS
from smapcomp.models.exact_weights import Arrays, layer_arrays

LARGEST_SHIFT = 38
"""Shift to the left from which on every number but zero is clipped."""


@dataclass(frozen=True)
class Map:
    """Tensor of the numbers values · 2^-exponent.

    Attributes:
        values: int64 `[height, width, channels]`.
        exponent: int or int64, of a shape that broadcasts to that of `values`.
    """

    values: np.ndarray
    exponent: int | np.ndarray

    def numbers(self) -> np.ndarray:
        """Return the numbers in float32, which holds them if they come from an exact network."""
        return np.ldexp(self.values.astype(np.float64), -self.exponent).astype(np.float32)


def conv(
    stored: Arrays,
    name: str,
    x: Map,
    stride: int = 1,
    dilation: int = 1,
    pads: tuple[int, int] | None = None,
) -> Map:
    """Convolve, after rounding the inputs to the layer's grid.

    A partial sum is less than 2^24 (`exact_weights.largest_sums`), so matrix products of float64
    are those of integers.

    Args:
        stored: Weights of the network.
        name: Name of the layer.
        x: `[height, width, channels]`.
        stride: Step in both directions.
        dilation: Distance of the window's positions.
        pads: Zeros before and after the rows and the columns; `None` for as many as
            ceil(side/stride) outputs need, the odd one after.

    Returns:
        `[out_height, out_width, filters]`, on the layer's `output_grid` if it has one.
    """
    layer = layer_arrays(stored, name)
    kernel = layer["kernel"].astype(np.float64)
    depthwise = layer["kernel_exponent"].ndim == 2
    values = round_to(layer["input_grid"], x, layer.get("input_shift", 0)).values
    extent = (kernel.shape[0] - 1) * dilation + 1
    padding = [pads or _same_padding(side, stride, extent) for side in values.shape[:2]]
    values = np.pad(values, (*padding, (0, 0))).astype(np.float64)
    height, width = ((side - extent) // stride + 1 for side in values.shape[:2])
    total = np.zeros((height, width, len(layer["bias"])))
    for i, j in np.ndindex(*kernel.shape[:2]):
        top, left = i * dilation, j * dilation
        rows = slice(top, top + stride * (height - 1) + 1, stride)
        columns = slice(left, left + stride * (width - 1) + 1, stride)
        seen, weights = values[rows, columns], kernel[i, j]
        total += seen * weights[:, 0] if depthwise else seen @ weights
    exponent = layer["kernel_exponent"].reshape(-1).astype(np.int64) + int(layer["input_grid"][0])
    y = Map(total.astype(np.int64) + layer["bias"], exponent)
    return round_to(layer["output_grid"], y) if "output_grid" in layer else y


def _same_padding(side: int, stride: int, extent: int) -> tuple[int, int]:
    total = max(0, (-(-side // stride) - 1) * stride + extent - side)
    return total // 2, total - total // 2


def label_conv(stored: Arrays, name: str, labels: np.ndarray) -> Map:
    """Add up the rows of the kernel that the labels of each window select.

    Args:
        stored: Weights of the network.
        name: Name of the layer.
        labels: int `[h, w]`. A label outside 0..150, as those beyond the border, selects nothing.
    """
    layer = layer_arrays(stored, name)
    kernel = np.pad(layer["kernel"].astype(np.int64), [(0, 0), (0, 0), (0, 1), (0, 0)])
    labels = np.where((labels < 0) | (labels >= NUM_LABELS), NUM_LABELS, labels)
    height, width = labels.shape
    labels = np.pad(labels, kernel.shape[0] // 2, constant_values=NUM_LABELS)
    total = np.zeros((height, width, kernel.shape[3]), np.int64)
    for i, j in np.ndindex(*kernel.shape[:2]):
        total += kernel[i, j, labels[i : i + height, j : j + width]]
    return Map(total, int(layer["output_grid"][0]))


def round_to(grid: np.ndarray, x: Map, shift: int | np.ndarray = 0) -> Map:
    """Return x · 2^shift on a grid.

    Args:
        grid: int `[3]`: exponent, lowest and highest integer.
        x: Numbers; halves between two integers become the even one.
        shift: int, or int `[channels]`.
    """
    exponent, low, high = (int(value) for value in grid)
    values = shifted(x.values, exponent + shift - np.asarray(x.exponent))
    return Map(np.clip(values, low, high), exponent)


def shifted(values: np.ndarray, left: int | np.ndarray) -> np.ndarray:
    """Return values · 2^left as integers, halves rounded to even.

    Args:
        values: int64 of an absolute value below 2^24.
        left: int of either sign; larger ones than `LARGEST_SHIFT` count as that.
    """
    left = np.clip(np.asarray(left, np.int64), -LARGEST_SHIFT, LARGEST_SHIFT)
    values = values << np.maximum(left, 0)
    right = np.maximum(-left, 0)
    whole = values >> right
    twice_rest = 2 * (values - (whole << right))
    unit = np.int64(1) << right
    return whole + ((twice_rest > unit) | ((twice_rest == unit) & (whole % 2 == 1)))


def relu(x: Map) -> Map:
    """Return x with zero in the place of negative numbers."""
    return Map(np.maximum(x.values, 0), x.exponent)


def relu6(x: Map) -> Map:
    """Return x clipped to 0..6."""
    exponent = np.maximum(x.exponent, 0)
    return Map(np.clip(shifted(x.values, exponent - x.exponent), 0, 6 << exponent), exponent)


def add(x: Map, y: Map) -> Map:
    """Add numbers of one exponent."""
    assert x.exponent == y.exponent, f"exponents {x.exponent} and {y.exponent} differ"
    return Map(x.values + y.values, x.exponent)


def space_to_depth(x: Map, size: int) -> Map:
    """Return blocks of pixels as channels: rows of a block, then its columns, then channels."""
    height, width, channels = x.values.shape
    values = x.values.reshape(height // size, size, width // size, size, channels)
    shape = (height // size, width // size, size * size * channels)
    return Map(values.transpose(0, 2, 1, 3, 4).reshape(shape), x.exponent)


def depth_to_space(x: Map, size: int) -> Map:
    """Undo `space_to_depth`."""
    height, width, channels = x.values.shape
    values = x.values.reshape(height, width, size, size, channels // size**2)
    shape = (size * height, size * width, channels // size**2)
    return Map(values.transpose(0, 2, 1, 3, 4).reshape(shape), x.exponent)


def average_pool(x: Map, bins: int) -> Map:
    """Return the means of bins × bins cells, which may overlap, in units of 1/64.

    Cell i of n rows has those from floor(i·n/bins) to ceil((i + 1)·n/bins), the end excluded.
    Halves are rounded away from zero.
    """
    height, width, channels = x.values.shape
    means = np.zeros((bins, bins, channels), np.int64)
    for i, j in np.ndindex(bins, bins):
        rows, columns = (
            slice(k * side // bins, -(-(k + 1) * side // bins))
            for k, side in ((i, height), (j, width))
        )
        cell = x.values[rows, columns]
        total, count = cell.sum((0, 1)), cell.shape[0] * cell.shape[1]
        means[i, j] = np.sign(total) * ((128 * np.abs(total) + count) // (2 * count))
    return Map(means, x.exponent + 6)


def resize(x: Map, shape: tuple[int, int]) -> Map:
    """Interpolate linearly between centres of cells, with weights in units of 1/64."""
    rows, columns = (
        _interpolation(size_out, size_in)
        for size_out, size_in in zip(shape, x.values.shape[:2], strict=True)
    )
    return Map(np.einsum("nh,hwc,mw->nmc", rows, x.values, columns, optimize=True), x.exponent + 12)


def _interpolation(size_out: int, size_in: int) -> np.ndarray:
    """Return the weights of the inputs for each output, int `[size_out, size_in]` in 0..64."""
    place = 32 * ((2 * np.arange(size_out) + 1) * size_in - size_out) // size_out
    place = np.clip(place, 0, 64 * (size_in - 1))
    return np.maximum(64 - np.abs(place[:, None] - 64 * np.arange(size_in)), 0)


def double(x: Map) -> Map:
    """Interpolate linearly to twice as many rows and columns; each has weights 1/4 and 3/4."""
    values = x.values
    for axis in (0, 1):
        pads = [(int(k == axis), int(k == axis)) for k in range(3)]
        padded = np.pad(values, pads, mode="edge")
        before, after = (
            padded.take(range(start, start + values.shape[axis]), axis) for start in (0, 2)
        )
        shape = [side * (1 + (k == axis)) for k, side in enumerate(values.shape)]
        pair = np.stack([3 * values + before, 3 * values + after], axis + 1)
        values = pair.reshape(shape)
    return Map(values, x.exponent + 4)
