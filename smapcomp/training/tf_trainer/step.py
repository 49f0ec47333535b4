"""One training step on the replicas of a strategy."""

from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from smapcomp.training.stages.stage import Stage
from smapcomp.training.tf_trainer.averages import Averages
from smapcomp.training.tf_trainer.distribution import StrategyReplicas

STOP = "stop"
"""Key of the step's values: above 0 if any worker asked to stop."""

PICTURES = "pictures"
"""Key of the step's values: number of pictures in the global batch."""


def step_function(
    stage: Stage,
    optimizers: Mapping[str, keras.Optimizer],
    strategy: tf.distribute.Strategy | None = None,
    averages: Averages | None = None,
    jit_compile: bool = False,
) -> Callable[..., dict[str, tf.Tensor]]:
    """Return the `tf.function` of a training step, which updates all groups.

    All updates are computed from the weights before the step. Each replica computes the gradient of
    its contribution to the global loss. The gradients are summed, then clipped by the optimizer, so
    that any number of replicas takes the same step.

    Args:
        stage: The stage. Its networks and `optimizers` were made within the strategy's scope.
        optimizers: Built optimizers of `layerwise`, one for each of the stage's groups, optionally
            wrapped in a `LossScaleOptimizer`.
        strategy: The strategy; `None` for one device.
        averages: Averages of the weights that each step updates.
        jit_compile: Whether the step is compiled with XLA; for one replica (a TPU always does it).

    Returns:
        Function of a batch, and of 1.0 if this worker asks to stop and 0.0 otherwise, float32 [].
        It returns values of the replicas by the names of their curves: `loss/GROUP`,
        `gradient_norm/GROUP` (before clipping), `train/METRIC`, `loss_scale/GROUP` if losses are
        scaled, `STOP` and `PICTURES`.

    Raises:
        ValueError: `jit_compile` with several replicas, or a loss does not depend on a variable of
            its group.
    """
    strategy = strategy or tf.distribute.get_strategy()
    if jit_compile and strategy.num_replicas_in_sync > 1:
        raise ValueError(
            f"jit_compile with {strategy.num_replicas_in_sync} replicas; it is for one replica, "
            "and a TPU's steps are always compiled"
        )
    variables = {group: stage.variables(group) for group in stage.groups}
    replicas = StrategyReplicas()

    def replica_step(batch, stop):
        _require_examples(batch)
        with tf.GradientTape(persistent=True) as tape:
            losses, metrics, _ = stage.losses(batch, training=True, replicas=replicas)
        values = {f"train/{name}": value for name, value in metrics.items()}
        values |= {f"loss/{group}": loss for group, loss in losses.items()}
        values |= {STOP: stop, PICTURES: tf.shape(batch["image"])[0]}
        values = _summed(values, replicas)
        gradients = {}
        for group, loss in losses.items():
            scale = _loss_scale(optimizers[group])
            # This is the same as scaling the loss, without a place for it on the tape.
            gradient = tape.gradient(loss, variables[group], output_gradients=scale)
            _require_connected(group, gradient, stage.names(group))
            gradients[group] = replicas.sum(gradient)
            if scale is not None:
                values[f"loss_scale/{group}"] = scale
            values[f"gradient_norm/{group}"] = _gradient_norm(gradients[group], scale)
        del tape
        for group, gradient in gradients.items():
            optimizers[group].apply(gradient, variables[group])
        if averages:
            averages.update()
        return values

    @tf.function(autograph=False, jit_compile=jit_compile or None)
    def step(batch, stop):
        return strategy.run(replica_step, args=(batch, stop))

    return step


def train_step(
    stage: Stage,
    optimizers: Mapping[str, keras.Optimizer],
    strategy: tf.distribute.Strategy | None = None,
    averages: Averages | None = None,
    jit_compile: bool = False,
) -> Callable[..., dict[str, float]]:
    """Return a compiled training step.

    Args:
        stage: As `step_function` takes it.
        optimizers: As `step_function` takes them.
        strategy: As `step_function` takes it.
        averages: As `step_function` takes them.
        jit_compile: As `step_function` takes it.

    Returns:
        Function of a batch, and of whether this worker asks to stop. It returns the values of
        `step_function` as numbers.

    Raises:
        ValueError: `jit_compile` with several replicas, or a loss does not depend on a variable of
            its group.
    """
    strategy = strategy or tf.distribute.get_strategy()
    step = step_function(stage, optimizers, strategy, averages, jit_compile)

    def run(batch, stop: bool = False) -> dict[str, float]:
        values = step(batch, tf.constant(stop, tf.float32))
        return {k: float(strategy.experimental_local_results(v)[0]) for k, v in values.items()}

    return run


def _summed(values: Mapping[str, tf.Tensor], replicas: StrategyReplicas) -> dict[str, tf.Tensor]:
    """Return scalars summed over the replicas in one exchange; float32."""
    stacked = tf.stack([tf.cast(value, tf.float32) for value in values.values()])
    return dict(zip(values, tf.unstack(replicas.sum(stacked), len(values)), strict=True))


def _loss_scale(optimizer: keras.Optimizer) -> tf.Tensor | None:
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return tf.identity(optimizer.dynamic_scale)
    return None


def _gradient_norm(gradient: Sequence[tf.Tensor], scale: tf.Tensor | None) -> tf.Tensor:
    """Return the norm of a gradient without its loss scale, float32 []."""
    # It is computed from unscaled values, because its squares would overflow long before the
    # gradient does.
    unscaled = gradient if scale is None else [part / scale for part in gradient]
    return tf.linalg.global_norm(unscaled)


def _require_examples(batch: Mapping[str, tf.Tensor]) -> None:
    """Fail if a replica has an empty part of a training batch.

    A network must not run on it (see `distribution.fill_empty_batch`), and a filled-in example
    would change the statistics of batch normalisation.
    """
    image = tf.convert_to_tensor(batch["image"])
    if not image.shape[0]:
        message = "a replica has no examples in this batch"
        tf.debugging.assert_positive(tf.shape(image)[0], message)


def _require_connected(group: str, gradients: Sequence, names: Sequence[str]) -> None:
    for gradient, name in zip(gradients, names, strict=True):
        if gradient is None:
            raise ValueError(f"loss {group} does not depend on {name}; freeze it")
