"""What the training loops of both backends need to know of a run, apart from its stage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smapcomp.training.config import TrainingConfig
from smapcomp.training.config_groups import CheckpointConfig, RunConfig


@dataclass(frozen=True)
class RunPlan:
    """Length of a run, and when it saves and logs.

    Attributes:
        run: Length of the run.
        checkpoint: When checkpoints are written, and which are kept.
        log_every: Steps over which the values of the curves are averaged.
        profile_at: First step that is traced for TensorBoard's profiler, or `None`. TensorFlow
            backend.
        fixed: Values that may not change when the run is continued; they can be written as JSON.

    Raises:
        ValueError: A step number is below 1.
    """

    run: RunConfig
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log_every: int = 50
    profile_at: int | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("log_every", "profile_at"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    @classmethod
    def from_config(cls, config: TrainingConfig, profile_at: int | None = None) -> "RunPlan":
        """Return the plan of a configuration."""
        return cls(
            config.run,
            config.checkpoint,
            config.evaluation.log_every,
            profile_at,
            config.fixed_fields(),
        )


def finished_message(workdir: str, done: int, steps: int) -> str:
    """Return the line that says that a run has nothing left to do.

    Args:
        workdir: Folder of the run.
        done: Step of its newest checkpoint.
        steps: `RunConfig.steps`; 0 if the run was limited by time alone.
    """
    wanted = f"{done} of {steps} steps" if steps else f"{done} steps in all of its time"
    more = "steps" if steps else "seconds"
    return (
        f"{workdir}: this run has finished, with {wanted}; nothing was trained. A larger "
        f"--config.run.{more} continues it; another --workdir starts a new one"
    )
