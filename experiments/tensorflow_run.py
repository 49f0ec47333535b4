"""A training run with TensorFlow: data, stage and probes of a configuration, for the loop."""

import functools
import json
import os
from collections.abc import Callable

from experiments import backends
from smapcomp.keras_startup import import_keras
from smapcomp.training.config import TrainingConfig
from smapcomp.training.errors import ConfigError
from smapcomp.training.probe_curves import CODED_STAGES, has_coding_probe
from smapcomp.training.run_plan import RunPlan, epochs_message, with_steps_of_epochs

# TensorFlow and what imports it are loaded by `run`, after the configuration has been checked.


def run(
    config: TrainingConfig,
    workdir: str,
    strategy_name: str = "default",
    profile_at: int | None = None,
) -> None:
    """Train the stage of a configuration, from the newest checkpoint in `workdir` if there is one.

    Args:
        config: The configuration.
        workdir: Folder of the run. At the end it has the trained networks in `weights`.
        strategy_name: Strategy, as `build_strategy` takes it.
        profile_at: First of the steps that are traced, or `None`.

    Raises:
        Interrupted: SIGTERM or SIGINT came; the step was finished and saved.
        ConfigError: A field of the configuration has a value that is not allowed.
        SmapcompError: The data, the folder or the training failed.
        OSError: A file cannot be read or written.
        ValueError: A file of weights does not fit its network.
    """
    backends.check(config, "tensorflow", strategy_name, profile_at)
    import_keras()
    from data import clear_errors
    from smapcomp.training.stages.initial_weights import weights_table
    from smapcomp.training.stages.networks import save_networks
    from smapcomp.training.tf_trainer import distribution
    from smapcomp.training.tf_trainer.graph import forward_graph
    from smapcomp.training.tf_trainer.loop import train

    strategy = distribution.build_strategy(strategy_name)
    _prepare(config, strategy)
    training_batches, validation_batches = _pipelines(config)
    with clear_errors():
        # The data are opened before the networks are built, so that errors in them appear at once.
        if config.run.epochs:
            pictures = _training_pictures(config)
            if distribution.is_chief(strategy):
                print(epochs_message(config, pictures), flush=True)
            config = with_steps_of_epochs(config, pictures)
        training_batches()
        evaluation = config.evaluation
        count = max(evaluation.pictures, evaluation.codec_pictures)
        examples = _first_examples(validation_batches(), count)
        stage, components = _build(config, strategy)
        if distribution.is_chief(strategy):
            print(weights_table(stage, stage.sources), flush=True)
        distribution.synchronise_batch_norm(stage.models, strategy)
        graph = None
        if evaluation.graph and distribution.is_chief(strategy):
            graph = forward_graph(stage, examples)
        train(
            stage,
            components,
            lambda step, context: training_batches(start_step=step, context=context),
            workdir,
            RunPlan.from_config(config, profile_at),
            _probes(
                config,
                stage,
                strategy,
                examples,
                lambda context: validation_batches(context=context),
            ),
            f"```json\n{json.dumps(config.to_dict(), indent=1)}\n```",
            graph,
        )
    if distribution.is_chief(strategy):
        save_networks(stage.models, stage.trained_roles(), os.path.join(workdir, "weights"))


def _prepare(config: TrainingConfig, strategy) -> None:
    """Set the seeds and TensorFlow's options for a run.

    Raises:
        ConfigError: The batch cannot be divided among the replicas.
    """
    import keras
    import tensorflow as tf

    replicas = strategy.num_replicas_in_sync
    if config.data.batch_size % replicas:
        raise ConfigError(
            f"config.data.batch_size {config.data.batch_size} is not divisible by the "
            f"{replicas} replicas"
        )
    keras.utils.set_random_seed(config.run.seed)
    if config.run.deterministic:
        tf.config.experimental.enable_op_determinism()
    if config.model.stage in CODED_STAGES and config.loss.weights.adversarial:
        # TensorFlow's remapper wants to fuse the discriminator's convolutions with the sum and the
        # activation behind them, but the gradient needs the sum. It then logs an error and leaves
        # the graph unchanged.
        tf.config.optimizer.set_experimental_options({"remapping": False})


