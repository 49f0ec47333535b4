"""Two replicas on logical CPUs against one, in a process of its own; prints JSON.

    python -m tests.helpers.replicas_case train STAGE...
    python -m tests.helpers.replicas_case validate_small STAGE...
    python -m tests.helpers.replicas_case validate_lite STAGE...

"train" trains and validates small networks, "validate_small" validates them, and "validate_lite"
validates the package's lite networks. The last batch of each validation leaves one of the replicas
without an example.

TensorFlow's devices cannot be divided once it has started, so the test suite's own process cannot
do this.
"""

import dataclasses
import json
import sys

import keras
import numpy as np
import tensorflow as tf

from smapcomp.design import max_level
from smapcomp.models.smapnet import build_smapnet
from smapcomp.training import recipes
from smapcomp.training.config import TrainingConfig
from smapcomp.training.config_groups import LossWeights, ModelConfig
from smapcomp.training.layerwise import layerwise
from smapcomp.training.probes.validation import validation_probe
from smapcomp.training.rules import Rules
from smapcomp.training.stages import codec_stages, label_stages
from smapcomp.training.stages.networks import build_stage
from smapcomp.training.stages.rate_model import build_rate_model
from smapcomp.training.stages.replicas import SINGLE_REPLICA
from smapcomp.training.stages.stage import Stage
from smapcomp.training.stages.stage_optimizers import build_slots
from smapcomp.training.tf_trainer.distribution import (
    build_strategy,
    distribute,
    synchronise_batch_norm,
)
from smapcomp.training.tf_trainer.step import train_step
from smapcomp.training.tf_trainer.variables import run_variables

STEPS = 2
BATCH = 4
SIZE = 32
layers = keras.layers


def _conv(filters, kernel=3, **options):
    return layers.Conv2D(filters, kernel, padding="same", **options)


def _label_inputs():
    return keras.Input((SIZE, SIZE, 3)), keras.Input((SIZE, SIZE), dtype="int32")


def networks(name: str) -> dict:
    """Return small networks of a stage, with the real ones' inputs, outputs and kinds of layers."""
    keras.utils.set_random_seed(3)
    image, label_map = _label_inputs()
    compact = _conv(3, name="mix")(layers.AveragePooling2D(8)(image))
    models = {"compnet": keras.Model([image, label_map], compact)}
    if name in ("stage1", "stage3", "adversarial"):
        image, label_map = _label_inputs()
        signal = layers.Rescaling(1 / 150)(layers.Reshape((SIZE, SIZE, 1))(label_map))
        x = layers.Concatenate()([image, signal])
        x = _conv(3)(_conv(8, activation="relu")(x))
        models["finenet"] = keras.Model([image, label_map], x)
        if name != "adversarial":
            models["rate"] = build_rate_model(max_level(8), 8)
    if name == "adversarial":
        image, label_map = _label_inputs()
        hidden = [_conv(4, strides=2)(image)]
        hidden.append(_conv(4)(layers.LeakyReLU()(hidden[0])))
        scales = [[*hidden, _conv(1)(hidden[1])] for _ in range(2)]
        models["discriminator"] = keras.Model([image, label_map], scales)
    if name in ("segmentation", "stage2", "stage3"):
        image = keras.Input((SIZE, SIZE, 3))
        x = _conv(8, 8, strides=8, use_bias=False)(image)
        x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
        logits, side = (_conv(150, 1, kernel_initializer="random_normal")(x) for _ in range(2))
        outputs = [logits, side] if name == "segmentation" else logits
        models["segmenter"] = keras.Model(image, outputs)
    if name in ("stage2", "stage3"):
        models["smapnet"] = build_smapnet("classes", filters=4, blocks=1)
    return models


def small_stage(name: str) -> Stage:
    """Return a stage on small networks; "adversarial" is stage 1 with a discriminator."""
    models = networks(name)
    if name == "segmentation":
        return label_stages.segmentation(models, 8)
    if name == "stage2":
        return label_stages.stage2(models, 8)
    terms = {"gan": 1, "feature_matching": 10, "rate": 0} if name == "adversarial" else {}
    options = {"gan": 0, "feature_matching": 0, "perceptual": 0, "log_mse": 1, "rate": 2} | terms
    weights = LossWeights(**options)
    if name == "stage3":
        return codec_stages.stage3(models, weights, 8)
    return codec_stages.stage1(models, weights, 8, void_share=0.5)


def build_optimizer() -> keras.Optimizer:
    """Return an Adam that would take other steps if it clipped each replica's gradient."""
    adam = keras.optimizers.Adam(1e-2, 0.5, epsilon=1e-3, global_clipnorm=0.1)
    return layerwise(adam, Rules((("kernel", 1.0), ("^(?!.*kernel)", 0.5))))


