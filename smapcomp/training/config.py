"""Configuration of a training run, the same for both backends.

A configuration file (`experiments/configs`) has the groups of `TrainingConfig`, and each group has
the fields of a dataclass of `smapcomp.training.config_groups`. Importing this module loads no
Keras, because the backend is chosen after the configuration has been read.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smapcomp.training.config_groups import (
    CheckpointConfig,
    DataConfig,
    EvaluationConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    require,
)
from smapcomp.training.errors import ConfigError


@dataclass(frozen=True)
class TrainingConfig:
    """Configuration of a run, in groups.

    Attributes:
        model: Networks.
        loss: Losses.
        data: Pictures.
        optimizer: Optimizer and learning rates.
        run: Length and execution.
        checkpoint: Checkpoints.
        evaluation: Measurements during the run.

    Raises:
        ConfigError: A value is not allowed, or two values contradict each other.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=lambda: RunConfig(steps=1))
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self):
        if self.model.stage != "lossy":
            return
        size = self.data.size
        require(size % 16 == 0, "data.size", size, "a multiple of 16 in stage lossy")
        # Any other change of the samples would not fit the coded compact images.
        for name, value in {"fit": "crop", "scales": (), "rotation": 0.0, "blur": 0.0}.items():
            found = getattr(self.data, name)
            require(found == value, f"data.{name}", found, f"{value!r} in stage lossy")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainingConfig":
        """Make a configuration from nested mappings.

        Args:
            values: Group to a mapping of field to value; what is left out has its default.

        Raises:
            ConfigError: A group or a field is unknown, or a value is not allowed.
        """
        return _from_dict(cls, values, "config")

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as nested dictionaries."""
        return dataclasses.asdict(self)

    def fixed_fields(self) -> dict[str, Any]:
        """Return the fields that may not change when a run is continued, by "GROUP.FIELD".

        The others say where initial weights lie, how long the run is, how it is executed and what
        is measured.
        """
        fields = {
            f"{group}.{name}": value
            for group, values in self.to_dict().items()
            for name, value in values.items()
        }
        names = ("init", "allow_random", "backbone", "vgg", "vgg_depth", "recompute")
        free = [f"model.{name}" for name in names]
        fixed = ("model.", "loss.", "data.", "optimizer.", "run.seed")
        return {
            name: value
            for name, value in fields.items()
            if name.startswith(fixed) and name not in (*free, "data.cache_mib")
        }


def _from_dict(cls: type, values: Mapping[str, Any], path: str) -> Any:
    fields: dict[str, Any] = {f.name: f.type for f in dataclasses.fields(cls)}
    for name in values:
        if name not in fields:
            raise ConfigError(f"{path} has no field {name!r}; known: {', '.join(fields)}")
    return cls(
        **{
            name: _from_dict(fields[name], value, f"{path}.{name}")
            if dataclasses.is_dataclass(fields[name])
            else value
            for name, value in values.items()
        }
    )
