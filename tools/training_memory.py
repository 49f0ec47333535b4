r"""Measure the peak memory and the time of a training step of a configuration, with TensorFlow.

    python -m tools.training_memory --config=experiments/configs/stage1_paper.py \
        [--config.model.recompute=True] [--config.data.batch_size=2 ...] [--steps=2]

Pictures, and weights that the configuration would read, are random; everything else is the step of
`experiments.train`, optimizers included. The last line is JSON: peak host memory before and after
the steps in GiB (`ru_maxrss`, which includes TensorFlow itself and the weights), peak GPU memory if
there is a GPU, and seconds of each step, the first of which includes compilation.
"""

import json
import time
from collections.abc import Sequence

import numpy as np
from absl import app, flags
from ml_collections import config_flags

from smapcomp.design import NUM_LABELS
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.keras_startup import import_keras
from smapcomp.training.config import TrainingConfig

CONFIG = config_flags.DEFINE_config_file("config", None, "File of experiments/configs.")
STEPS = flags.DEFINE_integer("steps", 2, "Number of measured steps.", lower_bound=1)
flags.mark_flag_as_required("config")

REGION = 64
"""Side in pixels of the regions of the random label maps; `data.size` must be a multiple of it.

Without XLA, convolutions of labels need memory only for windows that contain several labels.
"""


def measure(config: TrainingConfig, steps: int) -> dict:
    """Measure training steps.

    Args:
        config: Configuration of the run.
        steps: Number of steps.

    Returns:
        The values of the last line of the output.
    """
    # TensorFlow is loaded here, after the command line has been checked.
    import_keras()
    import keras
    import tensorflow as tf

    from smapcomp.training.stages.networks import build_stage
    from smapcomp.training.stages.stage_optimizers import build_slots, stage_optimizers
    from smapcomp.training.tf_trainer.curves import memory
    from smapcomp.training.tf_trainer.step import train_step

    keras.utils.set_random_seed(0)
    model, data = config.model, config.data
    stage = build_stage(config, random_weights=True)
    loss_scaled = model.precision == "float16"
    optimizers = stage_optimizers(stage, config.optimizer, steps, loss_scaled)
    build_slots(stage, optimizers)
    step = train_step(stage, optimizers, jit_compile=config.run.jit_compile)
    rng = np.random.default_rng(0)
    shape = (data.batch_size, data.size, data.size)
    side = data.size // REGION
    regions = rng.integers(0, NUM_LABELS, (data.batch_size, side, side))
    batch = {
        "image": tf.constant(rng.uniform(-1, 1, (*shape, 3)), tf.float32),
        "label_map": tf.constant(regions.repeat(REGION, 1).repeat(REGION, 2), tf.int32),
    }
    if model.stage == "lossy":
        side = data.size // model.scale
        compact = rng.uniform(-1, 1, (data.batch_size, side, side, 3))
        batch["compact"] = tf.constant(compact, tf.float32)
        batch["level"] = tf.constant(rng.uniform(0, 1, data.batch_size), tf.float32)
    result = {"before": memory(), "seconds": []}
    for _ in range(steps):
        began = time.monotonic()
        values = step(batch)
        result["seconds"].append(round(time.monotonic() - began, 1))
    losses = {name: value for name, value in values.items() if name.startswith("loss/")}
    return {**result, "after": memory(), "losses": losses}


def main(arguments: Sequence[str]) -> None:
    """Print the measurement of the configuration."""
    refuse_arguments(arguments)
    with errors_in_one_line("training_memory"):
        config = TrainingConfig.from_dict(CONFIG.value.to_dict())
        print(json.dumps(measure(config, STEPS.value)))


if __name__ == "__main__":
    app.run(main)
