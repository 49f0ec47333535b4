"""Weight files: one .npz a network, one array a variable, keyed `layer/variable`."""

import os

import keras
import numpy as np

from smapcomp.models.weight_shapes import check_shapes


def variables_of(model: keras.Model) -> dict[str, keras.Variable]:
    """Maps `layer/variable` to the variable; the seeds of dropout are no weights."""
    found = {}
    for layer in model.layers:
        for variable in layer.variables:
            if "seed" not in variable.name:
                found[f"{layer.name}/{variable.name}"] = variable
    return found


def save_weights(
    model: keras.Model, path: str, dtype: str = "float32", leave_out: str | None = None
) -> None:
    """Writes the weights of a model, moving statistics included, under a temporary name first.

    Args:
        model: Any network of this package.
        path: The .npz file.
        dtype: "float32", or "float16" for the box: half the bytes, no visible change.
        leave_out: Layers whose name begins so are left out: heads that only training needs.
    """
    arrays = {
        key: np.asarray(keras.ops.convert_to_numpy(variable.value), dtype)
        for key, variable in variables_of(model).items()
        if leave_out is None or not key.startswith(leave_out)
    }
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, path)


def load_weights(model: keras.Model, path, partial: bool = False) -> None:
    """Reads the weights of a model from a file; else as `assign_weights`."""
    with np.load(path, allow_pickle=False) as arrays:
        try:
            assign_weights(model, arrays, partial)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def assign_weights(model: keras.Model, arrays, partial: bool = False) -> None:
    """Sets the weights of a model.

    Args:
        model: Built as the one that was saved.
        arrays: Mapping of `layer/variable` to arrays of any float type.
        partial: Accept arrays that lack some of the model's variables (pretrained backbones).

    Raises:
        ValueError: A variable is missing, unknown, or of another shape.
    """
    variables = variables_of(model)
    # Read once: a file's arrays are unpacked each time that they are asked for.
    arrays = {key: np.asarray(arrays[key], "float32") for key in arrays}
    shapes = {key: variable.shape for key, variable in variables.items()}
    check_shapes(arrays, shapes, partial)
    for key, array in arrays.items():
        variables[key].assign(array)
