"""Checks of a run's values, and the choice of its best checkpoint, for both backends."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from smapcomp.training.checkpoints import Checkpoints
from smapcomp.training.errors import DivergedError
from smapcomp.training.probe import Probe
from smapcomp.training.run_plan import RunPlan


class RunMonitor:
    """Keeps account of what the probes of a run measure.

    Args:
        plan: Names the metric of the best checkpoint.
        checkpoints: Checkpoints of the run.
        probes: All probes of the run.
    """

    def __init__(self, plan: RunPlan, checkpoints: Checkpoints, probes: Sequence[Probe]):
        self._best_metric = plan.checkpoint.best_metric
        self._sign = 1 if plan.checkpoint.best_is == "max" else -1
        self._checkpoints = checkpoints
        self._probes = probes
        self._finished: set[int] = set()
        self._curves: set[str] = set()

    def due(self, step: int, last: bool, chief: bool = True) -> list[Probe]:
        """Return the probes that run after a step, all of them after the last one.

        Args:
            step: The step.
            last: Whether it is the run's last.
            chief: Whether this process is the chief worker.
        """
        due = [probe for probe in self._probes if last or step % probe.every == 0]
        return [probe for probe in due if chief or not probe.chief_only]

    def record(
        self,
        step: int,
        probes: Iterable[Probe],
        scores: Mapping[str, float],
        variables: Mapping[str, Any],
    ) -> None:
        """Check what probes have measured, and save the best checkpoint so far.

        Args:
            step: The step that they were run after.
            probes: The probes that were run.
            scores: The values of their curves.
            variables: Variables of a checkpoint, as `Checkpoints.save` takes them.

        Raises:
            DivergedError: A value is NaN or infinite.
            ValueError: All probes have run, and none of them has the metric of the best checkpoint.
            WorkdirError: The checkpoint cannot be written.
        """
        self.require_finite(step, scores)
        self._finished.update(map(id, probes))
        self._curves.update(scores)
        metric = self._best_metric
        if metric and len(self._finished) == len(self._probes) and metric not in self._curves:
            known = ", ".join(sorted(self._curves))
            raise ValueError(f"best_metric {metric!r} is no curve of a probe; allowed: {known}")
        if metric in scores and self._checkpoints.writer:
            best = self._checkpoints.best_score()
            if best is None or self._sign * scores[metric] > self._sign * best:
                self._checkpoints.save_best(step, variables, scores[metric])

    def require_finite(self, step: int, values: Mapping[str, float]) -> None:
        """Check the values of a step.

        Raises:
            DivergedError: A value is NaN or infinite.
        """
        wrong = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            self.stop_diverged(step, ", ".join(wrong))

    def stop_diverged(self, step: int, reason: str) -> NoReturn:
        """Raise a `DivergedError` that names the step, the reason and the last checkpoint."""
        raise DivergedError(f"step {step}: {reason}; {last_checkpoint(self._checkpoints)}")


def last_checkpoint(checkpoints: Checkpoints) -> str:
    """Return "last checkpoint: PATH" for error messages; the path is "none" if there is none."""
    steps = checkpoints.steps()
    return f"last checkpoint: {checkpoints.path(steps[-1]) if steps else 'none'}"
