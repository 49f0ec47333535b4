r"""Measures what a training step of a configuration needs: the peak of the process's memory.

    python -m tools.training_memory --config=experiments/configs/stage1_paper.py \
        [--config.recompute=True] [--config.batch_size=2 --config.size=256 ...] [--steps=2]

Pictures, and weights that the configuration would read, are random; everything else is the job's
own step, optimizers included. The last line is JSON: peak host memory before and after the steps
in GiB (`ru_maxrss`, so TensorFlow itself and the weights are in it), peak GPU memory if there is a
GPU, and seconds of each step, the first of which compiles.
"""

import json
import time
from collections.abc import Sequence

import numpy as np
from absl import app, flags
from ml_collections import config_flags

from smapcomp.keras_startup import import_keras

CONFIG = config_flags.DEFINE_config_file("config", None, "A file of experiments/configs.")
STEPS = flags.DEFINE_integer("steps", 2, "Steps that are measured.", lower_bound=1)
flags.mark_flag_as_required("config")

REGION = 64
"""Side of the random label maps' regions in pixels; `size` must be a multiple of it.

Without XLA, convolutions of labels take memory only for windows that hold several labels.
"""


def measure(config, steps: int) -> dict:
    """The figures that the last line shows."""
    import_keras()
    import keras
    import tensorflow as tf

    from experiments.train_config import stage_settings
    from smapcomp.training import networks
    from smapcomp.training.optimizers import build_optimizer
    from smapcomp.training.settings import OptimizerSettings
    from smapcomp.training.state import build_optimizers
    from smapcomp.training.tf_trainer.curves import memory
    from smapcomp.training.tf_trainer.step import train_step

    keras.utils.set_random_seed(0)
    settings = stage_settings(config)
    stage = networks.build_stage(settings, random_weights=True)
    half = config.precision == "float16"
    optimizer = OptimizerSettings(**config.optimizer)
    optimizers = {
        group: build_optimizer(optimizer, steps, settings.rules, half) for group in stage.groups
    }
    build_optimizers(stage, optimizers)
    step = train_step(stage, optimizers, jit_compile=config.jit_compile)
    rng = np.random.default_rng(0)
    shape = (config.batch_size, config.size, config.size)
    side = config.size // REGION
    regions = rng.integers(0, 151, (config.batch_size, side, side))
    batch = {
        "image": tf.constant(rng.uniform(-1, 1, (*shape, 3)), tf.float32),
        "label_map": tf.constant(regions.repeat(REGION, 1).repeat(REGION, 2), tf.int32),
    }
    if config.stage == "lossy":
        side = config.size // config.scale
        compact = rng.uniform(-1, 1, (config.batch_size, side, side, 3))
        batch["compact"] = tf.constant(compact, tf.float32)
        batch["level"] = tf.constant(rng.uniform(0, 1, config.batch_size), tf.float32)
    result = {"before": memory(), "seconds": []}
    for _ in range(steps):
        began = time.monotonic()
        values = step(batch)
        result["seconds"].append(round(time.monotonic() - began, 1))
    losses = {name: value for name, value in values.items() if name.startswith("loss/")}
    return {**result, "after": memory(), "losses": losses}


def main(_: Sequence[str]) -> None:
    print(json.dumps(measure(CONFIG.value, STEPS.value)))


if __name__ == "__main__":
    app.run(main)
