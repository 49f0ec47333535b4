"""Training on several devices and machines: the strategies, and what they need of a step."""

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
    """A strategy; networks and optimizers are to be built within its `scope()`.

    Args:
        name: "default": one device. "mirrored": every GPU of this machine, or every logical CPU
            where there is none. "multiworker": the machines that TF_CONFIG names, each running this
            process. "tpu": the TPU that TPU_NAME names, or the local one; never tried on hardware
            by this project.

    Raises:
        SmapcompError: The name is unknown, or what it needs isn't there.
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
    """Whether this process writes the run's files: it alone, or worker 0."""
    resolver = strategy.cluster_resolver
    return not is_multi_worker(strategy) or resolver.task_id in (None, 0)


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether several processes train together."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return False
    return len(resolver.cluster_spec().as_dict().get("worker", ())) > 1


def meet(strategy: tf.distribute.Strategy) -> None:
    """Waits until every worker is here.

    Worker 0 has more to do after the last step than the others. Were they to leave before, it
    would take them for lost and end without its last checkpoint.
    """
    if not is_multi_worker(strategy):
        return

    @tf.function
    def count():
        context = tf.distribute.get_replica_context
        return strategy.run(lambda: context().all_reduce(tf.distribute.ReduceOp.SUM, tf.ones([])))

    strategy.experimental_local_results(count())[0].numpy()


def distribute(strategy: tf.distribute.Strategy, batches: Batches) -> Iterable:
    """Batches as `strategy.run` takes them.

    Args:
        strategy: With one replica, `batches(None)` yields whole batches; else it is given an
            `InputContext` and yields one replica's batches of them.
        batches: Must be a `tf.data.Dataset` where there are several replicas.
    """
    if strategy.num_replicas_in_sync == 1:
        return batches(None)
    return strategy.distribute_datasets_from_function(batches)


class StrategyReplicas(Replicas):
    """The replicas of the current `tf.distribute` strategy, within `strategy.run`."""

    def sum(self, value):
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, value)

    def positions(self, count: int):
        context = tf.distribute.get_replica_context()
        own = context.replica_id_in_sync_group
        # The last batch of a validation may leave replicas with different counts.
        counts = self.sum(tf.one_hot(own, context.num_replicas_in_sync, count, 0, dtype=tf.int32))
        first = tf.reduce_sum(tf.where(tf.range(tf.size(counts)) < own, counts, 0))
        return first + tf.range(count), tf.reduce_sum(counts)


def synchronise(models: Mapping[str, keras.Model], strategy: tf.distribute.Strategy) -> None:
    """Makes batch normalisation use the global batch's statistics where there are replicas.

    A replica often has two pictures or four, of which the statistics are worth little; and without
    it each would keep moving statistics of its own, of which the first's would be saved.
    """
    if strategy.num_replicas_in_sync == 1:
        return
    for model in models.values():
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
