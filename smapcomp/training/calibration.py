"""Grids of an exact network, found from float weights and a few pictures.

The grid of each layer's inputs gets the number of bits with which the layer's output is closest to
that of the float network. More bits are not always better: they leave less room for the weights,
because the sums of both must fit (`exact_weights.SUM_LIMIT`).
"""

import itertools
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
from keras import ops

from smapcomp.models.exact_layers import (
    ExactConv2D,
    ExactLabelConv2D,
    ExactRounding,
    bit_range,
)
from smapcomp.models.exact_weights import (
    KERNEL_LIMIT,
    OUTPUT_LIMIT,
    WIDE_KERNEL_LIMIT,
    quantised,
    to_stored,
)
from smapcomp.models.spatial import ExactAveragePooling2D
from smapcomp.models.weights import assign_variables, named_variables

INPUT_BITS = range(8, 15)
"""Numbers of bits that are tried for a layer's inputs."""

HEADROOM = 4
"""Multiple of the largest output seen that the grid of outputs can hold at least."""

CROP = 48
"""Side of the part of a feature map on which a layer's output is compared."""

CROPS = 8
"""Largest number of such parts."""

SMALLEST_KERNEL = 2.0**-12
"""Largest weight of a channel below which its exponent does not grow any more. Channels without
weights would otherwise make the unit of their sums, and with it the bias, needlessly fine."""

SAMPLES = 100_000
"""Largest number of values by which a grid is chosen."""

WIDE_TERMS = 256
"""Number of terms of a sum up to which weights of 12 bits are tried."""

LARGEST_SHIFT = 6
"""Largest exponent of the factor of an input channel, relative to the channel of largest values."""

LARGEST_OUTPUT_EXPONENT = 14
"""Largest exponent of the grid of outputs. A detail in units of 128 grey levels is then a multiple
of 1/128, as `predictors.local.exact_grey_levels` needs it."""

EXACT_LAYERS = (ExactConv2D, ExactLabelConv2D, ExactRounding, ExactAveragePooling2D)


