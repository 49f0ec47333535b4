"""Each stage's optimizers and learning-rate schedules."""

import keras
from keras import ops

from smapcomp.training.stages import Stage

CONSTANT_SHARE = 2 / 3
"""Of a paper's stage 1 at full rate: 100 of 150 epochs (SPEC section 3)."""

WARM_UP_SHARE = 0.02
"""Of a lite run, over which the rate rises from 0. Decided here, as the cosine that follows."""

DEFAULT_RATES = {
    ("stage1", "paper"): 2e-4,
    ("segmentation", "paper"): 0.01,
    ("stage2", "paper"): 5e-4,
    ("stage3", "paper"): 2e-4,
    # Decided here: half of it where trained networks are tuned to new labels.
    ("stage1", "lite"): 5e-4,
    ("segmentation", "lite"): 5e-4,
    ("stage2", "lite"): 5e-4,
    ("stage3", "lite"): 2.5e-4,
}
"""Learning rates by stage and variant; the paper's are SPEC section 3's."""

PAPER_RULES = {
    "segmentation": (
        ("^segmenter/(pyramid|head|auxiliary)", 10.0),
        ("^segmenter/(?!pyramid|head|auxiliary)", 1.0),
    ),
    "stage2": (("^smapnet/conv_out/", 0.1), ("^smapnet/(?!conv_out/)", 1.0)),
}
"""Layer-wise rates by stage (SPEC section 3): PSPNet's heads at ten times its backbone's, SMapNet's
final layer at a tenth. The other stages have one rate."""


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


def build_optimizers(
    stage: Stage, variant: str, steps: int, rate: float | None = None
) -> dict[str, keras.Optimizer]:
    """An optimizer for each group of a stage.

    Args:
        stage: One of `smapcomp.training.stages`.
        variant: "paper": those of SPEC section 3. "lite": Adam, warmed up, along a cosine, each
            group's gradient clipped to norm 1.
        steps: Of the run; the schedules end there.
        rate: Highest learning rate; None for `DEFAULT_RATES`.

    Raises:
        ValueError: No rates are known for the stage and the variant.
    """
    if (stage.name, variant) not in DEFAULT_RATES:
        raise ValueError(f"no optimizer for stage {stage.name!r} of variant {variant!r}")
    rate = DEFAULT_RATES[stage.name, variant] if rate is None else rate
    build = _lite if variant == "lite" else _PAPER[stage.name]
    adversarial = "discriminator" in stage.groups
    return {group: build(rate, steps, adversarial) for group in stage.groups}


def _lite(rate: float, steps: int, adversarial: bool) -> keras.Optimizer:
    warm_up = max(int(WARM_UP_SHARE * steps), 1)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(steps - warm_up, 1), warmup_target=rate, warmup_steps=warm_up
    )
    return keras.optimizers.Adam(schedule, 0.5 if adversarial else 0.9, global_clipnorm=1.0)


def _paper_codec(rate: float, steps: int, _: bool) -> keras.Optimizer:
    schedule = ConstantThenLinear(rate, int(CONSTANT_SHARE * steps), steps)
    return keras.optimizers.Adam(schedule, beta_1=0.5, beta_2=0.999)


def _paper_segmenter(rate: float, steps: int, _: bool) -> keras.Optimizer:
    schedule = keras.optimizers.schedules.PolynomialDecay(rate, steps, 0.0, power=0.9)
    # Keras adds the decay after the momentum and the papers before it, where 1e-4 works like
    # 1e-4 / (1 - 0.9) here.
    return keras.optimizers.SGD(schedule, momentum=0.9, weight_decay=1e-3)


def _paper_smapnet(rate: float, _steps: int, _: bool) -> keras.Optimizer:
    return keras.optimizers.Adam(rate)


_PAPER = {
    "stage1": _paper_codec,
    "segmentation": _paper_segmenter,
    "stage2": _paper_smapnet,
    "stage3": _paper_codec,
}
