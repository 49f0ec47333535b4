"""Published settings of the papers' stages, and those of the bundled lite networks.

Configuration files and tools derive their defaults from these functions.
"""

from smapcomp.training.config_groups import LossConfig, LossWeights, OptimizerConfig
from smapcomp.training.rules import RulePairs

LITE_RATES = {
    "stage1": 5e-4,
    "segmentation": 5e-4,
    "stage2": 5e-4,
    "stage3": 2.5e-4,
    "lossy": 1e-3,
}
"""Highest learning rates of the lite stages. Stage 3 has half the rate, because it tunes trained
networks to other labels; stage lossy has twice the rate, because it trains one network whose first
prediction changes nothing."""

LITE_CLIP_NORMS = {"lossy": 20.0}
"""Norms to which gradients of the lite stages are clipped, 1 where none is named. The gradient of
decibels grows as the error falls; the small errors of lossy FineNets give norms of 20 and more."""

PAPER_RULES: dict[str, RulePairs] = {
    "segmentation": (
        ("^segmenter/(pyramid|head|auxiliary)", 10.0),
        ("^segmenter/(?!pyramid|head|auxiliary)", 1.0),
    ),
    "stage2": (("^smapnet/conv_out/", 0.1), ("^smapnet/(?!conv_out/)", 1.0)),
}
"""Layer-wise learning rates (docs/spec.md, section 3): PSPNet's heads learn at ten times the rate
of its backbone, SMapNet's last layer at a tenth. The other stages have one rate."""

SEGMENTATION_SCALES = (0.5, 2.0)
"""Factors between which pictures are scaled for the segmenter and SMapNet (docs/spec.md,
section 3)."""

PAPER_ADVERSARIAL = OptimizerConfig(
    learning_rate=2e-4, schedule="constant_then_linear", constant_share=100 / 150, beta_1=0.5
)
"""Stage 1 (docs/spec.md, section 3): 100 epochs at one learning rate, then 50 in a straight line
to 0."""

LITE_WEIGHTS = LossWeights(
    gan=0.0, feature_matching=0.0, perceptual=0.0, l1=0.0, ssim=0.0, log_mse=1.0, rate=2.0
)
"""Loss of the bundled weights: PSNR against the bits of the compact layer, at 2 dB per bpp.

At 2 dB/bpp CompNet spends about 0.05 bpp more than at 15 dB/bpp and gains more than 1 dB. What a dB
of the prediction saves in the residual layer (0.04 to 0.05 bpp, measured with plain down-sampling
at several steps) would suggest 20 to 25 dB/bpp, at which the prediction gained little over bicubic
up-sampling."""

LITE_SIZES = {"stage1": 128, "segmentation": 256, "stage2": 256, "stage3": 128, "lossy": 128}
"""Sides in pixels of the crops that the bundled weights are trained on. The segmenter needs to see
whole objects; smaller crops show the other networks more pictures in the same time."""

PAPER_SIZE = 256
"""Side in pixels of the papers' pictures (docs/spec.md, section 3)."""

MSE_FLOOR = 4.0
"""Floor of `losses.log_mse` in stages 1 and 3: 42 dB."""

LOSSY_MSE_FLOOR = 1.0
"""The same in stage lossy, 48 dB: decoded compact images come much nearer to the picture, and even
the finest of them shall gain."""

VOID_SHARES = {("stage1", "lite"): 0.5, ("stage3", "lite"): 0.25, ("lossy", "lite"): 0.25}
"""Share of a batch that FineNet sees without labels, by stage and variant, 0 where none is named.
Lite's FineNet also serves the modes without labels; the papers' always had them."""


def optimizer_config(stage: str, variant: str) -> OptimizerConfig:
    """Return a stage's optimizer, with one learning rate for all layers.

    Args:
        stage: One of `config_groups.STAGES`.
        variant: "paper" for the published settings (docs/spec.md, section 3), or "lite".
    """
    if variant != "paper":
        return OptimizerConfig(
            "adam", LITE_RATES[stage], "cosine", clip_norm=LITE_CLIP_NORMS.get(stage, 1.0)
        )
    return {
        "stage1": PAPER_ADVERSARIAL,
        # Keras adds the decay after the momentum, the papers before it; there 1e-4 has the effect
        # of 1e-4 / (1 - 0.9) here.
        "segmentation": OptimizerConfig("sgd", 0.01, "polynomial", weight_decay=1e-3),
        "stage2": OptimizerConfig(learning_rate=5e-4),
        "stage3": PAPER_ADVERSARIAL,
    }[stage]


def loss_config(stage: str, variant: str) -> LossConfig:
    """Return a stage's losses; the arguments are those of `optimizer_config`."""
    return LossConfig(
        weights=LITE_WEIGHTS if variant == "lite" else LossWeights(),
        mse_floor=LOSSY_MSE_FLOOR if stage == "lossy" else MSE_FLOOR,
        void_share=VOID_SHARES.get((stage, variant), 0.0),
    )
