"""A worker of a run in several processes: `python -m tests.helpers.worker_case WORKDIR STEPS`.

Without TF_CONFIG the run has one process, with the same global batches. The last batch of the
validation leaves worker 1 without an example.
"""

import os
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from smapcomp.errors import SmapcompError
from smapcomp.training.config_groups import CheckpointConfig, RunConfig
from smapcomp.training.errors import Interrupted
from smapcomp.training.layerwise import layerwise
from smapcomp.training.probe import Probe
from smapcomp.training.probes.histograms import histogram_probe
from smapcomp.training.probes.validation import validation_probe
from smapcomp.training.rules import Rules
from smapcomp.training.run_plan import RunPlan
from smapcomp.training.stages import losses
from smapcomp.training.stages.replicas import SINGLE_REPLICA, contribution
from smapcomp.training.stages.stage import Outcome, Stage
from smapcomp.training.tf_trainer.distribution import build_strategy, is_chief
from smapcomp.training.tf_trainer.graph import forward_graph
from smapcomp.training.tf_trainer.loop import StepComponents, train

BATCH = 4


def build_stage() -> Stage:
    """Return a stage in which a convolution learns to double its input."""
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3))
    network = keras.Model(image, keras.layers.Conv2D(3, 3, padding="same", name="conv")(image))

    def stage_losses(batch, training=True, replicas=SINGLE_REPLICA):
        tf.debugging.assert_positive(tf.shape(batch["image"])[0], "an empty batch")
        restored = network(0.5 * batch["image"], training=training)
        loss = losses.mse(restored, batch["image"])
        loss = contribution(loss, replicas.share(tf.shape(batch["image"])[0]))
        return Outcome({"network": loss}, {"mse": loss}, {})

    return Stage("worker", {"network": network}, {"network": ("network",)}, stage_losses)


def batches(
    first: int, context: tf.distribute.InputContext | None, last: int = 0
) -> tf.data.Dataset:
    """Return batches from a number on, or one worker's parts of them.

    Making an example takes so long that the run can be interrupted. `last` limits the examples.
    """

    def example(position):
        time.sleep(0.01)
        image = np.random.default_rng(position).uniform(-1, 1, (8, 8, 3))
        return image.astype(np.float32)

    def read(position):
        image = tf.numpy_function(example, [position], tf.float32)
        return {"image": tf.ensure_shape(image, [8, 8, 3])}

    part = BATCH // (context.num_replicas_in_sync if context else 1)
    dataset = tf.data.Dataset.range(first * BATCH, last or 1 << 40).map(read).batch(part)
    if context:
        dataset = dataset.shard(context.num_input_pipelines, context.input_pipeline_id)
    return dataset


def main(workdir: str, steps: str) -> int:
    """Run the worker; return its exit status."""
    strategy = build_strategy("multiworker" if "TF_CONFIG" in os.environ else "default")
    with strategy.scope():
        stage = build_stage()
        optimizer = layerwise(keras.optimizers.SGD(0.05, momentum=0.5), Rules())
    first = 10**6
    # One batch and a half, of which worker 1 gets one part and worker 0 two.
    last = first * BATCH + BATCH + BATCH // 2
    probes = [
        validation_probe(stage, lambda context: batches(first, context, last), 10, strategy),
        Probe(10, lambda step, _: {"validation/chief": float(step)}, chief_only=True),
        histogram_probe(stage, 10),
    ]
    example = {"image": np.zeros((1, 8, 8, 3), np.float32)}
    try:
        plan = RunPlan(RunConfig(steps=int(steps)), CheckpointConfig(every=5), log_every=5)
        train(
            stage,
            StepComponents({"network": optimizer}, strategy),
            batches,
            workdir,
            plan,
            probes,
            graph=forward_graph(stage, example),
        )
    except Interrupted as interrupted:
        print(f"stopped after {interrupted.step}")
        return 75
    except SmapcompError as error:
        print(f"error: {error}")
        return 1
    print(f"done, chief {is_chief(strategy)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
