"""What the training loops of both backends need to know of a run, apart from its stage."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
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
        ValueError: A step number is below 1, or epochs have not been converted to steps.
    """

    run: RunConfig
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log_every: int = 50
    profile_at: int | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if self.run.epochs:
            raise ValueError(f"{self.run.epochs} epochs have not been converted to steps")
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


def with_steps_of_epochs(config: TrainingConfig, pictures: int) -> TrainingConfig:
    """Return a configuration with `run.steps` in place of `run.epochs`.

    The last step is the first one after which the run has seen as many pictures as the epochs have.
    The configuration is returned unchanged if `run.epochs` is 0.

    Args:
        config: The configuration.
        pictures: Number of training pictures, at least 1.
    """
    if not config.run.epochs:
        return config
    # As a decimal fraction: in binary, 1.1 epochs of 10 pictures would be a little more than 11.
    examples = Fraction(str(config.run.epochs)) * pictures
    steps = math.ceil(examples / config.data.batch_size)
    run = dataclasses.replace(config.run, steps=steps, epochs=0.0)
    return dataclasses.replace(config, run=run)


def epochs_message(config: TrainingConfig, pictures: int) -> str:
    """Return the line that says how many steps the epochs of a configuration are.

    Args:
        config: Configuration with `run.epochs`.
        pictures: Number of training pictures, at least 1.
    """
    epochs, steps = config.run.epochs, with_steps_of_epochs(config, pictures).run.steps
    number = f"{epochs:,.0f}" if epochs == int(epochs) else str(epochs)
    return (
        f"{number} epoch{'s' * (epochs != 1)} of {pictures:,} pictures are {steps:,} steps of "
        f"{config.data.batch_size:,}"
    )


def finished_message(workdir: str, done: int, steps: int) -> str:
    """Return the line that says that a run has nothing left to do.

    Args:
        workdir: Folder of the run.
        done: Step of its newest checkpoint.
        steps: `RunConfig.steps`; 0 if the run was limited by time alone.
    """
    wanted = f"{done} of {steps} steps" if steps else f"{done} steps in all of its time"
    more = "--config.run.steps or .epochs" if steps else "--config.run.seconds"
    return (
        f"{workdir}: this run has finished, with {wanted}; nothing was trained. A larger "
        f"{more} continues it; another --workdir starts a new one"
    )
