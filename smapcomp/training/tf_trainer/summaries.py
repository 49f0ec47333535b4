"""Curves, pictures, histograms, text and graphs for TensorBoard.

They are written with TensorFlow's own event writer. `tf.summary.scalar` and its like would need the
package tensorboard, which is for looking at the files and not needed for training.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from smapcomp.training.errors import WorkdirError

BUCKETS = 30
"""Number of buckets of a histogram, as TensorBoard's own histograms have."""


class Summaries:
    """Writer of an event file.

    Args:
        folder: Folder of the file; `None` writes nothing, for workers that are not the chief.

    Raises:
        WorkdirError: The folder cannot be written.
    """

    def __init__(self, folder: str | None):
        try:
            self._writer = (
                tf.summary.create_file_writer(folder) if folder else tf.summary.create_noop_writer()
            )
            self._writer.init()
        except tf.errors.OpError as error:
            raise WorkdirError(f"{folder}: cannot be written: {error.message}") from None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of a step; a slash in a name groups the curves."""
        for name, value in values.items():
            self._write(name, tf.constant(value, tf.float32), step, "scalars", "SCALAR")

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Write pictures by their names, each uint8 `[count, height, width, 3]`, as PNG."""
        for name, pixels in pictures.items():
            _, height, width, _ = pixels.shape
            encoded = [tf.io.encode_png(picture) for picture in pixels]
            tensor = tf.stack([tf.constant(str(width)), tf.constant(str(height)), *encoded])
            self._write(name, tensor, step, "images", "BLOB_SEQUENCE")

    def text(self, step: int, name: str, text: str) -> None:
        """Write text, which TensorBoard shows as Markdown."""
        self._write(name, tf.constant(text), step, "text", "TENSOR")

    def histograms(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a histogram of the finite values of each array by its name."""
        for name, array in arrays.items():
            buckets = tf.constant(_buckets(np.asarray(array, np.float64)))
            self._write(name, buckets, step, "histograms", "TENSOR")

    def graph(self, graph: tf.Graph) -> None:
        """Write the graph of the run; TensorBoard shows one for each event file."""
        with self._writer.as_default():
            tf.summary.graph(graph)

    def _write(self, name: str, tensor: tf.Tensor, step: int, plugin: str, data_class: str) -> None:
        metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name=plugin),
            data_class=f"DATA_CLASS_{data_class}",
        )
        with self._writer.as_default():
            tf.summary.write(name, tensor, step=step, metadata=metadata)

    def flush(self) -> None:
        """Make what has been written visible to readers."""
        self._writer.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()


def _buckets(values: np.ndarray) -> np.ndarray:
    """Return float64 `[BUCKETS, 3]`: left edge, right edge and count of each bucket."""
    values = values[np.isfinite(values)]
    if values.size and values.min() == values.max():
        # TensorBoard's form of a single value: empty buckets, and one that has no width.
        found = np.full((BUCKETS, 3), values.flat[0])
        found[:, 2] = 0
        found[-1, 2] = values.size
        return found
    counts, edges = np.histogram(values, BUCKETS)
    return np.stack([edges[:-1], edges[1:], counts], axis=1)
