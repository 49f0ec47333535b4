"""Validation probe: metrics of a stage over a set of pictures, on all replicas."""

import numpy as np
import tensorflow as tf

from smapcomp import metrics
from smapcomp.design import COMPNET_SCALE, NUM_LABELS
from smapcomp.training.probe import Probe, ProbeWriter
from smapcomp.training.stages.stage import Stage
from smapcomp.training.tf_trainer.distribution import (
    Batches,
    StrategyReplicas,
    distribute,
    fill_empty_batch,
)

LEVELS = 256
"""Number of levels that a compact image has at most."""


def validation_probe(
    stage: Stage,
    batches: Batches,
    every: int,
    strategy: tf.distribute.Strategy | None = None,
) -> Probe:
    """Return a probe that measures a stage.

    Its curves are `validation/METRIC`. They are the stage's metrics, as means over pictures (or
    over pixels, if the stage counts pixels), and scores of the stage's outputs:

    * `ms_ssim` of the prediction, if sides are at least 161 pixels;
    * `mean_iou_X` and `pixel_accuracy_X` of the label maps `labels_X` against the true ones, from
      all pixels of the set;
    * `compact_entropy_bpp`: an estimate of the compact layer's bits per pixel that is the same for
      all variants and losses, namely the entropy of the differences of neighbouring levels.

    Args:
        stage: The stage, whose networks were made within the strategy's scope.
        batches: `batches(None)` yields the set's batches; with several replicas it gets an
            `InputContext` and yields one replica's parts. The last one may be shorter or empty.
        every: Steps between two validations.
        strategy: The strategy; `None` for one device.
    """
    strategy = strategy or tf.distribute.get_strategy()

    def replica_sums(batch):
        batch, count = fill_empty_batch(batch)
        replicas = StrategyReplicas(count)
        _, scores, outputs = stage.losses(batch, training=False, replicas=replicas)
        count = tf.cast(count, tf.float32)
        # The metrics are contributions to means over the global batch; sums need its size.
        pictures = replicas.sum(count)
        found = {f"mean/{name}": pictures * value for name, value in scores.items()}
        found |= {
            name: tf.where(count > 0, value, tf.zeros_like(value))
            for name, value in _sums(outputs).items()
        }
        found["pictures"] = count
        return dict(zip(found, replicas.sum(list(found.values())), strict=True))

    @tf.function(autograph=False)
    def sums(batch):
        return strategy.run(replica_sums, args=(batch,))

    def run(_: int, __: ProbeWriter | None) -> dict[str, float]:
        total: dict[str, np.ndarray] = {}
        for batch in distribute(strategy, batches):
            for name, value in sums(batch).items():
                value = strategy.experimental_local_results(value)[0].numpy()
                total[name] = total.get(name, 0) + value.astype(np.float64)
        return {f"validation/{name}": value for name, value in _scores(total).items()}

    return Probe(every, run)


def _sums(outputs: dict) -> dict[str, tf.Tensor]:
    """Return scores of a stage's outputs that can be summed over batches and replicas; float32."""
    found = {}
    if "prediction" in outputs:
        height, width = outputs["original"].shape[1:3]
        if height and width and min(height, width) >= metrics.MS_SSIM_MIN_SIDE:
            pair = (outputs["original"] / 2 + 0.5, outputs["prediction"] / 2 + 0.5)
            found["ms_ssim"] = tf.reduce_sum(tf.image.ssim_multiscale(*pair, 1.0))
    for name, label_map in outputs.items():
        if name.startswith("labels_") and name != "labels_seen":
            confusion = _confusion(outputs["labels"], label_map)
            found[f"confusion/{name.removeprefix('labels_')}"] = confusion
    if "levels" in outputs:
        levels = tf.cast(tf.round(outputs["levels"]), tf.int32)
        steps = tf.reshape(levels[:, :, 1:] - levels[:, :, :-1], [-1]) + LEVELS
        counts = tf.math.bincount(steps, minlength=2 * LEVELS, maxlength=2 * LEVELS)
        found["level_steps"] = tf.cast(counts, tf.float32)
    return found


def _confusion(labels: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
    labels, found = (tf.reshape(tf.cast(x, tf.int32), [-1]) for x in (labels, found))
    known = tf.cast(labels > 0, tf.float32)
    return tf.math.confusion_matrix(labels, found, NUM_LABELS, weights=known, dtype=tf.float32)


def _scores(total: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the curves of sums over the whole set."""
    scores = {}
    for name, value in total.items():
        kind, _, rest = name.partition("/")
        if kind == "mean":
            scores[rest] = float(value / total["pictures"])
        elif kind == "ms_ssim":
            scores["ms_ssim"] = float(value / total["pictures"])
        elif kind == "confusion":
            if value.any():  # otherwise no pixel has a label
                scores[f"mean_iou_{rest}"] = metrics.mean_iou(value)
                scores[f"pixel_accuracy_{rest}"] = metrics.pixel_accuracy(value)
        elif kind == "level_steps":
            shares = value[value > 0] / value.sum()
            entropy = -float(np.sum(shares * np.log2(shares)))
            scores["compact_entropy_bpp"] = 3 * entropy / COMPNET_SCALE**2
    return scores