def calibrate(
    model: keras.Model, weights: Mapping[str, np.ndarray], inputs: Sequence[Sequence[np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return the weights of an exact network, as a file has them.

    Args:
        model: Exact network. Its variables are changed.
        weights: `kernel` and `bias` of its layers by `layer/variable`, float32.
        inputs: Inputs of the network, one entry for each picture.

    Raises:
        ValueError: The weights do not fit the network, or grids cannot hold its values.
    """
    assign_variables(model, weights, partial=True)
    layers = [layer for layer in model.layers if isinstance(layer, EXACT_LAYERS)]
    seen, made = _observe(model, layers, inputs)
    rounded = [layer for layer in layers if _is_added(layer)]
    largest = max(float(np.abs(array).max()) for layer in rounded for array in made[layer.name])
    exponent = int(np.floor(np.log2(OUTPUT_LIMIT / (HEADROOM * max(largest, 1e-6)))))
    exponent = min(exponent, LARGEST_OUTPUT_EXPONENT)
    for layer in layers:
        if _is_added(layer):
            _assign_grid(layer.output_grid, (exponent, -OUTPUT_LIMIT, OUTPUT_LIMIT))
        elif isinstance(layer, ExactRounding) and layer.bits is not None:
            grid = _closest_grid(_sample(made[layer.name]), layer.bits, layer.relu)
            _assign_grid(layer.output_grid, grid)
        if isinstance(layer, ExactConv2D):
            _calibrate_convolution(layer, seen[layer.name])
    return to_stored({key: ops.convert_to_numpy(v) for key, v in named_variables(model).items()})


def _is_added(layer: keras.layers.Layer) -> bool:
    """Return whether a layer's outputs are on the grid that all addends of a network share."""
    has_grid = getattr(layer, "output_grid", None) is not None
    return has_grid and not (isinstance(layer, ExactRounding) and layer.bits is not None)


def _assign_grid(variable: keras.Variable, grid: tuple[int, float, float]) -> None:
    exponent, low, high = grid
    variable.assign(np.array([2.0**-exponent, low, high], np.float32))


def kernel_exponents(kernel: np.ndarray, depthwise: bool, limit: int) -> np.ndarray:
    """Return for each output channel the exponent with which its weights are closest to integers.

    Args:
        kernel: float `[side, side, channels, filters]`, or `[side, side, channels, 1]`.
        depthwise: Whether it is the latter.
        limit: Largest absolute value of the integers.

    Returns:
        int32 `[filters]`, or `[channels, 1]`.
    """
    axes = (0, 1) if depthwise else (0, 1, 2)
    largest = np.maximum(np.abs(kernel).max(axes), SMALLEST_KERNEL)
    first = np.floor(np.log2(limit / largest)).astype(np.int32)
    errors = []
    for exponent in (first, first + 1):
        step = np.ldexp(1.0, -exponent)
        rounded = np.clip(np.round(kernel / step), -limit, limit) * step
        errors.append(np.square(rounded - kernel).sum(axes))
    return np.where(errors[1] < errors[0], first + 1, first)


def _observe(
    model: keras.Model, layers: Sequence[keras.layers.Layer], inputs: Sequence[Sequence[np.ndarray]]
) -> tuple[dict[str, list[np.ndarray]], dict[str, list[np.ndarray]]]:
    """Return the inputs and outputs of each layer by its name, computed without rounding."""
    nodes = {layer.name: layer._inbound_nodes for layer in layers}
    tensors = [
        [[getattr(node, side)[0] for node in layer_nodes] for layer_nodes in nodes.values()]
        for side in ("input_tensors", "output_tensors")
    ]
    probe = keras.Model(model.inputs, tensors)
    sides: tuple[dict, dict] = ({name: [] for name in nodes}, {name: [] for name in nodes})
    for layer in layers:
        layer.quantises = False
    try:
        for picture in inputs:
            for found, values in zip(sides, probe(list(picture)), strict=True):
                for name, arrays in zip(nodes, values, strict=True):
                    found[name] += [np.array(array) for array in arrays]
    finally:
        for layer in layers:
            layer.quantises = True
    return sides


def _calibrate_convolution(layer: ExactConv2D, maps: Sequence[np.ndarray]) -> None:
    """Set scale and grid of a layer's inputs and the steps of its kernel.

    Args:
        layer: Layer with its float kernel and bias, and scales of 1.
        maps: Its inputs.
    """
    kernel, bias = ops.convert_to_numpy(layer.kernel), ops.convert_to_numpy(layer.bias)
    maps = [np.array(layer.activated(array)) for array in maps]
    crops = [array[:, :CROP, :CROP] for array in maps[:: max(1, len(maps) // CROPS)]]
    seen_as, importance = _as_seen_by_consumer(layer)
    wanted = [seen_as(layer.convolve(crop, kernel) + bias) for crop in crops]
    terms = kernel[:, :, 0, 0].size if layer.depthwise else kernel[..., 0].size
    limits = (KERNEL_LIMIT, WIDE_KERNEL_LIMIT) if terms <= WIDE_TERMS else (KERNEL_LIMIT,)
    shifts = [np.zeros(kernel.shape[2], int)]
    if layer.scaled:
        shifts.append(_balancing_shifts(kernel, maps, layer.depthwise))
    best_error = np.inf
    for shift in shifts:
        factor = np.ldexp(np.float32(1), shift)
        scaled_kernel = kernel / factor[:, None]
        values = _sample([array * factor for array in maps])
        for bits, limit in itertools.product(INPUT_BITS, limits):
            exponents = kernel_exponents(scaled_kernel, layer.depthwise, limit)
            grid = _closest_grid(values, bits, layer.relu)
            stored = quantised(scaled_kernel, bias, exponents, np.array(grid, np.int64))
            step = np.ldexp(np.float32(1), -stored["kernel_exponent"].astype(int))
            rounded_kernel = stored["kernel"].astype(np.float32) * step
            error = 0.0
            for crop, exact in zip(crops, wanted, strict=True):
                rounded = _round_to_grid(crop * factor, grid).astype(np.float32)
                found = seen_as(layer.convolve(rounded, rounded_kernel) + bias)
                error += float((np.square(found - exact) * importance).sum())
            if error < best_error:
                best_error, best = error, (factor, scaled_kernel, exponents, grid)
    factor, scaled_kernel, exponents, grid = best
    if layer.input_scale is not None:
        layer.input_scale.assign(factor)
        layer.kernel.assign(scaled_kernel)
    layer.kernel_step.assign(np.ldexp(np.float32(1), -exponents))
    _assign_grid(layer.input_grid, grid)


def _as_seen_by_consumer(
    layer: ExactConv2D,
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray | float]:
    """Return what a layer's consumer makes of its output, and how much each channel counts.

    Errors that ReLU removes do not count, nor those of channels that the consumer hardly uses. An
    output that is added has several consumers; all of it counts.
    """
    consumer = layer
    while consumer is layer or not isinstance(consumer, EXACT_LAYERS):
        nodes = consumer._outbound_nodes
        if layer.rounded or not nodes:
            return np.array, 1.0
        consumer = nodes[0].operation
    if not isinstance(consumer, ExactConv2D):
        return np.array, 1.0
    kernel = ops.convert_to_numpy(consumer.kernel)
    return lambda output: np.array(consumer.activated(output)), np.square(kernel).sum((0, 1, 3))


def _balancing_shifts(
    kernel: np.ndarray, maps: Sequence[np.ndarray], depthwise: bool
) -> np.ndarray:
    """Return exponents of input channels that use the range of inputs and weights evenly.

    A channel that is multiplied by 2^s has its weights divided by it. Inputs and weights of a
    channel then take equal shares of their grids (arXiv 1906.04721, section 4.1). Where each
    channel has its own sum, the inputs' grid alone counts.

    Returns:
        int `[channels]`, 0 at least.
    """
    inputs = np.max([np.abs(array).max((0, 1, 2)) for array in maps], axis=0)
    weights = np.abs(kernel).max((0, 1, 3))
    alive = (inputs > 0) & (weights > 0)
    wanted = -np.log2(np.where(alive, inputs, 1.0))
    if not depthwise:
        wanted = (wanted + np.log2(np.where(alive, weights, 1.0))) / 2
    shifts = np.round(wanted).astype(int)
    lowest = shifts[alive].min() if alive.any() else 0
    return np.where(alive, np.clip(shifts - lowest, 0, LARGEST_SHIFT), 0)


def _closest_grid(values: np.ndarray, bits: int, unsigned: bool) -> tuple[int, float, float]:
    """Return the grid of a number of bits that is closest to values.

    Args:
        values: float, any shape.
        bits: Bits of its multiples.
        unsigned: Whether they are not negative.
    """
    low, high = bit_range(bits, unsigned)
    first = int(np.floor(np.log2(high / max(float(np.abs(values).max()), 1e-6))))
    grids = [(min(exponent, 20), low, high) for exponent in range(first, first + 4)]
    errors = [float(np.square(_round_to_grid(values, grid) - values).sum()) for grid in grids]
    return grids[int(np.argmin(errors))]


def _sample(arrays: Sequence[np.ndarray]) -> np.ndarray:
    values = np.concatenate([array.reshape(-1) for array in arrays])
    return values[:: max(1, values.size // SAMPLES)]


def _round_to_grid(values: np.ndarray, grid: tuple[int, float, float]) -> np.ndarray:
    exponent, low, high = grid
    return np.ldexp(np.clip(np.round(np.ldexp(values, exponent)), low, high), -exponent)
