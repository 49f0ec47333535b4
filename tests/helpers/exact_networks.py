"""Exact networks with random weights."""

import functools

import keras
import numpy as np

from smapcomp.models.exact_layers import (
    ExactConv2D,
    ExactLabelConv2D,
    ExactRounding,
    bit_range,
)
from smapcomp.models.exact_weights import (
    KERNEL_LIMIT,
    OUTPUT_LIMIT,
    SUM_LIMIT,
    WIDE_KERNEL_LIMIT,
    check_bounds,
    largest_sums,
)
from smapcomp.models.weights import assign_weights
from smapcomp.zoo import VARIANTS, build_network
from tests.helpers.exact_examples import OUTPUT_EXPONENT

OUTPUT_GRID = np.array([OUTPUT_EXPONENT, -OUTPUT_LIMIT, OUTPUT_LIMIT], np.int32)


def random_exact_weights(model: keras.Model, seed: int = 0) -> dict[str, np.ndarray]:
    """Return weights of an exact network whose largest possible sums are just below the bound.

    Args:
        model: Exact network.
        seed: Seed of the values.

    Returns:
        Arrays as a file has them.
    """
    rng = np.random.default_rng(seed)
    stored: dict[str, np.ndarray] = {}
    for layer in model.layers:
        arrays: dict[str, np.ndarray] = {}
        if isinstance(layer, ExactConv2D):
            arrays = random_convolution(layer, rng)
        elif isinstance(layer, ExactLabelConv2D):
            kernel = rng.integers(-(1 << 13), 1 << 13, layer.kernel.shape)
            arrays = {"kernel": kernel.astype(np.int32), "output_grid": OUTPUT_GRID}
        elif isinstance(layer, ExactRounding):
            grid = OUTPUT_GRID
            if layer.bits is not None:
                grid = np.array([layer.bits - 4, *bit_range(layer.bits, layer.relu)], np.int32)
            arrays = {"output_grid": grid}
        stored |= {f"{layer.name}/{name}": array for name, array in arrays.items()}
    check_bounds(stored)
    return stored


def random_convolution(layer: ExactConv2D, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the arrays of a convolution with outputs between about -3 and 3."""
    low, high = bit_range(10, layer.relu)
    shape = tuple(layer.kernel.shape)
    axes = (0, 1) if layer.depthwise else (0, 1, 2)
    terms = np.prod([shape[axis] for axis in axes])
    # Half of the terms of a channel have one sign.
    widest = 0.9 * SUM_LIMIT / (high * terms) * (4 if layer.relu else 2)
    amplitude = int(np.clip(widest, 1, WIDE_KERNEL_LIMIT if terms < 30 else KERNEL_LIMIT))
    dtype = np.int8 if amplitude <= KERNEL_LIMIT else np.int16
    typical = high / 3 * amplitude / 2 * np.sqrt(terms)
    exponent = int(np.log2(typical)) - 8 + rng.integers(0, 2, layer.kernel_step.shape)
    arrays = {
        "kernel": rng.integers(-amplitude, amplitude + 1, shape).astype(dtype),
        "kernel_exponent": exponent.astype(np.int8),
        "bias": rng.integers(-(1 << 16), 1 << 16, layer.filters).astype(np.int32),
        "input_grid": np.array([8, low, high], np.int32),
    }
    while (largest_sums(arrays) >= SUM_LIMIT).any():
        arrays["kernel"] = (arrays["kernel"] * 0.97).astype(dtype)
    if layer.scaled:
        arrays["input_shift"] = rng.integers(0, 3, shape[2]).astype(np.int8)
    return arrays | ({"output_grid": OUTPUT_GRID} if layer.rounded else {})


@functools.cache
def random_network(role: str) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Return the exact network of a role with random weights, and these as a file has them."""
    model = build_network(VARIANTS["lite"], role, exact=True)
    stored = random_exact_weights(model, seed=len(role))
    assign_weights(model, stored)
    return model, stored
