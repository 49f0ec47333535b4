"""Whether arrays are the weights of a network, known without a framework."""

from collections.abc import Iterable, Mapping

import numpy as np


def check_shapes(
    arrays: Mapping[str, np.ndarray],
    shapes: Mapping[str, Iterable[int]],
    partial: bool = False,
) -> None:
    """Holds arrays to what a network has.

    Args:
        arrays: By `layer/variable`.
        shapes: Of the network's variables, by the same names.
        partial: Accept arrays that lack some of the variables.

    Raises:
        ValueError: A variable is missing, unknown, or of another shape.
    """
    missing = sorted(set(shapes) - set(arrays))
    unknown = sorted(set(arrays) - set(shapes))
    if unknown or (missing and not partial):
        raise ValueError(f"missing weights {missing[:3]}, unknown weights {unknown[:3]}")
    for name in arrays:
        found, wanted = np.shape(arrays[name]), tuple(shapes[name])
        if found != wanted:
            raise ValueError(f"{name} has shape {found}, not {wanted}")
