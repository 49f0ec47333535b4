"""Weight files: one .npz for each network, one array `layer/variable` for each variable."""

import os
from typing import Any

import keras
import numpy as np

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
        dtype: "float32", or "float16" as the bundled weights have it, which halves the file and
            makes no visible difference.
        leave_out: Prefix of the names of layers that are left out, such as a head that only
            training needs.
    """
    arrays: dict[str, Any] = {
        key: np.asarray(keras.ops.convert_to_numpy(variable.value), dtype)
        for key, variable in named_variables(model).items()
        if leave_out is None or not key.startswith(leave_out)
    }
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, path)


def load_weights(
    model: keras.Model, path, partial: bool = False, leave_out: str | None = None
) -> None:
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
            assign_weights(model, {key: arrays[key] for key in kept}, partial)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def assign_weights(model: keras.Model, arrays, partial: bool = False) -> None:
    """Set the weights of a model.

    Args:
        model: Model of the same architecture as the saved one.
        arrays: Arrays of any float type by `layer/variable`.
        partial: Whether variables may be missing, as in a pretrained backbone.

    Raises:
        ValueError: A variable is missing or unknown, or has another shape.
    """
    variables = named_variables(model)
    # A file's arrays are unpacked at every access, so they are read once.
    arrays = {key: np.asarray(arrays[key], "float32") for key in arrays}
    shapes = {key: variable.shape for key, variable in variables.items()}
    check_shapes(arrays, shapes, partial)
    for key, array in arrays.items():
        variables[key].assign(array)
