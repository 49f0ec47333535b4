"""Names of the curves that the probes of a run write, known before its first step."""

import dataclasses

from smapcomp.metrics import MS_SSIM_MIN_SIDE
from smapcomp.training.config import TrainingConfig
from smapcomp.training.errors import ConfigError

CODED_STAGES = ("stage1", "stage3")
"""Stages whose networks the coding probe can run."""

CODING_MIN_SIZE = 32
"""Smallest side in pixels of the pictures that the coding probe takes."""


def probe_curves(config: TrainingConfig, backend: str) -> tuple[str, ...]:
    """Return the names of the curves of a run's probes.

    Those of a set without any true label lack `mean_iou_X` and `pixel_accuracy_X` of label maps.

    Args:
        config: The configuration.
        backend: "tensorflow" or "jax". The JAX backend measures the stage's own metrics alone.
    """
    stage, metrics = config.model.stage, _stage_metrics(config)
    large = config.data.size >= MS_SSIM_MIN_SIDE
    if backend == "tensorflow":
        label_maps = {
            "segmentation": ("sharp", "upsampled"),
            "stage2": ("before", "after", "sharp"),
        }.get(stage, ())
        metrics += [f"{kind}_{x}" for x in label_maps for kind in ("mean_iou", "pixel_accuracy")]
        if stage in (*CODED_STAGES, "lossy") and large:
            metrics.append("ms_ssim")
        if stage in CODED_STAGES:
            metrics.append("compact_entropy_bpp")
    curves = [f"validation/{name}" for name in metrics]
    if backend == "tensorflow" and has_coding_probe(config):
        coded = ["bpp", "compact_bpp", "residual_bpp", "psnr", "prediction_psnr"]
        coded += ["labels_bpp"] * (stage == "stage1") + ["ms_ssim"] * large
        curves += [f"codec/{name}" for name in coded]
    return tuple(dict.fromkeys(curves))


def has_coding_probe(config: TrainingConfig) -> bool:
    """Return whether a run with TensorFlow compresses pictures with the networks in training."""
    return (
        config.model.stage in CODED_STAGES
        and config.evaluation.codec_pictures > 0
        and config.data.size >= CODING_MIN_SIZE
    )


def require_known_best_metric(config: TrainingConfig, backend: str) -> None:
    """Check that a probe measures the metric of the best checkpoint.

    Raises:
        ConfigError: None does.
    """
    metric, curves = config.checkpoint.best_metric, probe_curves(config, backend)
    if metric and metric not in curves:
        raise ConfigError(
            f"config.checkpoint.best_metric {metric!r} is no curve of {config.model.stage} with "
            f"backend {backend}; allowed: {', '.join(curves)}"
        )


def _stage_metrics(config: TrainingConfig) -> list[str]:
    """Return the names of the metrics that the stage itself computes."""
    stage = config.model.stage
    if stage == "segmentation":
        return ["cross_entropy", "pixel_accuracy_upsampled", "pixel_accuracy"]
    if stage == "stage2":
        loss = "mse" if config.model.representation == "index" else "cross_entropy"
        before = ["agreement_before", "agreement", "pixel_accuracy_before", "pixel_accuracy"]
        return [loss, *before]
    if stage == "lossy":
        return ["log_mse", "psnr", "psnr_upsampled", "gain_db"]
    weights = dataclasses.asdict(config.loss.weights)
    return [*(name for name, weight in weights.items() if weight), "psnr", "psnr_upsampled"]
