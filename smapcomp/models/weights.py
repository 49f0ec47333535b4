"""Weight files: one .npz for each network, one array `layer/variable` for each variable."""

import os
from typing import Any

import keras
import numpy as np

from smapcomp.models import exact_weights
from smapcomp.models.exact_weights import is_exact
from smapcomp.models.weight_shapes import check_shapes


def named_variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Return the weights of a model by `layer/variable`; seeds of dropout are not weights."""
    found = {}
    for layer in model.layers:
        for variable in layer.variables:
            if "seed" not in variable.name:
                found[f"{layer.name}/{variable.name}"] = variable
    return found


def save_weights(
    model: keras.Model, path: str, dtype: str = "float32", leave_out: str | None = None
) -> None:
    """Write the weights of a model, moving statistics included, to a file that appears whole.

    Args:
        model: Any network of this package.
        path: Path of the .npz file.
        dtype: "float32", or "float16", which halves the file and makes no visible difference.
            Exact networks are written as `exact_weights` has them.
        leave_out: Prefix of the names of layers that are left out, such as a head that only
            training needs.
    """
    arrays: dict[str, Any] = {
        key: np.asarray(keras.ops.convert_to_numpy(variable.value))
        for key, variable in named_variables(model).items()
        if leave_out is None or not key.startswith(leave_out)
    }
    if is_exact(arrays):
        arrays = exact_weights.to_stored(arrays)
    else:
        arrays = {key: array.astype(dtype) for key, array in arrays.items()}
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, path)


def load_weights(
    model: keras.Model, path, partial: bool = False, leave_out: str | None = None
) -> set[str]:
    """Read the weights of a model from a file; all else is as in `assign_weights`.

    Args:
        model: As for `assign_weights`.
        path: Path of the .npz file.
        partial: As for `assign_weights`.
        leave_out: Prefix of the names of layers that are ignored in the file.
    """
    with np.load(path, allow_pickle=False) as arrays:
        kept = [key for key in arrays if leave_out is None or not key.startswith(leave_out)]
        try:
            return assign_weights(model, {key: arrays[key] for key in kept}, partial)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def assign_weights(model: keras.Model, arrays, partial: bool = False) -> set[str]:
    """Set the weights of a model from those of a file.

    Args:
        model: Model of the same architecture as the saved one.
        arrays: Arrays by `layer/variable`: of any float type, or as `exact_weights` has them.
        partial: Whether variables may be missing, as in a pretrained backbone.

    Returns:
        Names, `layer/variable`, of the variables that were set.

    Raises:
        ValueError: A variable is missing or unknown, or has another shape, or a sum of an exact
            network may be rounded.
    """
    # A file's arrays are unpacked at every access, so they are read once.
    arrays = {key: arrays[key] for key in arrays}
    if is_exact(arrays):
        arrays = exact_weights.to_float(arrays)
    assign_variables(model, arrays, partial)
    return set(arrays)


def assign_variables(model: keras.Model, arrays, partial: bool = False) -> None:
    """Set the variables of a model.

    Args:
        model: Any network of this package.
        arrays: Arrays of any float type by `layer/variable`.
        partial: Whether variables may be missing.

    Raises:
        ValueError: A variable is missing or unknown, or has another shape.
    """
    variables = named_variables(model)
    arrays = {key: np.asarray(array, "float32") for key, array in arrays.items()}
    shapes = {key: variable.shape for key, variable in variables.items()}
    check_shapes(arrays, shapes, partial)
    for key, array in arrays.items():
        variables[key].assign(array)
