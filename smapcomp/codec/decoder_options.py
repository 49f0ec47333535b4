"""What a decoder may be asked, and what it gives; known without loading one."""

from dataclasses import dataclass

import numpy as np

STAGES = ("compact", "prediction", "full")
"""How far to decode."""

ON_MISMATCH = ("error", "warn")
"""What to do about a label map or a prediction other than the encoder's."""


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
