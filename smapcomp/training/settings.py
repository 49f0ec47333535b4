"""What a configuration says of losses and optimizers; importing it loads no network library."""

from dataclasses import dataclass

WARM_UP_SHARE = 0.02
"""Of a lite run, over which the rate rises from 0. Decided here, as the cosine that follows."""

LITE_RATES = {
    "stage1": 5e-4,
    "segmentation": 5e-4,
    "stage2": 5e-4,
    "stage3": 2.5e-4,
    "lossy": 1e-3,
}
"""Highest learning rates of the lite stages. Decided here: half of it where trained networks are
tuned to new labels, twice where one network is trained whose first prediction is no change."""

LITE_CLIP_NORMS = {"lossy": 20.0}
"""Norms that gradients are clipped to, else 1. Decided here: the gradient of decibels grows as the
error falls, to a norm of 20 and more for the small errors of lossy FineNets."""

PAPER_RULES = {
    "segmentation": (
        ("^segmenter/(pyramid|head|auxiliary)", 10.0),
        ("^segmenter/(?!pyramid|head|auxiliary)", 1.0),
    ),
    "stage2": (("^smapnet/conv_out/", 0.1), ("^smapnet/(?!conv_out/)", 1.0)),
}
"""Layer-wise rates by stage (SPEC section 3): PSPNet's heads at ten times its backbone's, SMapNet's
final layer at a tenth. The other stages have one rate."""

SEGMENTATION_SCALES = (0.5, 2.0)
"""By which pictures are scaled for the segmenter and SMapNet (SPEC section 3)."""

KINDS = ("adam", "sgd")
SCHEDULES = ("constant", "constant_then_linear", "polynomial", "cosine")


@dataclass(frozen=True)
class OptimizerSettings:
    """An optimizer and how its learning rate changes.

    Attributes:
        kind: "adam" or "sgd".
        learning_rate: The highest.
        schedule: "constant"; "constant_then_linear", to 0 at the run's end; "polynomial", of power
            `power` to 0; "cosine", half of one to 0, after a rise over `WARM_UP_SHARE` of the run.
        constant_share: Of the run that "constant_then_linear" is constant.
        power: Of "polynomial".
        beta_1: Of Adam; its beta_2 is 0.999.
        momentum: Of SGD.
        weight_decay: Taken off each weight in a step, times the learning rate; 0 for none.
        clip_norm: The gradient of all of a group's variables is clipped to it; 0 for none.

    Raises:
        ValueError: A value is not allowed.
    """

    kind: str = "adam"
    learning_rate: float = 5e-4
    schedule: str = "constant"
    constant_share: float = 2 / 3
    power: float = 0.9
    beta_1: float = 0.9
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float = 0.0

    def __post_init__(self):
        for name, allowed in (("kind", KINDS), ("schedule", SCHEDULES)):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"optimizer.{name} {value!r}; allowed: {', '.join(allowed)}")
        for name in ("learning_rate", "power", "weight_decay", "clip_norm"):
            if getattr(self, name) < 0:
                raise ValueError(f"optimizer.{name} must be at least 0, got {getattr(self, name)}")
        for name in ("constant_share", "beta_1", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"optimizer.{name} must be in [0, 1), got {getattr(self, name)}")


PAPER_ADVERSARIAL = OptimizerSettings(
    learning_rate=2e-4, schedule="constant_then_linear", constant_share=100 / 150, beta_1=0.5
)
"""Stage 1: 100 epochs at one rate, then 50 in a straight line to 0 (SPEC section 3)."""


def optimizer_settings(stage: str, variant: str) -> OptimizerSettings:
    """A stage's optimizer: SPEC section 3's for "paper", else the lite one, decided here."""
    if variant != "paper":
        return OptimizerSettings(
            "adam", LITE_RATES[stage], "cosine", clip_norm=LITE_CLIP_NORMS.get(stage, 1.0)
        )
    return {
        "stage1": PAPER_ADVERSARIAL,
        # Keras adds the decay after the momentum and the papers before it, where 1e-4 works like
        # 1e-4 / (1 - 0.9) here.
        "segmentation": OptimizerSettings("sgd", 0.01, "polynomial", weight_decay=1e-3),
        "stage2": OptimizerSettings(learning_rate=5e-4),
        "stage3": PAPER_ADVERSARIAL,
    }[stage]


MSE_FLOOR = 4.0
"""Of `stages.log_mse` in stages 1 and 3: 42 dB, decided here."""

LOSSY_MSE_FLOOR = 1.0
"""The same for the lossy FineNets, 48 dB: decoded compact images come much nearer to the picture,
and the finest of them are to gain, too."""


def mse_floor(stage: str) -> float:
    """Of `stages.log_mse`, by the stage's name."""
    return LOSSY_MSE_FLOOR if stage == "lossy" else MSE_FLOOR


VOID_SHARES = {("stage1", "lite"): 0.5, ("stage3", "lite"): 0.25, ("lossy", "lite"): 0.25}
"""Of a batch that FineNet sees without labels, by stage and variant, else 0: lite's FineNet serves
the modes without labels too, the papers' was never without."""


@dataclass(frozen=True)
class Stage1Weights:
    """Weights of the terms of stage 1 (SPEC section 3); a term of weight 0 is not computed.

    Attributes:
        gan: Least-squares adversarial loss.
        feature_matching: Of the discriminator's hidden layers.
        perceptual: Of VGG's features.
        l1: Mean absolute error of values in [-1, 1].
        ssim: Subtracted structural similarity.
        log_mse: 10·log10 of a crop's squared error: minus its PSNR, in dB.
        rate: dB that one bit per pixel of the compact layer is worth.
    """

    gan: float = 1.0
    feature_matching: float = 10.0
    perceptual: float = 10.0
    l1: float = 20.0
    ssim: float = 1.0
    log_mse: float = 0.0
    rate: float = 0.0


LITE_WEIGHTS = Stage1Weights(
    gan=0.0, feature_matching=0.0, perceptual=0.0, l1=0.0, ssim=0.0, log_mse=1.0, rate=2.0
)
"""What the box's weights are trained with: PSNR and the bits of the compact layer against each
other. Decided here: 2 dB/bpp, which lets CompNet spend bits on a better prediction: about 0.05 bpp
more than at 15 dB/bpp for more than 1 dB. What a dB of the prediction saves in the residual layer
(0.04 to 0.05 bpp, measured with plain down-sampling at several steps) would ask for 20 to 25, at
which the prediction gained little over bicubic up-sampling."""

LITE_SIZES = {"stage1": 128, "segmentation": 256, "stage2": 256, "stage3": 128, "lossy": 128}
"""Side of the crops that the box's weights are trained on, in pixels. Decided here: the segmenter
needs to see whole things, and smaller crops show the codec's networks more pictures in the time."""
