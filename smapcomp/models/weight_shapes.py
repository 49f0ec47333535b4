"""Check of a network's weights that needs no framework."""

from collections.abc import Iterable, Mapping

import numpy as np


def check_shapes(
    arrays: Mapping[str, np.ndarray],
    shapes: Mapping[str, Iterable[int]],
    partial: bool = False,
) -> None:
    """Check that arrays are the weights of a network.

    Args:
        arrays: Arrays by `layer/variable`.
        shapes: Shapes of the network's variables by the same names.
        partial: Whether variables may be missing.

    Raises:
        ValueError: A variable is missing or unknown, or has another shape.
    """
    missing = sorted(set(shapes) - set(arrays))
    unknown = sorted(set(arrays) - set(shapes))
    if unknown or (missing and not partial):
        raise ValueError(f"missing weights {missing[:3]}, unknown weights {unknown[:3]}")
    for name in arrays:
        found, wanted = np.shape(arrays[name]), tuple(shapes[name])
        if found != wanted:
            raise ValueError(f"{name} has shape {found}, not {wanted}")
