"""A training run with JAX on one accelerator: pictures and stage of a configuration, for the loop.

Pictures are in the accelerator's memory, and crops are cut within the compiled step. Nothing here
imports TensorFlow.
"""

from functools import partial

from absl import logging

from experiments import backends
from smapcomp.errors import SmapcompError
from smapcomp.training.config import TrainingConfig
from smapcomp.training.run_plan import RunPlan, epochs_message, with_steps_of_epochs

# JAX and what imports it are loaded by `run`, after the configuration has been checked.


def run(
    config: TrainingConfig,
    workdir: str,
    strategy_name: str = "default",
    profile_at: int | None = None,
) -> None:
    """Train the stage of a configuration, from the newest checkpoint in `workdir` if there is one.

    Args:
        config: The configuration.
        workdir: Folder of the run. It has the trained networks in `weights` and the curves in
            `curves.jsonl`.
        strategy_name: "default"; the backend supports no other strategy.
        profile_at: `None`; the backend supports no profile.

    Raises:
        Interrupted: SIGTERM or SIGINT came; the step was finished and saved.
        ConfigError: A field of the configuration has a value that is not allowed.
        SmapcompError: JAX is not installed, or the data, the folder or the training failed.
        OSError: A file cannot be read or written.
        ValueError: A file of weights does not fit its network.
    """
    backends.check(config, "jax", strategy_name, profile_at)
    try:
        import jax
        import keras
    except ImportError as error:
        raise SmapcompError(f"backend jax needs JAX and Keras: {error}") from None

    from smapcomp.training.jax_trainer.loop import train
    from smapcomp.training.jax_trainer.step import StepRunner, recomputed, validation_probe
    from smapcomp.training.stages.initial_weights import weights_table
    from smapcomp.training.stages.networks import build_stage
    from smapcomp.training.stages.stage_optimizers import stage_optimizers

    keras.utils.set_random_seed(config.run.seed)
    # The data are opened before the networks are built, so that errors in them appear at once.
    pictures, make_batch, validation, as_batch = _pictures(config)
    count = len(pictures["sizes"])
    if config.run.epochs:
        print(epochs_message(config, count), flush=True)
        config = with_steps_of_epochs(config, count)
    logging.info("%d pictures on %s", count, jax.devices()[0])
    stage = build_stage(config, recompute=recomputed, labels_in_batch=config.model.stage == "lossy")
    print(weights_table(stage, stage.sources), flush=True)
    optimizers = stage_optimizers(stage, config.optimizer, config.run.span)
    runner = StepRunner(stage, optimizers, make_batch, config.run.average_decay)
    every = config.evaluation.validate_every
    train(
        runner,
        pictures,
        jax.random.key(config.run.seed),
        workdir,
        RunPlan.from_config(config),
        [validation_probe(runner, validation, as_batch, every)],
    )


def _pictures(config: TrainingConfig) -> tuple:
    """Return training pictures, the function that makes a batch, and both for validation."""
    from data.batches import jax_batches

    data = config.data
    if config.model.stage == "lossy":
        pictures = jax_batches.load_coded_training(
            data.source, data.coded, data.size, config.model.scale
        )
        validation = jax_batches.load_coded_validation(data.source, data.coded)
        crops, as_batch = jax_batches.random_coded_crops, jax_batches.as_coded_batch
    else:
        pictures = jax_batches.load_training(data.source, data.size)
        validation = jax_batches.load_validation(data.source)
        crops, as_batch = jax_batches.random_crops, jax_batches.as_batch
        if data.scales:
            crops = partial(jax_batches.random_scaled_crops, scales=data.scales)
    make_batch = partial(crops, batch_size=data.batch_size, size=data.size)
    return pictures, make_batch, validation, as_batch
