"""Weights of exact networks: integers in files, float32 in layers, and the bound on sums.

A file has for every convolution

| Array | Dtype | What |
|---|---|---|
| `kernel` | int8, or int16 where one weight needs it | weights in units of their step |
| `kernel_exponent` | int8 | k of each output channel: the step is 2^-k |
| `bias` | int32 | in units of the sum, 2^-(k+m) |
| `input_shift` | int8 `[channels]` | s, where input channels are multiplied by 2^s |
| `input_grid` | int32 `[3]` | m, lowest and highest multiple of the inputs' step 2^-m |
| `output_grid` | int32 `[3]` | the same of the outputs, where they are rounded |

and for every convolution of labels `kernel`, int32 in units of its `output_grid`; other layers that
round have an `output_grid` alone. This module needs NumPy alone.
"""

from collections.abc import Iterable, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]

KERNEL_LIMIT = 127
"""Largest absolute value of a weight that is stored as int8."""

WIDE_KERNEL_LIMIT = 2047
"""Largest absolute value of a weight that is stored as int16. Convolutions of few terms, such as
those of single channels, have room for such weights, and few weights."""

SUM_LIMIT = 1 << 24
"""Absolute value from which on float32 does not hold all integers."""

OUTPUT_LIMIT = 1 << 18
"""Largest absolute value of a rounded output in units of its step; 63 of them can be added."""

EXPONENT_LIMIT = 40
"""Largest absolute value of an exponent, so that no product of float32 numbers underflows."""

OUTPUT_EXPONENT_LIMIT = 15
"""Largest exponent of rounded outputs. A FineNet's detail, in units of 128 grey levels, is then a
multiple of 1/256 grey level, as `predictors.local.exact_grey_levels` needs it."""


def is_exact(arrays: Iterable[str]) -> bool:
    """Return whether stored weights are those of an exact network, which their names tell."""
    return any(key.endswith("/input_grid") for key in arrays)


def layer_names(arrays: Arrays) -> list[str]:
    """Return the names of the layers that have weights, in the order of the arrays."""
    return list(dict.fromkeys(key.split("/")[0] for key in arrays))


def layer_arrays(arrays: Arrays, layer: str) -> dict[str, np.ndarray]:
    """Return the arrays of one layer by the name of the variable."""
    prefix = f"{layer}/"
    return {key[len(prefix) :]: arrays[key] for key in arrays if key.startswith(prefix)}


def to_float(stored: Arrays) -> dict[str, np.ndarray]:
    """Return stored weights as the layers of `exact_layers` have them.

    Args:
        stored: Integer arrays of a file by `layer/variable`.

    Returns:
        float32 arrays by `layer/variable`; no value is rounded.

    Raises:
        ValueError: The arrays are not those of an exact network (`check_bounds`).
    """
    check_bounds(stored)
    result: dict[str, np.ndarray] = {}
    for layer in layer_names(stored):
        ints = layer_arrays(stored, layer)
        floats = {name: _float_grid(ints[name]) for name in ints if name.endswith("_grid")}
        if "input_grid" in ints:
            step = np.ldexp(np.float32(1), -ints["kernel_exponent"].astype(np.int32))
            unit = step.reshape(-1) * floats["input_grid"][0]
            floats["kernel_step"] = step
            if "input_shift" in ints:
                floats["input_scale"] = np.ldexp(np.float32(1), ints["input_shift"].astype(int))
            floats["bias"] = ints["bias"].astype(np.float32) * unit
            floats["kernel"] = ints["kernel"].astype(np.float32) * step
        elif "kernel" in ints:
            floats["kernel"] = ints["kernel"].astype(np.float32) * floats["output_grid"][0]
        result |= {
            f"{layer}/{name}": np.asarray(array, np.float32) for name, array in floats.items()
        }
    return result


