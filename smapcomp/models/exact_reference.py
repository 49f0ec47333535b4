"""Exact networks in integer arithmetic, by NumPy alone.

This is the definition of what the exact networks of the lite variant compute. It is written to be
read, so that a second decoder can be written from it; `docs/exact.md` has the reasons. Engines
compute the same in float32, whose results equal these bit for bit.

A tensor is a `Map`: integers and exponents, which stand for integers · 2^-exponent. All steps are
sums, products, shifts and, in pooling, quotients of integers. Pictures have no batch axis.

The networks read weights in the form of files (`smapcomp.models.exact_weights`), and as many
residual blocks as these have.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from smapcomp.design import NUM_LABELS
from smapcomp.models.architecture import (
    GREY_SCALE,
    LABEL_STRIDE,
    LITE0_SHIFTED_STAGE,
    LITE0_STAGES,
    OUTPUT_STRIDE,
    PYRAMID_BINS,
    SEGMENTER_OFFSET,
    SIGNAL_EXPONENT,
    SMAPNET_BLOCKS,
)
from smapcomp.models.exact_weights import Arrays, check_bounds, layer_arrays

GREY_EXPONENT = 8
"""Grey levels are multiples of 2^-8: 4 bits for the interpolation by 8 in each direction, and one
bit less for smaller factors."""

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


def lossy_finenet(
    stored: Arrays, upsampled: np.ndarray, label_map: np.ndarray, quality: int
) -> Map:
    """Compute the FineNet for lossy compact images.

    Args:
        stored: Its weights, as a file has them.
        upsampled: Up-sampled compact image, int `[height, width, 3]` in 0..65280: grey levels in
            units of 1/256. Sides are multiples of 8.
        label_map: int `[height, width]` in 0..150.
        quality: Quality of the compact image, 0..100.

    Returns:
        Detail `[height, width, 3]` in units of 128 grey levels; see `prediction`.

    Raises:
        ValueError: The weights are not exact (`exact_weights.check_bounds`).
    """
    check_bounds(stored)
    half = space_to_depth(signal(upsampled), 2)
    plane = level(stored, quality)
    plane_values = np.broadcast_to(plane.values, (*half.values.shape[:2], 1))
    exponents = np.array([*[half.exponent] * half.values.shape[2], plane.exponent])
    half = Map(np.concatenate([half.values, plane_values], axis=2), exponents)

    half = _residual_blocks(stored, conv(stored, "conv0", half), "half")
    quarter = conv(stored, "down1", space_to_depth(half, 2))
    quarter = _residual_blocks(stored, quarter, "quarter")
    eighth = conv(stored, "down2", space_to_depth(quarter, 2))
    eighth = add(eighth, label_conv(stored, "labels", label_grid(label_map)))
    eighth = _residual_blocks(stored, eighth, "eighth")
    quarter = add(quarter, depth_to_space(conv(stored, "up2", eighth), 2))
    quarter = _residual_blocks(stored, quarter, "quarter_out")
    half = add(half, depth_to_space(conv(stored, "up1", quarter), 2))
    half = _residual_blocks(stored, half, "half_out")
    return depth_to_space(conv(stored, "detail", half), 2)


def finenet(stored: Arrays, upsampled: np.ndarray, label_map: np.ndarray) -> Map:
    """Compute the FineNet for CompNet's compact images.

    Sides are multiples of 8, at least 16; all else is as in `lossy_finenet`.
    """
    check_bounds(stored)
    x = conv(stored, "conv0", space_to_depth(signal(upsampled), 8))
    start = x = add(x, label_conv(stored, "labels0", label_grid(label_map)))
    x = _residual_blocks(stored, x, "block")
    x = add(conv(stored, "trunk_out", x), start)
    for name in _numbered(stored, "up{}", first=1):
        x = relu(depth_to_space(conv(stored, name, x), 2))
        x = _residual_blocks(stored, x, f"{name}_block")
    return depth_to_space(conv(stored, "detail", x), 2)


def segmenter(stored: Arrays, upsampled: np.ndarray) -> Map:
    """Compute the segmenter.

    Args:
        stored: Its weights, as a file has them.
        upsampled: Picture as `lossy_finenet` takes it, of sides of at least 16.

    Returns:
        Logits of the classes 1..150, `[ceil(height/8), ceil(width/8), 150]`. The label is that of
        the largest logit; of equal ones the lowest counts.

    Raises:
        ValueError: The weights are not exact (`exact_weights.check_bounds`).
    """
    check_bounds(stored)
    height, width, _ = upsampled.shape
    multiple = 2 * OUTPUT_STRIDE
    edges = ((0, -height % multiple), (0, -width % multiple), (0, 0))
    x = signal(np.pad(upsampled, edges, mode="edge"), SEGMENTER_OFFSET)
    # The sum of 2×2 pixels is four times their mean.
    pixels = space_to_depth(x, 2).values.reshape(*(side // 2 for side in x.values.shape[:2]), 4, 3)
    x = Map(pixels.sum(2), x.exponent + 2)
    features = _backbone(stored, x)
    head = conv(stored, "head_features", features)
    rounded = round_to(stored["pyramid_rounded/output_grid"], features)
    for bins in PYRAMID_BINS:
        y = conv(stored, f"pyramid{bins}", average_pool(rounded, bins))
        y = round_to(stored[f"pyramid{bins}_rounded/output_grid"], y)
        y = resize(y, features.values.shape[:2])
        head = add(head, conv(stored, f"head_pyramid{bins}", y))
    logits = double(conv(stored, "head_logits", relu(head)))
    cells = (slice(-(-side // OUTPUT_STRIDE)) for side in (height, width))
    return Map(logits.values[*cells], logits.exponent)


def smapnet(stored: Arrays, logits: Map) -> Map:
    """Compute the SMapNet of representation "classes".

    Args:
        stored: Its weights, as a file has them.
        logits: Logits of the classes, `[h, w, 150]`, as `segmenter` returns them.

    Returns:
        Repaired logits of the same shape.

    Raises:
        ValueError: The weights are not exact (`exact_weights.check_bounds`).
    """
    check_bounds(stored)
    x = conv(stored, "norm", logits)
    start = out = relu(conv(stored, "conv_in", relu(x)))
    for _ in range(SMAPNET_BLOCKS):
        out = conv(stored, "conv2", relu(conv(stored, "conv1", relu(out))))
        out = add(out, start)
    out = conv(stored, "conv_out", relu(out))
    return add(out, round_to(stored["logits/output_grid"], logits))


def prediction(upsampled: np.ndarray, detail: Map) -> np.ndarray:
    """Return a FineNet's prediction, int `[height, width, 3]` in units of 1/256 grey level.

    Args:
        upsampled: Picture that the FineNet read.
        detail: Its output. Its exponent is at most 15, so that nothing is rounded.
    """
    return upsampled + shifted(detail.values, GREY_EXPONENT + 7 - detail.exponent)


def detail_signal(detail: Map) -> np.ndarray:
    """Return a FineNet's output as engines return it: float32, in units of 127.5 grey levels."""
    return detail.numbers() * np.float32(1 / GREY_SCALE)


