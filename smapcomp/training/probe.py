"""Probes: measurements that a training loop makes between steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class ProbeWriter(Protocol):
    """Writer of what probes measure besides the values of curves."""

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Write pictures by their names, each uint8 `[count, height, width, 3]`."""

    def histograms(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write the distribution of the values of arrays by their names."""


@dataclass(frozen=True)
class Probe:
    """A measurement that is repeated during a run and made once more after the last step.

    Attributes:
        every: Steps between two measurements.
        run: `run(step, writer)` returns the values of curves; it may write pictures or
            histograms. It sees the averaged weights if the run has averages. `writer` is `None`
            with the JAX backend.
        chief_only: Whether the chief worker runs it alone. Otherwise all workers must run it at the
            same step.

    Raises:
        ValueError: `every` is below 1.
    """

    every: int
    run: Callable[[int, ProbeWriter | None], Mapping[str, float]]
    chief_only: bool = False

    def __post_init__(self):
        if self.every < 1:
            raise ValueError(f"every must be at least 1, got {self.every}")
