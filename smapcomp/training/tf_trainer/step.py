"""One training step on the replicas of a strategy."""

from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from smapcomp.training.stages.stage import Stage
from smapcomp.training.tf_trainer.averages import Averages
from smapcomp.training.tf_trainer.distribution import StrategyReplicas

STOP = "stop"
"""Of the values: above 0 if any worker asked to stop."""

PICTURES = "pictures"
"""Of the values: pictures in the global batch."""


def train_step(
    stage: Stage,
    optimizers: Mapping[str, keras.Optimizer],
    strategy: tf.distribute.Strategy | None = None,
    averages: Averages | None = None,
    jit_compile: bool = False,
) -> Callable[..., dict[str, float]]:
    """Compiles one step: every group's update, all computed from the weights before it.

    Each replica's gradient is that of its contribution to the global loss. They are summed, then
    clipped by the optimizer, so that any number of replicas takes the step that one would take.

    Args:
        stage: Its networks, and `optimizers`, were made within the strategy's scope.
        optimizers: One for each of the stage's groups, built, of `layerwise`; may be wrapped in a
            `LossScaleOptimizer`.
        strategy: None for one device.
        averages: Updated after each step.
        jit_compile: Compile with XLA; for one replica (a TPU always does it).

    Returns:
        Function of a batch, and of whether this worker asks to stop, to numbers by the names of
        their curves: `loss/GROUP`, `gradient_norm/GROUP` (before clipping) and `train/METRIC`;
        `loss_scale/GROUP` where there is one; and `STOP` and `PICTURES`.

    Raises:
        ValueError: `jit_compile` with several replicas.
    """
    strategy = strategy or tf.distribute.get_strategy()
    if jit_compile and strategy.num_replicas_in_sync > 1:
        raise ValueError(
            f"jit_compile goes with one replica, not {strategy.num_replicas_in_sync}; "
            "a TPU's steps are compiled in any case"
        )
    variables = {group: stage.variables(group) for group in stage.groups}
    replicas = StrategyReplicas()

    def replica_step(batch, stop):
        with tf.GradientTape(persistent=True) as tape:
            losses, metrics, _ = stage.losses(batch, training=True, replicas=replicas)
        values = {f"train/{name}": value for name, value in metrics.items()}
        values |= {f"loss/{group}": loss for group, loss in losses.items()}
        values |= {STOP: stop, PICTURES: tf.shape(batch["image"])[0]}
        values = _summed(values, replicas)
        gradients = {}
        for group, loss in losses.items():
            scale = _loss_scale(optimizers[group])
            # The same as to scale the loss, without a place for it on the tape.
            gradient = tape.gradient(loss, variables[group], output_gradients=scale)
            _require_connected(group, gradient, stage.names(group))
            gradients[group] = replicas.sum(gradient)
            unscaled = gradients[group]
            if scale is not None:
                # Before the norm, whose squares would overflow long before the gradient does.
                unscaled = [gradient / scale for gradient in unscaled]
                values[f"loss_scale/{group}"] = scale
            values[f"gradient_norm/{group}"] = tf.linalg.global_norm(unscaled)
        del tape
        for group, gradient in gradients.items():
            optimizers[group].apply(gradient, variables[group])
        if averages:
            averages.update()
        return values

    @tf.function(autograph=False, jit_compile=jit_compile or None)
    def step(batch, stop):
        return strategy.run(replica_step, args=(batch, stop))

    def run(batch, stop: bool = False) -> dict[str, float]:
        values = step(batch, tf.constant(stop, tf.float32))
        return {k: float(strategy.experimental_local_results(v)[0]) for k, v in values.items()}

    return run


def _summed(values: Mapping[str, tf.Tensor], replicas: StrategyReplicas) -> dict[str, tf.Tensor]:
    """Scalars summed over the replicas in one exchange; float32."""
    stacked = tf.stack([tf.cast(value, tf.float32) for value in values.values()])
    return dict(zip(values, tf.unstack(replicas.sum(stacked), len(values)), strict=True))


def _loss_scale(optimizer: keras.Optimizer) -> tf.Tensor | None:
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return tf.identity(optimizer.dynamic_scale)
    return None


def _require_connected(group: str, gradients: Sequence, names: Sequence[str]) -> None:
    for gradient, name in zip(gradients, names, strict=True):
        if gradient is None:
            raise ValueError(f"loss {group} does not depend on {name}; freeze it")
