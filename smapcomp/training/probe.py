"""Probes: measurements that a training loop makes between steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class PictureWriter(Protocol):
    """Writer of the run's pictures."""

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Write pictures by their names, each uint8 `[count, height, width, 3]`."""


@dataclass(frozen=True)
class Probe:
    """A measurement that is repeated during a run and made once more after the last step.

    Attributes:
        every: Steps between two measurements.
        run: `run(step, writer)` returns the values of curves; it may write pictures. It sees the
            averaged weights if the run has averages. `writer` is `None` with the JAX backend.
        chief_only: Whether the chief worker runs it alone. Otherwise all workers must run it at the
            same step.

    Raises:
        ValueError: `every` is below 1.
    """

    every: int
    run: Callable[[int, PictureWriter | None], Mapping[str, float]]
    chief_only: bool = False

    def __post_init__(self):
        if self.every < 1:
            raise ValueError(f"every must be at least 1, got {self.every}")
