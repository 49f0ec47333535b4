"""Pictures of a run for TensorBoard: what a stage makes of a few fixed ones."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from smapcomp.ade20k import colourise
from smapcomp.training.stages.stage import Stage
from smapcomp.training.tf_trainer.loop import Probe
from smapcomp.training.tf_trainer.summaries import Summaries

SIGNALS = ("original", "upsampled", "prediction")


def pictures(stage: Stage, batch: Mapping[str, tf.Tensor], every: int) -> Probe:
    """A probe that writes pictures as `pictures/NAME`.

    They are those of the stage's view (`stages.Outcome`) that it has: the original, the up-sampled
    compact image, the prediction and the absolute residual, and label maps in colour.

    Args:
        stage: Shows them.
        batch: The fixed pictures, as a stage takes them.
        every: In steps.
    """

    @tf.function(autograph=False)
    def view_of(batch):
        return stage.losses(batch, training=False).view

    def run(step: int, summaries: Summaries) -> dict[str, float]:
        view = {name: value.numpy() for name, value in view_of(batch).items()}
        shown = panels(view)
        summaries.pictures(step, {f"pictures/{name}": pixels for name, pixels in shown.items()})
        return {}

    return Probe(every, run, chief_only=True)


def panels(view: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a view looks like.

    Args:
        view: As `stages.Outcome.view`, in NumPy.

    Returns:
        Name to uint8 `[count, height, width, 3]`. `residual` is |original - prediction| in the
        same scale as they, and label maps are enlarged to the pictures' size.
    """
    found = {name: _pixels(view[name]) for name in SIGNALS if name in view}
    if "prediction" in found:
        original, prediction = (found[n].astype(np.int16) for n in ("original", "prediction"))
        found["residual"] = np.abs(original - prediction).astype(np.uint8)
    height, width = found["original"].shape[1:3]
    for name, label_map in view.items():
        if name.startswith("labels"):
            rows, columns = height // label_map.shape[1], width // label_map.shape[2]
            full = label_map.astype(np.uint8).repeat(rows, 1).repeat(columns, 2)
            found[name] = np.stack([colourise(one) for one in full])
    return found


def _pixels(signal: np.ndarray) -> np.ndarray:
    values = np.floor((signal.astype(np.float32) + 1.0) * 127.5 + 0.5)
    return np.clip(values, 0, 255).astype(np.uint8)
