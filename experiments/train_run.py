"""One run of training, from a configuration to the trained networks' files."""

import functools
import itertools
import json
import os
from collections.abc import Callable

from experiments.train_config import (
    FIXED,
    ConfigError,
    config_errors,
    require_useful,
    stage_settings,
)
from smapcomp.keras_startup import import_keras


def run(
    config, workdir: str, strategy_name: str = "default", profile_at: int | None = None
) -> None:
    """Trains what the configuration asks for, from the newest checkpoint in `workdir` on.

    Args:
        config: As a file of `experiments.configs` gives it.
        workdir: Folder of the run; the trained networks lie in its `weights` at the end.
        strategy_name: As `build_strategy` takes it.
        profile_at: Step from which on three are traced; None for none.

    Raises:
        Interrupted: SIGTERM or SIGINT came; the step was finished and saved.
        ConfigError: A field of the configuration is wrong.
        SmapcompError, OSError, ValueError: The data, the folder or the training failed.
    """
    import_keras()
    import keras
    import tensorflow as tf

    from data import clear_errors
    from smapcomp.training import networks
    from smapcomp.training.settings import OptimizerSettings
    from smapcomp.training.tf_trainer.distribution import build_strategy, is_chief, synchronise
    from smapcomp.training.tf_trainer.loop import Plan, Setup, train

    require_useful(config)
    settings = stage_settings(config)
    with config_errors():
        optimizer = OptimizerSettings(**config.optimizer)
        plan = Plan(
            steps=config.steps,
            checkpoint_every=config.checkpoint_every,
            log_every=config.log_every,
            keep=config.keep,
            best_metric=config.best_metric or None,
            best_is=config.best_is,
            profile_at=profile_at,
        )
    strategy = build_strategy(strategy_name)
    if config.batch_size % strategy.num_replicas_in_sync:
        raise ConfigError(
            f"config: batch_size {config.batch_size} is not divisible by the "
            f"{strategy.num_replicas_in_sync} replicas"
        )
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    stream, validation_set = _streams(config)
    with clear_errors():
        # Opened before the networks are built: wrong data are said at once.
        stream()
        few = _few(validation_set(), max(config.pictures, config.codec_pictures))
        stage, optimizers, averages = _build(config, settings, optimizer, strategy)
        synchronise(stage.models, strategy)
        train(
            stage,
            Setup(
                optimizers,
                strategy,
                averages,
                config.jit_compile,
                {name: config.to_dict()[name] for name in FIXED},
            ),
            lambda step, context: stream(start_step=step, **_given(context)),
            workdir,
            plan,
            _probes(config, settings, stage, strategy, few, lambda c: validation_set(**_given(c))),
            _markdown(config),
        )
    if is_chief(strategy):
        networks.save_networks(
            stage.models, stage.trained_roles(), os.path.join(workdir, "weights")
        )


def _streams(config) -> tuple[Callable, Callable]:
    """The functions that open the training and the validation batches."""
    from data import PictureCache
    from data.batches import coded_pipeline, pipeline

    if config.stage == "lossy":
        options = {"batch_size": config.batch_size, "size": config.size, "scale": config.scale}
        stream = functools.partial(
            coded_pipeline.training_batches, config.data, seed=config.seed, **options
        )
        return stream, functools.partial(coded_pipeline.validation_batches, config.data, **options)
    options = {
        "batch_size": config.batch_size,
        "size": config.size,
        "fit": config.fit,
        "cache": PictureCache(config.cache_mib << 20) if config.cache_mib else None,
    }
    stream = functools.partial(
        pipeline.training_batches,
        config.data,
        seed=config.seed,
        scales=tuple(config.scales) or None,
        rotation=config.rotation,
        blur=config.blur,
        **options,
    )
    return stream, functools.partial(pipeline.validation_batches, config.data, **options)


def _build(config, settings, optimizer, strategy):
    """The stage, its optimizers and the averages of its weights, in the strategy's scope."""
    from smapcomp.training import networks
    from smapcomp.training.optimizers import build_optimizer
    from smapcomp.training.tf_trainer.averages import Averages

    with strategy.scope():
        stage = networks.build_stage(settings)
        half = config.precision == "float16"
        optimizers = {
            group: build_optimizer(optimizer, config.steps, settings.rules, half)
            for group in stage.groups
        }
        variables = [v for group in stage.groups for v in stage.variables(group)]
        averages = Averages(variables, config.average_decay) if config.average_decay else None
    return stage, optimizers, averages


def _given(context) -> dict:
    """The pipeline's `context`, which one replica has none of."""
    return {} if context is None else {"context": context}


def _few(batches, count: int) -> dict:
    """The first few examples of a dataset, in NumPy."""
    import numpy as np

    found: list = []
    for batch in batches:
        found.append({key: value.numpy() for key, value in batch.items()})
        if sum(len(part["image"]) for part in found) >= count:
            break
    return {key: np.concatenate([part[key] for part in found])[:count] for key in found[0]}


def _probes(config, settings, stage, strategy, few: dict, validation_set) -> list:
    from smapcomp.training import networks
    from smapcomp.training.probes import coding
    from smapcomp.training.probes.pictures import pictures
    from smapcomp.training.probes.validation import validation
    from smapcomp.zoo import VARIANTS

    probes = [
        validation(stage, validation_set, config.validate_every, strategy),
        pictures(stage, _first(few, config.pictures), config.image_every),
    ]
    if stage.name in coding.MODES and config.codec_pictures and config.size >= 32:
        copies = functools.partial(networks.build_codec_networks, settings)
        first = _first(few, config.codec_pictures)
        variant = VARIANTS[config.variant]
        probes.append(coding.coding(stage, copies, variant, first, config.codec_every))
    return probes


def _first(batch: dict, count: int) -> dict:
    return {key: value[:count] for key, value in batch.items()}


def _markdown(config) -> str:
    text = json.dumps(config.to_dict(), indent=1)
    return "\n".join(itertools.chain(["```json"], text.splitlines(), ["```"]))