def to_stored(floats: Arrays) -> dict[str, np.ndarray]:
    """Return the weights of layers as a file has them; the inverse of `to_float`.

    Weights that are not on their grid, as in training, are rounded to it as the layers do. Where a
    sum of an output channel could be rounded, the step of its weights is doubled until it cannot.

    Args:
        floats: float32 arrays by `layer/variable`.

    Raises:
        ValueError: A sum may be rounded even then, or a value is not finite.
    """
    for key, array in floats.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{key} has values that are not finite")
    result: dict[str, np.ndarray] = {}
    for layer in layer_names(floats):
        arrays = layer_arrays(floats, layer)
        ints = {name: _int_grid(arrays[name]) for name in arrays if name.endswith("_grid")}
        if "input_grid" in ints:
            exponents = _exponent(arrays["kernel_step"])
            if "input_scale" in arrays:
                ints["input_shift"] = (-_exponent(arrays["input_scale"])).astype(np.int8)
            ints |= quantised(arrays["kernel"], arrays["bias"], exponents, ints["input_grid"])
        elif "kernel" in arrays:
            _, low, high = ints["output_grid"]
            scaled = np.round(arrays["kernel"] / arrays["output_grid"][0])
            ints["kernel"] = np.clip(scaled, low, high).astype(np.int32)
        result |= {f"{layer}/{name}": array for name, array in ints.items()}
    check_bounds(result)
    return result


def quantised(
    kernel: np.ndarray, bias: np.ndarray, exponent: np.ndarray, input_grid: np.ndarray
) -> dict[str, np.ndarray]:
    """Quantise the weights of a convolution, with smaller exponents where sums need them.

    Args:
        kernel: float `[side, side, channels, filters]`, or `[side, side, channels, 1]`.
        bias: float `[filters]`.
        exponent: int `[filters]` or `[channels, 1]`: largest exponents to use.
        input_grid: int `[3]`: exponent, lowest and highest multiple of the inputs.

    Returns:
        `kernel`, `kernel_exponent` and `bias` as a file has them.
    """
    exponent = exponent.astype(np.int32).copy()
    while True:
        step = np.ldexp(1.0, -exponent)
        scaled = np.clip(np.round(kernel / step), -WIDE_KERNEL_LIMIT, WIDE_KERNEL_LIMIT)
        unit = step.reshape(-1) * np.ldexp(1.0, -int(input_grid[0]))
        ints = {
            "kernel": scaled.astype(np.int8 if np.abs(scaled).max() <= KERNEL_LIMIT else np.int16),
            "kernel_exponent": exponent.astype(np.int8),
            "bias": np.round(bias / unit).astype(np.int64),
            "input_grid": input_grid,
        }
        too_large = largest_sums(ints) >= SUM_LIMIT
        if not too_large.any():
            del ints["input_grid"]
            return ints | {"bias": ints["bias"].astype(np.int32)}
        exponent[too_large.reshape(exponent.shape)] -= 1


def largest_sums(layer: Arrays) -> np.ndarray:
    """Return the largest possible absolute partial sum of each output channel.

    A partial sum is largest if it has all terms of one sign. The order of the terms is unknown, so
    the bias may be in any of them.

    Args:
        layer: Arrays of a convolution as a file has them.

    Returns:
        int64 `[filters]`, in units of the sum.
    """
    kernel = layer["kernel"].astype(np.int64)
    _, low, high = (int(value) for value in layer["input_grid"])
    ends = np.stack([kernel * low, kernel * high, np.zeros_like(kernel)])
    depthwise = layer["kernel_exponent"].ndim == 2
    axes = (0, 1) if depthwise else (0, 1, 2)
    bias = layer["bias"].astype(np.int64)
    positive = ends.max(0).sum(axes).reshape(-1) + np.maximum(bias, 0)
    negative = -ends.min(0).sum(axes).reshape(-1) + np.maximum(-bias, 0)
    return np.maximum(positive, negative)


