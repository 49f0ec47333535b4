"""Each stage's optimizers and learning-rate schedules."""

import keras
from keras import ops

from smapcomp.training.layerwise import Rules, layerwise
from smapcomp.training.settings import WARM_UP_SHARE, OptimizerSettings


@keras.saving.register_keras_serializable(package="smapcomp")
class ConstantThenLinear(keras.optimizers.schedules.LearningRateSchedule):
    """A constant rate, then a straight line that reaches 0 at the last step.

    Args:
        rate: The constant rate.
        constant_steps: How long it holds.
        steps: Where 0 is reached; more than `constant_steps`.
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
    settings: OptimizerSettings, steps: int, rules: Rules, loss_scaled: bool = False
) -> keras.Optimizer:
    """An optimizer of `layerwise`; call within the strategy's scope.

    Args:
        settings: Which.
        steps: Of the run; the schedule ends there.
        rules: Layer-wise rates.
        loss_scaled: Wrap it in a `LossScaleOptimizer`, which float16 needs.
    """
    schedule = _schedule(settings, steps)
    options = {
        "weight_decay": settings.weight_decay or None,
        "global_clipnorm": settings.clip_norm or None,
    }
    if settings.kind == "adam":
        optimizer = keras.optimizers.Adam(schedule, settings.beta_1, 0.999, **options)
    else:
        optimizer = keras.optimizers.SGD(schedule, settings.momentum, **options)
    optimizer = layerwise(optimizer, rules)
    return keras.optimizers.LossScaleOptimizer(optimizer) if loss_scaled else optimizer


def _schedule(settings: OptimizerSettings, steps: int):
    schedules, rate = keras.optimizers.schedules, settings.learning_rate
    if settings.schedule == "constant_then_linear":
        constant = min(int(settings.constant_share * steps), steps - 1)
        return ConstantThenLinear(rate, constant, steps)
    if settings.schedule == "polynomial":
        return schedules.PolynomialDecay(rate, steps, 0.0, power=settings.power)
    if settings.schedule == "cosine":
        warm_up = max(int(WARM_UP_SHARE * steps), 1)
        return schedules.CosineDecay(
            0.0, max(steps - warm_up, 1), warmup_target=rate, warmup_steps=warm_up
        )
    return float(rate)
