"""Picture probe: outputs of a stage for a few fixed pictures, for TensorBoard."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from smapcomp.ade20k import colourise
from smapcomp.training.probe import Probe, ProbeWriter
from smapcomp.training.stages.stage import Stage

IMAGES = ("original", "upsampled", "prediction")
"""Names of the outputs that are images in [-1, 1]."""


def picture_probe(stage: Stage, batch: Mapping[str, tf.Tensor], every: int) -> Probe:
    """Return a probe that writes pictures as `pictures/NAME`.

    They are those of the stage's outputs (`stages.stage.Outcome`): the original, the up-sampled
    compact image, the prediction with the absolute residual, and label maps in colour.

    Args:
        stage: The stage.
        batch: The fixed pictures, a batch of the stage with at least one example.
        every: Steps between two sets of pictures.
    """

    @tf.function(autograph=False)
    def stage_outputs(batch):
        return stage.losses(batch, training=False).outputs

    def run(step: int, writer: ProbeWriter | None) -> dict[str, float]:
        if writer is None:
            return {}
        outputs = {name: value.numpy() for name, value in stage_outputs(batch).items()}
        panels = picture_panels(outputs)
        writer.pictures(step, {f"pictures/{name}": pixels for name, pixels in panels.items()})
        return {}

    return Probe(every, run, chief_only=True)


def picture_panels(outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the outputs of a stage as 8-bit pictures.

    Args:
        outputs: `Outcome.outputs` of a stage, in NumPy.

    Returns:
        Name to uint8 `[count, height, width, 3]`. `residual` is |original - prediction|, on the
        same scale as these. Label maps are in colour and enlarged to the pictures' size.
    """
    found = {name: _pixels(outputs[name]) for name in IMAGES if name in outputs}
    if "prediction" in found:
        original, prediction = (found[n].astype(np.int16) for n in ("original", "prediction"))
        found["residual"] = np.abs(original - prediction).astype(np.uint8)
    height, width = found["original"].shape[1:3]
    for name, label_map in outputs.items():
        if name.startswith("labels"):
            rows, columns = height // label_map.shape[1], width // label_map.shape[2]
            full = label_map.astype(np.uint8).repeat(rows, 1).repeat(columns, 2)
            found[name] = np.stack([colourise(one) for one in full])
    return found


def _pixels(image: np.ndarray) -> np.ndarray:
    values = np.floor((image.astype(np.float32) + 1.0) * 127.5 + 0.5)
    return np.clip(values, 0, 255).astype(np.uint8)
