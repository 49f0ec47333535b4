"""TensorFlow Datasets' `scene_parse150`.

What TFDS calls so downloads the annotations of the Places Challenge 2017: *instances* of 100 kinds
of objects, not SceneParse150's label maps. Here they become label maps in which everything else
(walls, sky, floors, ...) is void. A copy of the dataset that was built with grey annotations has
all 150 labels.
"""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from data.errors import DataError
from data.sources.base import Example, python_example
from data.sources.decode import decode_image, decode_instance_map
from data.sources.records import read_record, record_offsets

NAME = "scene_parse150"
SPLITS = {"training": "train", "validation": "test"}
"""Ours to TFDS', where the challenge's validation split is called test."""


class SceneParseSource:
    """One split of the dataset.

    Args:
      split: "training" or "validation".
      data_dir: folder of TFDS; None: its own default.
      labels: as `data.load` takes it.

    Raises:
      DataError: it is not there and can't be downloaded, the split is unknown, or it is stored in
        another format than TFRecord.
    """

    ignored: tuple[tuple[str, str], ...] = ()

    def __init__(self, split: str | None, data_dir: str | None = None, labels: bool | None = None):
        if split not in SPLITS:
            raise DataError(f"tfds:{NAME}: no such split: {split}, got {list(SPLITS)}")
        builder = _prepared_builder(data_dir)
        info = builder.info.splits[SPLITS[split]]
        self._features = builder.info.features
        self.split = split
        self.labelled = labels is not False
        paths = [os.fspath(path) for path in info.filepaths]
        places = [(path, at) for path in paths for at in record_offsets(path)]
        self._paths = [path for path, _ in places]
        self._offsets = np.array([at for _, at in places], np.int64)

    def __len__(self) -> int:
        return len(self._paths)

    def name(self, index: int) -> str:
        """Split and number: TFDS keeps no file names."""
        return f"{NAME}-{self.split}-{index:05}"

    def where(self, index: int) -> str:
        """As `name`."""
        return self.name(index)

    def stamp(self, index: int) -> str:
        """The shard's size and the record's place in it."""
        path = self._paths[index]
        return f"{path} {tf.io.gfile.stat(path).length} {self._offsets[index]}"

    def image_file(self, index: int) -> bytes:
        """The picture's JPEG file."""
        return self._files(tf.constant(index, tf.int64))["image"].numpy()

    def read(self, index: tf.Tensor) -> Example:
        """The example of a number, int64 [], as `data.load` describes it; in-graph."""
        files = self._files(index)
        inputs = [index, files["image"], files["annotation"]]
        return python_example(inputs, self.labelled, self._example)

    def _example(
        self, index: int, image_file: bytes, annotation: bytes
    ) -> tuple[bytes, np.ndarray, np.ndarray | None]:
        name = self.name(index)
        image = decode_image(image_file, name)
        label_map = None
        if self.labelled:
            where = f"{name}, annotation"
            label_map = decode_instance_map(annotation, where, image.shape[:2])
        return name.encode(), image, label_map

    def _files(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        import tensorflow_datasets as tfds

        path = tf.gather(tf.constant(self._paths), index)
        skip = {key: tfds.decode.SkipDecoding() for key in ("image", "annotation")}
        record = read_record(path, tf.gather(self._offsets, index))
        return self._features.deserialize_example(record, decoders=skip)


def _prepared_builder(data_dir: str | None):
    """TFDS' builder; downloads and prepares the dataset where it isn't there."""
    import tensorflow_datasets as tfds

    builder = tfds.builder(NAME, data_dir=data_dir)
    if not set(SPLITS.values()) <= set(builder.info.splits or ()):
        try:
            builder.download_and_prepare()
        except Exception as error:  # whatever the network, the disk or a mirror is up to
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise DataError(
                f"tfds:{NAME}: not in {builder.data_dir} and cannot be prepared: {reason}"
            ) from None
    file_format = builder.info.file_format
    if file_format.value != "tfrecord":
        raise DataError(f"{builder.data_dir}: stored as {file_format.value}; tfrecord is needed")
    return builder
