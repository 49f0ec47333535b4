"""Why a training run ends before its last step."""

from smapcomp.errors import SmapcompError


class WorkdirError(SmapcompError):
    """A run's folder can't be written, or holds what can't be continued."""


class DivergedError(SmapcompError):
    """A loss, a metric or a gradient is no finite number."""


class WorkerLostError(SmapcompError):
    """Another process of the run is gone, so that its share of each batch is too."""


class Interrupted(Exception):
    """A signal asked the run to stop; it saved a checkpoint first.

    Attributes:
        step: The last step that the checkpoint contains.
    """

    def __init__(self, step: int):
        super().__init__(f"interrupted after step {step}")
        self.step = step
