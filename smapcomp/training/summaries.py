"""Scalars for TensorBoard.

Written with TensorFlow's own event writer: `tf.summary.scalar` needs the tensorboard package,
which is for looking at the files and not needed for training.
"""

from collections.abc import Mapping

import tensorflow as tf

from smapcomp.training.errors import WorkdirError


class Summaries:
    """Event files in a folder.

    Raises:
        WorkdirError: The folder can't be written.
    """

    def __init__(self, folder: str):
        try:
            self._writer = tf.summary.create_file_writer(folder)
            self._writer.init()
        except tf.errors.OpError as error:
            raise WorkdirError(f"{folder}: can't be written: {error.message}") from None
        self._metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
            data_class="DATA_CLASS_SCALAR",
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes the values of a step; a slash in a name groups the curves."""
        with self._writer.as_default():
            for name, value in values.items():
                scalar = tf.constant(value, tf.float32)
                tf.summary.write(name, scalar, step=step, metadata=self._metadata)

    def flush(self) -> None:
        """Makes what has been written visible to readers."""
        self._writer.flush()

    def close(self) -> None:
        """Flushes and closes the file."""
        self._writer.close()
