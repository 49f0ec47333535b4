"""Reasons why a training run cannot start or ends before its last step."""

from smapcomp.errors import SmapcompError


class ConfigError(SmapcompError):
    """A field of the configuration has a value that is not allowed."""


class WorkdirError(SmapcompError):
    """The run's folder cannot be written, or what it holds cannot be continued."""


class DivergedError(SmapcompError):
    """A loss, a metric or a gradient is NaN or infinite."""


class WorkerLostError(SmapcompError):
    """Another process of the run has ended, so its share of each batch is missing."""


class Interrupted(Exception):
    """A signal asked the run to stop, and a checkpoint has been saved.

    Attributes:
        step: Last step that the checkpoint contains.
    """

    def __init__(self, step: int):
        super().__init__(f"interrupted after step {step}")
        self.step = step