def check_bounds(stored: Arrays) -> None:
    """Check that float32 computes a network without rounding a sum.

    Args:
        stored: Integer arrays of a file by `layer/variable`.

    Raises:
        ValueError: A sum may be rounded, or an array is missing, unknown, of another shape, out of
            its range, or has no integers.
    """
    for key, array in stored.items():
        if not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"{key} is {array.dtype}; an exact network has integers")
    exponents: dict[int, str] = {}
    for layer in layer_names(stored):
        arrays = layer_arrays(stored, layer)
        _check_arrays(layer, arrays)
        if "input_grid" in arrays:
            sums = largest_sums(arrays)
            channel = int(sums.argmax())
            if sums[channel] >= SUM_LIMIT:
                raise ValueError(
                    f"{layer}: sums of channel {channel} reach {sums[channel]}; an exact network "
                    f"needs less than {SUM_LIMIT}"
                )
        if "kernel" in arrays and "output_grid" in arrays:
            exponents.setdefault(int(arrays["output_grid"][0]), layer)
    if len(exponents) > 1:
        found = ", ".join(f"{exponent} ({layer})" for exponent, layer in exponents.items())
        raise ValueError(f"output_grid has the exponents {found}; outputs that are added need one")
    if max(exponents, default=0) > OUTPUT_EXPONENT_LIMIT:
        raise ValueError(
            f"output_grid has the exponent {max(exponents)}; an exact network allows "
            f"{OUTPUT_EXPONENT_LIMIT}"
        )


def _check_arrays(layer: str, arrays: Arrays) -> None:
    """Check names, shapes and ranges of the arrays of a layer."""
    if "kernel" not in arrays:
        shapes: dict[str, tuple[int, ...]] = {"output_grid": (3,)}
    else:
        kernel = arrays["kernel"]
        if kernel.ndim != 4:
            raise ValueError(f"{layer}/kernel has shape {kernel.shape}; 4 axes are required")
        shapes = {"kernel": kernel.shape}
        if set(arrays) == {"kernel", "output_grid"}:
            shapes |= {"output_grid": (3,)}
        else:
            channels, filters = kernel.shape[2:]
            depthwise = arrays.get("kernel_exponent", kernel).ndim == 2
            shapes |= {
                "kernel_exponent": (channels, 1) if depthwise else (filters,),
                "bias": (channels if depthwise else filters,),
                "input_grid": (3,),
            }
            optional = {"input_shift": (channels,), "output_grid": (3,)}
            shapes |= {name: optional[name] for name in optional if name in arrays}
    missing, unknown = sorted(set(shapes) - set(arrays)), sorted(set(arrays) - set(shapes))
    if missing or unknown:
        raise ValueError(
            f"{layer} lacks {', '.join(missing)}" if missing else f"{layer} has unknown {unknown}"
        )
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{layer}/{name} has shape {arrays[name].shape}, not {shape}")
    for name in ("input_grid", "output_grid"):
        if name in arrays:
            _check_grid(f"{layer}/{name}", arrays[name])
    for name in ("kernel_exponent", "input_shift"):
        _check_range(f"{layer}/{name}", arrays.get(name), -EXPONENT_LIMIT, EXPONENT_LIMIT)
    if "input_grid" in arrays:
        low, high = -WIDE_KERNEL_LIMIT, WIDE_KERNEL_LIMIT
    else:
        _, low, high = (int(value) for value in arrays["output_grid"])
    _check_range(f"{layer}/kernel", arrays.get("kernel"), low, high)


def _check_grid(key: str, grid: np.ndarray) -> None:
    _check_range(key, grid[:1], -EXPONENT_LIMIT, EXPONENT_LIMIT)
    _check_range(key, grid[1:2], -OUTPUT_LIMIT, 0)
    _check_range(key, grid[2:], 0, OUTPUT_LIMIT)


def _check_range(key: str, array: np.ndarray | None, low: int, high: int) -> None:
    if array is None or not array.size:
        return
    lowest, highest = int(array.min()), int(array.max())
    if lowest < low or highest > high:
        value = lowest if lowest < low else highest
        raise ValueError(f"{key} has {value}; an exact network allows {low}..{high}")


def _exponent(step: np.ndarray) -> np.ndarray:
    """Return k of steps 2^-k."""
    return 1 - np.frexp(step)[1]


def _float_grid(grid: np.ndarray) -> np.ndarray:
    exponent, low, high = (int(value) for value in grid)
    return np.array([np.ldexp(1.0, -exponent), low, high], np.float32)


def _int_grid(grid: np.ndarray) -> np.ndarray:
    return np.array([_exponent(grid[0]), grid[1], grid[2]], np.int32)