def _pipelines(config: TrainingConfig) -> tuple[Callable, Callable]:
    """Return the functions that open the training and the validation batches."""
    from data import PictureCache
    from data.batches import coded_pipeline, pipeline

    data, seed = config.data, config.run.seed
    options = {"batch_size": data.batch_size, "size": data.size}
    if config.model.stage == "lossy":
        options["scale"] = config.model.scale
        return (
            functools.partial(coded_pipeline.training_batches, data.source, seed=seed, **options),
            functools.partial(coded_pipeline.validation_batches, data.source, **options),
        )
    options["fit"] = data.fit
    options["cache"] = PictureCache(data.cache_mib << 20) if data.cache_mib else None
    training_batches = functools.partial(
        pipeline.training_batches,
        data.source,
        seed=seed,
        scales=data.scales or None,
        rotation=data.rotation,
        blur=data.blur,
        **options,
    )
    return training_batches, functools.partial(pipeline.validation_batches, data.source, **options)


def _training_pictures(config: TrainingConfig) -> int:
    """Return the number of training pictures; records of coded pictures count for each pass.

    Raises:
        DataError: The source cannot be opened, or does not know its number of pictures.
    """
    from data import DataError, open_source

    labels = None if config.model.stage == "lossy" else True
    source = open_source(config.data.source, "training", labels=labels, training=True)
    try:
        count = len(source)
    except TypeError:
        count = 0
    if not count:
        raise DataError(
            f"{config.data.source}: its training pictures cannot be counted, which "
            f"config.run.epochs {config.run.epochs} needs; set config.run.steps instead"
        )
    return count


def _build(config: TrainingConfig, strategy):
    """Return the stage, and its optimizers and averages, made in the strategy's scope."""
    from smapcomp.training.stages.networks import build_stage
    from smapcomp.training.stages.stage_optimizers import stage_optimizers
    from smapcomp.training.tf_trainer.averages import Averages
    from smapcomp.training.tf_trainer.loop import StepComponents

    with strategy.scope():
        stage = build_stage(config)
        loss_scaled = config.model.precision == "float16"
        optimizers = stage_optimizers(stage, config.optimizer, config.run.steps, loss_scaled)
        variables = [v for group in stage.groups for v in stage.variables(group)]
        decay = config.run.average_decay
        averages = Averages(variables, decay) if decay else None
    return stage, StepComponents(optimizers, strategy, averages)


def _first_examples(batches, count: int) -> dict:
    """Return the first examples of a dataset as a batch in NumPy."""
    import numpy as np

    found: list = []
    for batch in batches:
        found.append({key: value.numpy() for key, value in batch.items()})
        if sum(len(part["image"]) for part in found) >= count:
            break
    return {key: np.concatenate([part[key] for part in found])[:count] for key in found[0]}


def _probes(config: TrainingConfig, stage, strategy, examples: dict, validation_batches) -> list:
    from smapcomp.training.probes import coding
    from smapcomp.training.probes.histograms import histogram_probe
    from smapcomp.training.probes.pictures import picture_probe
    from smapcomp.training.probes.validation import validation_probe
    from smapcomp.training.stages.networks import build_codec_networks
    from smapcomp.zoo import VARIANTS

    evaluation = config.evaluation

    def first(count: int) -> dict:
        return {key: value[:count] for key, value in examples.items()}

    probes = [
        validation_probe(stage, validation_batches, evaluation.validate_every, strategy),
        picture_probe(stage, first(evaluation.pictures), evaluation.image_every),
    ]
    if evaluation.histogram_every:
        probes.append(histogram_probe(stage, evaluation.histogram_every))
    if has_coding_probe(config):
        probes.append(
            coding.coding_probe(
                stage,
                functools.partial(build_codec_networks, config.model),
                VARIANTS[config.model.variant],
                first(evaluation.codec_pictures),
                evaluation.codec_every,
            )
        )
    return probes