def signal(upsampled: np.ndarray, offset: float = 0.0) -> Map:
    """Return (p - 127.5)/128 + offset of grey levels p, which are in units of 1/256."""
    unit = 1 << SIGNAL_EXPONENT
    grey = upsampled.astype(np.int64) << (SIGNAL_EXPONENT - 7 - GREY_EXPONENT)
    return Map(grey - int(127.5 / 128 * unit) + int(offset * unit), SIGNAL_EXPONENT)


def level(stored: Arrays, quality: int) -> Map:
    """Return (100 - quality)/100, `[1, 1, 1]`, on the grid of the layer that reads it."""
    exponent = int(stored["conv0/input_grid"][0])
    # Python rounds halves of fractions to even.
    value = round(Fraction(100 - quality, 100) * Fraction(2) ** exponent)
    return Map(np.full((1, 1, 1), value), exponent)


def label_grid(label_map: np.ndarray) -> np.ndarray:
    """Return the label to the lower right of the centre of each block."""
    start = LABEL_STRIDE // 2
    return label_map[start::LABEL_STRIDE, start::LABEL_STRIDE]


def _residual_blocks(stored: Arrays, x: Map, name: str) -> Map:
    for block in _numbered(stored, f"{name}{{}}_conv1"):
        y = relu(conv(stored, block, x))
        x = add(x, conv(stored, block.replace("_conv1", "_conv2"), y))
    return x


def _numbered(stored: Arrays, name: str, first: int = 0) -> Iterator[str]:
    """Yield the layers of a name with "{}" in the place of the number, as long as there are any."""
    names = (name.format(number) for number in itertools.count(first))
    return itertools.takewhile(lambda layer: f"{layer}/kernel" in stored, names)


def _backbone(stored: Arrays, x: Map) -> Map:
    """Return the features of EfficientNet-Lite0, `[height/8, width/8, 192]`.

    Where a stage's stride would make features coarser than that, its later convolutions are dilated
    instead.
    """
    x = relu6(conv(stored, "stem", x, stride=2))
    total_stride, dilation = 2, 1
    for number, (repeats, kernel, stride, _, _) in enumerate(LITE0_STAGES, start=1):
        dropped = stride if total_stride * stride > OUTPUT_STRIDE else 1
        stride //= dropped
        for block in range(repeats):
            name, inputs = f"stage{number}_block{block + 1}", x
            if f"{name}_expand/kernel" in stored:
                x = relu6(conv(stored, f"{name}_expand", x))
            pads = None
            if number == LITE0_SHIFTED_STAGE and block == 0:
                pads = (kernel // 2, kernel // 2 - 1)
            x = relu6(conv(stored, f"{name}_depthwise", x, stride, dilation, pads))
            x = conv(stored, f"{name}_project", x)
            if stride == 1 and x.values.shape == inputs.values.shape:
                x = add(x, inputs)
            total_stride *= stride
            if block == 0:
                stride = 1
                dilation *= dropped
    return x


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
