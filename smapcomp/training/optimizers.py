"""Optimizers and learning-rate schedules of a configuration."""

import keras
from keras import ops

from smapcomp.training.config_groups import OptimizerConfig
from smapcomp.training.layerwise import layerwise
from smapcomp.training.rules import Rules

WARM_UP_SHARE = 0.02
"""Share of a run with schedule "cosine" over which the learning rate rises from 0."""


@keras.saving.register_keras_serializable(package="smapcomp")
class ConstantThenLinear(keras.optimizers.schedules.LearningRateSchedule):
    """A constant learning rate, then a straight line that reaches 0 at the last step.

    Args:
        rate: The constant rate.
        constant_steps: Number of steps with the constant rate.
        steps: Step at which the rate reaches 0; more than `constant_steps`.
    """

    def __init__(self, rate: float, constant_steps: int, steps: int):
        self.rate = rate
        self.constant_steps = constant_steps
        self.steps = steps

    def __call__(self, step):
        left = (self.steps - ops.cast(step, "float32")) / (self.steps - self.constant_steps)
        return self.rate * ops.clip(left, 0.0, 1.0)

    def get_config(self):
        return {
            "rate": self.rate,
            "constant_steps": self.constant_steps,
            "steps": self.steps,
        }


def build_optimizer(
    config: OptimizerConfig, steps: int, loss_scaled: bool = False
) -> keras.Optimizer:
    """Return an optimizer with layer-wise learning rates; call within the strategy's scope.

    Args:
        config: Kind, schedule and rules.
        steps: Step at which the schedule ends.
        loss_scaled: Whether it is wrapped in a `LossScaleOptimizer`, which float16 needs.
    """
    schedule = _schedule(config, steps)
    options = {
        "weight_decay": config.weight_decay or None,
        "global_clipnorm": config.clip_norm or None,
    }
    if config.kind == "adam":
        optimizer = keras.optimizers.Adam(schedule, config.beta_1, 0.999, **options)
    else:
        optimizer = keras.optimizers.SGD(schedule, config.momentum, **options)
    optimizer = layerwise(optimizer, Rules(config.rules))
    return keras.optimizers.LossScaleOptimizer(optimizer) if loss_scaled else optimizer


def _schedule(config: OptimizerConfig, steps: int):
    schedules, rate = keras.optimizers.schedules, config.learning_rate
    if config.schedule == "constant_then_linear":
        constant = min(int(config.constant_share * steps), steps - 1)
        return ConstantThenLinear(rate, constant, steps)
    if config.schedule == "polynomial":
        return schedules.PolynomialDecay(rate, steps, 0.0, power=config.power)
    if config.schedule == "cosine":
        warm_up = max(int(WARM_UP_SHARE * steps), 1)
        return schedules.CosineDecay(
            0.0, max(steps - warm_up, 1), warmup_target=rate, warmup_steps=warm_up
        )
    return float(rate)
