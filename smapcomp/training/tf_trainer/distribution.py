"""Training on several devices and machines: strategies, replicas, and their batches."""

import json
import os
from collections.abc import Callable, Iterable, Mapping

import keras
import tensorflow as tf

from smapcomp.errors import SmapcompError
from smapcomp.training.stages.replicas import Replicas

STRATEGIES = ("default", "mirrored", "multiworker", "tpu")

Batches = Callable[[tf.distribute.InputContext | None], Iterable]


def build_strategy(name: str = "default") -> tf.distribute.Strategy:
    """Return a strategy; networks and optimizers are to be built within its `scope()`.

    Args:
        name: "default": one device. "mirrored": every GPU of this machine, or every logical CPU if
            there is no GPU. "multiworker": the machines that TF_CONFIG names, each of which runs
            this program. "tpu": the TPU that TPU_NAME names, or the local one; this project has not
            tried it on hardware.

    Raises:
        SmapcompError: The name is unknown, or what the strategy needs is missing.
    """
    if name == "default":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        gpus = tf.config.list_logical_devices("GPU")
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multiworker":
        _check_tf_config()
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        return _build_tpu()
    raise SmapcompError(f"strategy {name!r} is unknown; allowed: {', '.join(STRATEGIES)}")


def _check_tf_config() -> None:
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        workers = config["cluster"]["worker"]
        if not 0 <= config["task"]["index"] < len(workers):
            raise IndexError
    except (ValueError, TypeError, KeyError, IndexError):
        raise SmapcompError(
            f"TF_CONFIG is {text!r}; strategy multiworker needs "
            '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": N}}'
        ) from None


def _build_tpu() -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SmapcompError(f"no TPU at TPU_NAME {name!r}: {reason}") from None
    return tf.distribute.TPUStrategy(resolver)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process writes the run's files: the only one, or worker 0."""
    resolver = strategy.cluster_resolver
    return not is_multi_worker(strategy) or resolver.task_id in (None, 0)


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Return whether several processes train together."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return False
    return len(resolver.cluster_spec().as_dict().get("worker", ())) > 1


def wait_for_workers(strategy: tf.distribute.Strategy) -> None:
    """Wait until all workers have called this function.

    After the last step worker 0 has more to do than the others. If they ended first, it would take
    them for lost and end without its last checkpoint.
    """
    if not is_multi_worker(strategy):
        return

    @tf.function
    def count():
        context = tf.distribute.get_replica_context
        return strategy.run(lambda: context().all_reduce(tf.distribute.ReduceOp.SUM, tf.ones([])))

    strategy.experimental_local_results(count())[0].numpy()


def distribute(strategy: tf.distribute.Strategy, batches: Batches) -> Iterable:
    """Return batches as `strategy.run` takes them.

    If the last batch has too few examples for all replicas, some replicas get an empty part of it;
    see `fill_empty_batch`.

    Args:
        strategy: The strategy.
        batches: With one replica, `batches(None)` yields whole batches. With several, `batches`
            gets an `InputContext` and returns a `tf.data.Dataset` of one replica's parts.
    """
    if strategy.num_replicas_in_sync == 1:
        return batches(None)
    return strategy.distribute_datasets_from_function(batches)


def fill_empty_batch(batch: Mapping[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Replace a replica's empty part of a batch by one example of zeros.

    A network must not run on an empty batch: oneDNN's concatenation of empty tensors, for example,
    loses channels. Together with `StrategyReplicas(count)` the example has no weight in any mean.

    Args:
        batch: Tensors `[count, ...]`, where `count` may be 0.

    Returns:
        Tensors with at least one example, and the number of real examples, int32 scalar.
    """
    batch = {name: tf.convert_to_tensor(value) for name, value in batch.items()}
    count = tf.shape(next(iter(batch.values())))[0]
    if all(value.shape[0] for value in batch.values()):
        return batch, count  # The number of examples is known and is not 0.

    def zeros() -> dict[str, tf.Tensor]:
        return {
            name: tf.zeros(tf.concat([[1], tf.shape(value)[1:]], 0), value.dtype)
            for name, value in batch.items()
        }

    filled = tf.cond(count > 0, lambda: batch, zeros)
    for name, value in filled.items():
        value.set_shape([None, *batch[name].shape[1:]])
    return filled, count


class StrategyReplicas(Replicas):
    """The replicas of the current `tf.distribute` strategy, within `strategy.run`.

    Args:
        count: Number of real examples in this replica's batch; if it is 0, the batch has no weight.
            `None` if all batches have examples.
    """

    def __init__(self, count: tf.Tensor | None = None):
        self._is_real = None if count is None else tf.cast(count > 0, tf.float32)

    def sum(self, value):
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, value)

    def share(self, weight):
        if self._is_real is not None:
            weight = self._is_real * tf.cast(weight, tf.float32)
        return super().share(weight)

    def positions(self, count: int):
        real = count if self._is_real is None else count * tf.cast(self._is_real, tf.int32)
        context = tf.distribute.get_replica_context()
        own = context.replica_id_in_sync_group
        # In the last batch of a validation, replicas may have different numbers of examples.
        counts = self.sum(tf.one_hot(own, context.num_replicas_in_sync, real, 0, dtype=tf.int32))
        first = tf.reduce_sum(tf.where(tf.range(tf.size(counts)) < own, counts, 0))
        return first + tf.range(count), tf.reduce_sum(counts)


def synchronise_batch_norm(
    models: Mapping[str, keras.Model], strategy: tf.distribute.Strategy
) -> None:
    """Make batch normalisation use the global batch's statistics if there are several replicas.

    A replica often has two or four pictures, whose statistics are too noisy. Besides, each replica
    would keep moving statistics of its own, of which the first replica's would be saved.
    """
    if strategy.num_replicas_in_sync == 1:
        return
    for model in models.values():
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
