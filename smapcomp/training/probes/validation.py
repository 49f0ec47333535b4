"""Scores of a stage over a set of pictures, on all replicas."""

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from smapcomp import metrics
from smapcomp.design import COMPNET_SCALE, NUM_LABELS
from smapcomp.training.stages.stage import Stage
from smapcomp.training.tf_trainer.distribution import StrategyReplicas, distribute
from smapcomp.training.tf_trainer.loop import Probe
from smapcomp.training.tf_trainer.summaries import Summaries

LEVELS = 256
Batches = Callable[[tf.distribute.InputContext | None], Iterable]


def validation(
    stage: Stage,
    batches: Batches,
    every: int,
    strategy: tf.distribute.Strategy | None = None,
) -> Probe:
    """A probe that scores a stage.

    Its curves are `validation/METRIC`: the stage's metrics, pictures weighing alike (or pixels,
    where the stage counts pixels), and, of what the stage shows:

    * `ms_ssim` of the prediction, where pictures have 161 pixels a side or more;
    * `mean_iou_X` and `pixel_accuracy_X` of the label maps `labels_X` against the true ones, from
      all pixels of the set;
    * `compact_entropy_bpp`: an estimate of the compact layer's bits per pixel that is the same for
      all variants and losses, namely the entropy of the differences of neighbouring levels.

    Args:
        stage: Its networks were made within the strategy's scope.
        batches: `batches(None)` yields the set's batches; with several replicas it is given an
            `InputContext` and yields one replica's. The last may be shorter, or empty.
        every: In steps.
        strategy: None for one device.
    """
    strategy = strategy or tf.distribute.get_strategy()
    replicas = StrategyReplicas()

    def replica_sums(batch):
        _, scores, view = stage.losses(batch, training=False, replicas=replicas)
        count = tf.cast(tf.shape(batch["image"])[0], tf.float32)
        # The contributions are to means over this batch; sums need its size.
        pictures = replicas.sum(count)
        found = {f"mean/{name}": pictures * value for name, value in scores.items()}
        found |= {"pictures": count} | _sums(view)
        return dict(zip(found, replicas.sum(list(found.values())), strict=True))

    @tf.function(autograph=False)
    def sums(batch):
        return strategy.run(replica_sums, args=(batch,))

    def run(_: int, __: Summaries) -> dict[str, float]:
        total: dict[str, np.ndarray] = {}
        for batch in distribute(strategy, batches):
            for name, value in sums(batch).items():
                value = strategy.experimental_local_results(value)[0].numpy()
                total[name] = total.get(name, 0) + value.astype(np.float64)
        return {f"validation/{name}": value for name, value in _scores(total).items()}

    return Probe(every, run)


def _sums(view: dict) -> dict[str, tf.Tensor]:
    """What can be added up over batches and replicas, of what a stage shows; float32."""
    found = {}
    if "prediction" in view:
        height, width = view["original"].shape[1:3]
        if height and width and min(height, width) >= metrics.MS_SSIM_MIN_SIDE:
            pair = (view["original"] / 2 + 0.5, view["prediction"] / 2 + 0.5)
            found["ms_ssim"] = tf.reduce_sum(tf.image.ssim_multiscale(*pair, 1.0))
    for name, label_map in view.items():
        if name.startswith("labels_") and name != "labels_seen":
            confusion = _confusion(view["labels"], label_map)
            found[f"confusion/{name.removeprefix('labels_')}"] = confusion
    if "levels" in view:
        levels = tf.cast(tf.round(view["levels"]), tf.int32)
        steps = tf.reshape(levels[:, :, 1:] - levels[:, :, :-1], [-1]) + LEVELS
        counts = tf.math.bincount(steps, minlength=2 * LEVELS, maxlength=2 * LEVELS)
        found["level_steps"] = tf.cast(counts, tf.float32)
    return found


def _confusion(labels: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
    labels, found = (tf.reshape(tf.cast(x, tf.int32), [-1]) for x in (labels, found))
    known = tf.cast(labels > 0, tf.float32)
    return tf.math.confusion_matrix(labels, found, NUM_LABELS, weights=known, dtype=tf.float32)


def _scores(total: dict[str, np.ndarray]) -> dict[str, float]:
    scores = {}
    for name, value in total.items():
        kind, _, rest = name.partition("/")
        if kind == "mean":
            scores[rest] = float(value / total["pictures"])
        elif kind == "ms_ssim":
            scores["ms_ssim"] = float(value / total["pictures"])
        elif kind == "confusion":
            if value.any():  # else nothing is labelled
                scores[f"mean_iou_{rest}"] = metrics.mean_iou(value)
                scores[f"pixel_accuracy_{rest}"] = metrics.pixel_accuracy(value)
        elif kind == "level_steps":
            shares = value[value > 0] / value.sum()
            entropy = -float(np.sum(shares * np.log2(shares)))
            scores["compact_entropy_bpp"] = 3 * entropy / COMPNET_SCALE**2
    return scores
