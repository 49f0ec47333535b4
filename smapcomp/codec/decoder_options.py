"""What a decoder may be asked, and what it gives; known without loading one."""

from dataclasses import dataclass

import numpy as np

from smapcomp.errors import SmapcompError

STAGES = ("compact", "prediction", "full")
"""How far to decode."""

ON_MISMATCH = ("error", "warn")
"""What to do about a label map or a prediction other than the encoder's."""


def check_on_mismatch(on_mismatch: str) -> None:
    """Raises a `SmapcompError` if it is none of `ON_MISMATCH`."""
    if on_mismatch not in ON_MISMATCH:
        allowed = ", ".join(ON_MISMATCH)
        raise SmapcompError(f"on_mismatch {on_mismatch!r} is unknown; allowed: {allowed}")


@dataclass(frozen=True)
class Stages:
    """What a stream decodes to, step by step; all cropped to the picture's size.

    Attributes:
        compact: The up-sampled compact image, uint8 `[height, width, 1 or 3]`.
        label_map: The decoder's label map, uint8 `[height, width]` of 0..150; None in mode `none`.
        prediction: What the networks make of both, uint8 `[height, width, 1 or 3]`.
        reconstruction: The prediction plus the residual layer: the decoded picture.
    """

    compact: np.ndarray
    label_map: np.ndarray | None
    prediction: np.ndarray
    reconstruction: np.ndarray
