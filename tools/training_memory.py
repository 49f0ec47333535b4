r"""Measure the peak memory and the time of a training step of a configuration, with TensorFlow.

    python -m tools.training_memory --config=experiments/configs/stage1_paper.py \
        [--config.model.recompute=True] [--config.data.batch_size=2 ...] [--steps=2]

Pictures, and weights that the configuration would read, are random; everything else is the step of
`experiments.train`, optimizers included. The last line is JSON: peak host memory before and after
the steps in GiB (`ru_maxrss`, which includes TensorFlow itself and the weights), peak GPU memory if
there is a GPU, and seconds of each step, the first of which includes compilation.
"""

import functools
import json
import time
from collections.abc import Sequence

import numpy as np
from absl import app, flags
from ml_collections import config_flags

from experiments.config_flag import config_of, parse
from smapcomp.design import NUM_LABELS
from smapcomp.jobs.exits import errors_in_one_line
from smapcomp.keras_startup import import_keras
from smapcomp.training.config import TrainingConfig

NAME = "training_memory"

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

    from smapcomp.training.tf_trainer.curves import memory
    from smapcomp.training.tf_trainer.measured_step import MeasuredStep

    keras.utils.set_random_seed(0)
    measured = MeasuredStep.from_config(config)
    step = measured.compiled()
    rng = np.random.default_rng(0)

    def values(name: str, spec: tf.TensorSpec) -> tf.Tensor:
        if spec.dtype == tf.float32:
            lowest = 0.0 if name == "level" else -1.0
            return tf.constant(rng.uniform(lowest, 1.0, spec.shape), spec.dtype)
        count, side, _ = spec.shape
        regions = rng.integers(0, NUM_LABELS, (count, side // REGION, side // REGION))
        return tf.constant(regions.repeat(REGION, 1).repeat(REGION, 2), spec.dtype)

    batch = {name: values(name, spec) for name, spec in measured.batch.items()}
    result = {"before": memory(), "seconds": []}
    for _ in range(steps):
        began = time.monotonic()
        values = step(batch)
        result["seconds"].append(round(time.monotonic() - began, 1))
    losses = {name: value for name, value in values.items() if name.startswith("loss/")}
    return {**result, "after": memory(), "losses": losses}


def main(_: Sequence[str]) -> None:
    """Print the measurement of the configuration."""
    with errors_in_one_line(NAME):
        config = TrainingConfig.from_dict(config_of(CONFIG).to_dict())
        print(json.dumps(measure(config, STEPS.value)))


if __name__ == "__main__":
    app.run(main, flags_parser=functools.partial(parse, NAME, CONFIG))
