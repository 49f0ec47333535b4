"""Progress of a run on the console."""

import sys
import time
from collections.abc import Mapping
from typing import TextIO

BAR_LENGTH = 24
"""Length of the bar in characters."""

REDRAW_SECONDS = 0.5
"""Shortest time between two drawings of the bar."""


class Progress:
    """A bar that is redrawn on a terminal, and lines that are also written elsewhere.

    Args:
        name: Name of the run.
        first: Number of the step before the first one.
        last: Number of the last step.
        stream: Stream to write to; standard error by default.
        quiet: Whether nothing is written, for all workers but the chief.
    """

    def __init__(
        self, name: str, first: int, last: int, stream: TextIO | None = None, quiet: bool = False
    ):
        self._name, self._last = name, last
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty() and not quiet
        self._quiet = quiet
        self._seconds: float | None = None
        self._started = False
        self._drawn = 0.0
        self._step = first
        self._time = time.monotonic()

    def update(self, step: int, values: Mapping[str, float]) -> None:
        """Count a step that has just ended, and redraw the bar."""
        now = time.monotonic()
        # The first step includes the compilation, which would spoil the estimate.
        if self._started:
            seconds = (now - self._time) / max(step - self._step, 1)
            # A moving mean over about twenty steps.
            old = seconds if self._seconds is None else self._seconds
            self._seconds = old + (seconds - old) / 20
        self._started, self._step, self._time = True, step, now
        if self._terminal and now - self._drawn > REDRAW_SECONDS:
            self._drawn = now
            self._stream.write("\r" + self.text(values) + "\x1b[K")
            self._stream.flush()

    def skip(self) -> None:
        """Exclude the time since the last step, spent on something else, from the step time."""
        self._time = time.monotonic()

    def line(self, values: Mapping[str, float], note: str = "") -> None:
        """Write a line that stays."""
        if self._quiet:
            return
        start, end = ("\r", "\x1b[K\n") if self._terminal else ("", "\n")
        self._stream.write(start + self.text(values) + (f"  {note}" if note else "") + end)
        self._stream.flush()

    def text(self, values: Mapping[str, float]) -> str:
        """Return name, steps, bar, time of a step, time left and values in one line."""
        full = BAR_LENGTH * self._step // max(self._last, 1)
        bar = "=" * full + ">" * (full < BAR_LENGTH) + "." * (BAR_LENGTH - full - 1)
        parts = [f"{self._name} {self._step}/{self._last} [{bar}]"]
        if self._seconds is not None:
            left = _duration(self._seconds * (self._last - self._step))
            parts.append(f"{self._seconds:.3g} s/step, {left} left")
        parts += [f"{name} {value:.4g}" for name, value in values.items()]
        return "  ".join(parts)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
