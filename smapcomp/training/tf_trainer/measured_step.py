"""The training step of a configuration with random weights, for measurements without data."""

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import tensorflow as tf

from smapcomp.training.config import TrainingConfig
from smapcomp.training.stages.networks import build_stage
from smapcomp.training.stages.stage import Stage
from smapcomp.training.stages.stage_optimizers import build_slots, stage_optimizers
from smapcomp.training.tf_trainer.step import step_function, train_step
from smapcomp.training.tf_trainer.step_cost import StepCost, step_cost


@dataclass(frozen=True)
class MeasuredStep:
    """A stage with random weights, whose step can be run or counted.

    Attributes:
        stage: The stage.
        optimizers: Its optimizers by group, with their slots.
        batch: Shapes and dtypes of a batch.
        jit_compile: Whether XLA compiles the step when it is run.
    """

    stage: Stage
    optimizers: Mapping[str, keras.Optimizer]
    batch: Mapping[str, tf.TensorSpec]
    jit_compile: bool

    @classmethod
    def from_config(cls, config: TrainingConfig) -> "MeasuredStep":
        """Build the stage of a configuration; it reads no file.

        With `data.coded`, which the JAX backend has, batches of stage lossy have the labels that
        the decoder finds, and the networks that find them are left out.

        Args:
            config: The configuration.
        """
        labels_in_batch = config.model.stage == "lossy" and bool(config.data.coded)
        stage = build_stage(config, random_weights=True, labels_in_batch=labels_in_batch)
        loss_scaled = config.model.precision == "float16"
        optimizers = stage_optimizers(stage, config.optimizer, config.run.span, loss_scaled)
        build_slots(stage, optimizers)
        batch = _batch_spec(config, "labels_seen" if labels_in_batch else "label_map")
        return cls(stage, optimizers, batch, config.run.jit_compile)

    def compiled(self):
        """Return the step as `train_step` does."""
        return train_step(self.stage, self.optimizers, jit_compile=self.jit_compile)

    def cost(self) -> StepCost:
        """Return the cost of the step, counted without XLA.

        Raises:
            SmapcompError: The graph has an operation that cannot be counted.
        """
        function = step_function(self.stage, self.optimizers)
        return step_cost(self.stage, self.optimizers, function, self.batch)


def _batch_spec(config: TrainingConfig, labels: str) -> dict[str, tf.TensorSpec]:
    count, side, scale = config.data.batch_size, config.data.size, config.model.scale
    batch = {
        "image": tf.TensorSpec([count, side, side, 3], tf.float32),
        labels: tf.TensorSpec([count, side, side], tf.int32),
    }
    if config.model.stage == "lossy":
        compact = side // scale
        batch["compact"] = tf.TensorSpec([count, compact, compact, 3], tf.float32)
        batch["level"] = tf.TensorSpec([count], tf.float32)
    return batch
