"""Event files of a run, as TensorBoard reads them."""

from pathlib import Path

import tensorflow as tf


def read_events(workdir) -> list[tf.compat.v1.Event]:
    """Return the events of a run; it must have exactly one event file."""
    (path,) = Path(workdir, "tensorboard").glob("events*")
    records = tf.data.TFRecordDataset(str(path))
    return [tf.compat.v1.Event.FromString(record.numpy()) for record in records]


def written_graphs(workdir) -> list[tf.compat.v1.GraphDef]:
    """Return the graphs in the event file of a run."""
    found = [event.graph_def for event in read_events(workdir) if event.HasField("graph_def")]
    return [tf.compat.v1.GraphDef.FromString(graph) for graph in found]


def written_tensors(workdir) -> dict[str, dict[int, tuple[str, object]]]:
    """Return the plugin and the value of each step by the names of curves, pictures and so on."""
    found: dict = {}
    for event in read_events(workdir):
        for value in event.summary.value:
            plugin = value.metadata.plugin_data.plugin_name
            found.setdefault(value.tag, {})[event.step] = (plugin, tf.make_ndarray(value.tensor))
    return found