def pictures(count: int) -> dict:
    """Return pictures, and label maps of which very different shares are void."""
    rng = np.random.default_rng(7)
    image = rng.uniform(-1, 1, (count, SIZE // 8, SIZE // 8, 3)).repeat(8, 1).repeat(8, 2)
    image = np.clip(image + rng.normal(0, 0.05, (count, SIZE, SIZE, 3)), -1, 1)
    labels = rng.integers(1, 151, (count, SIZE, SIZE))
    void = rng.random(labels.shape) < np.linspace(0.1, 0.9, count)[:, None, None]
    labels = np.where(void, 0, labels)
    return {"image": image.astype(np.float32), "label_map": labels.astype(np.int32)}


def batches(examples: dict, context: tf.distribute.InputContext | None) -> tf.data.Dataset:
    """Return the examples in batches of BATCH, or a replica's parts of them."""
    replicas = context.num_replicas_in_sync if context else 1
    dataset = tf.data.Dataset.from_tensor_slices(examples)
    if context:
        parts = dataset.batch(BATCH // replicas)
        return parts.shard(context.num_input_pipelines, context.input_pipeline_id)
    return dataset.batch(BATCH)


def run(name: str, strategy: tf.distribute.Strategy) -> dict:
    """Return the values of a few steps, the weights after them and a validation."""
    with strategy.scope():
        stage = small_stage(name)
        optimizers = {group: build_optimizer() for group in stage.groups}
        build_slots(stage, optimizers)
    synchronise_batch_norm(stage.models, strategy)
    examples = pictures(STEPS * BATCH)
    step = train_step(stage, optimizers, strategy)
    stream = distribute(strategy, lambda context: batches(examples, context))
    values = [step(batch) for batch in stream]
    assert len(values) == STEPS
    # Keras numbers layers through the process, so that their names differ between two runs.
    variables = [v.numpy().tolist() for v in run_variables(stage, optimizers).values()]
    scores = validate(stage, examples, strategy)
    return {"values": values, "variables": variables, "validation": scores}


def validate(stage: Stage, examples: dict, strategy: tf.distribute.Strategy) -> dict:
    """Return the curves of a validation in two batches, of 4 examples and 1."""
    five = {key: value[: BATCH + 1] for key, value in examples.items()}
    probe = validation_probe(
        refuse_empty_batches(stage), lambda context: batches(five, context), 1, strategy
    )
    return probe.run(1, None)


def refuse_empty_batches(stage: Stage) -> Stage:
    """Return the stage, changed so that it fails if it gets a batch without examples."""

    def losses(batch, training=True, replicas=SINGLE_REPLICA):
        for value in batch.values():
            tf.debugging.assert_positive(tf.shape(value)[0], "an empty batch")
        return stage.losses(batch, training, replicas)

    return dataclasses.replace(stage, losses=losses)


def validate_small(name: str, strategy: tf.distribute.Strategy) -> dict:
    """Return the validation of a stage on small networks with random weights."""
    with strategy.scope():
        stage = small_stage(name)
    return validate(stage, pictures(BATCH + 1), strategy)


def validate_lite(name: str, strategy: tf.distribute.Strategy) -> dict:
    """Return the validation of a stage on the package's lite networks with random weights."""
    keras.utils.set_random_seed(3)
    config = TrainingConfig(model=ModelConfig(stage=name), loss=recipes.loss_config(name, "lite"))
    with strategy.scope():
        stage = build_stage(config, random_weights=True)
        rng = np.random.default_rng(5)
        for role in sorted(stage.models):
            for variable in stage.models[role].trainable_variables:
                # Layers that begin with zeros would hide what they are fed with.
                if not np.any(variable.numpy()):
                    variable.assign(rng.normal(0, 0.02, variable.shape))
    examples = pictures(BATCH + 1)
    if name == "lossy":
        examples["compact"] = examples["image"] * 0.9
        examples["level"] = np.linspace(0, 1, BATCH + 1, dtype=np.float32)
    return validate(stage, examples, strategy)


def main() -> None:
    """Print the results of one replica and of two."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    strategy = build_strategy("mirrored")
    assert strategy.num_replicas_in_sync == 2
    measure = {
        "train": run,
        "validate_small": validate_small,
        "validate_lite": validate_lite,
    }[sys.argv[1]]
    results = {}
    for name in sys.argv[2:]:
        results[name] = [measure(name, build_strategy("default")), measure(name, strategy)]
    print(json.dumps(results))


if __name__ == "__main__":
    main()
