"""Records: examples in TFRecord shards, as `data.prepare` and `data.code_compact` write them.

A record is a `tf.train.Example` of `name`, `image`, `height`, `width` and, with labels,
`label_map`. Coded pictures (`data.coded.compact`) have `compact` and `quality` too. The encoding
"raw" stores samples; "file" stores the image as a JPEG or PNG file and the other arrays as PNG.
Records are read inside a graph and in any order.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from data.errors import DataError
from data.sources import manifest
from data.sources.base import Example

RECORD_OVERHEAD = 16
"""Bytes of a TFRecord file around the data of each record: a length and two CRCs."""


class RecordSource:
    """The records of a folder.

    Args:
        folder: Folder with a manifest.
        labels: As `data.load` takes it.

    Attributes:
        labelled: Whether examples have a label map.
        static_size: Side to which all pictures were resized, or `None`.
        compact: How the compact images were coded, the fields of `CompactCodingSettings`; `None` if
            there are no compact images.

    Raises:
        DataError: There is no manifest, a shard is missing or has another length than the manifest
            says, or labels are asked for and there are none.
    """

    ignored: tuple[tuple[str, str], ...] = ()

    def __init__(self, folder: str, labels: bool | None = None):
        self.folder = folder
        self.manifest = manifest.load_manifest(folder)
        for shard in self.manifest.shards:
            path = os.path.join(folder, shard.file)
            length = tf.io.gfile.stat(path).length if tf.io.gfile.exists(path) else None
            if length != shard.bytes:
                found = "missing" if length is None else f"{length} bytes"
                raise DataError(f"{path}: {found}; the manifest says {shard.bytes} bytes")
        if labels and not self.manifest.labelled:
            raise DataError(f"{folder}: was prepared without labels")
        self.labelled = self.manifest.labelled and labels is not False
        self.static_size = self.manifest.settings["size"]
        self.compact = self.manifest.settings.get("compact")
        counts = [len(shard.offsets) for shard in self.manifest.shards]
        self._shard_of = np.repeat(np.arange(len(counts)), counts)
        self._offsets = np.concatenate(
            [np.array(s.offsets, np.int64) for s in self.manifest.shards]
        )
        self._paths = [os.path.join(folder, shard.file) for shard in self.manifest.shards]

    def __len__(self) -> int:
        return len(self._offsets)

    def name(self, index: int) -> str:
        """Return the name that the original source gave the example."""
        return self._features(tf.constant(index, tf.int64))["name"].numpy().decode()

    def location(self, index: int) -> str:
        """Return file and byte position of the record."""
        return f"{self._paths[self._shard_of[index]]}:{self._offsets[index]}"

    def stamp(self, index: int) -> str:
        """Return the checksum of the shard and the position of the record in it."""
        return f"{self.manifest.shards[self._shard_of[index]].sha256} {self._offsets[index]}"

    def notices(self, index: int) -> tuple[str, ...]:
        """Return nothing: the manifest has the notices of the pictures."""
        return ()

    def image_file(self, index: int) -> bytes | None:
        """Return the file of the picture; `None` with the encoding "raw"."""
        if self.manifest.settings["encoding"] == "raw":
            return None
        return self._features(tf.constant(index, tf.int64))["image"].numpy()

    def read(self, index: tf.Tensor) -> Example:
        """Read an example inside a graph.

        Coded pictures have `compact` uint8 [H/scale, W/scale, 3] and `quality` int64 [] too.

        Args:
            index: Number of the example, int64 [].
        """
        features = self._features(index)
        size = [self.static_size] * 2
        shape = [tf.ensure_shape(features[key], []) for key in ("height", "width")]
        decode = _DECODERS[self.manifest.settings["encoding"]]
        image = tf.ensure_shape(decode(features["image"], [*shape, 3]), [*size, 3])
        example = {"image": image, "name": features["name"]}
        if self.labelled:
            label_map = decode(features["label_map"], [*shape, 1])[..., 0]
            example["label_map"] = tf.ensure_shape(label_map, size)
        if self.compact:
            smaller = [side // self.compact["scale"] for side in shape]
            example["compact"] = decode(features["compact"], [*smaller, 3])
            example["quality"] = features["quality"]
        return example

    def _features(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        path = tf.gather(tf.constant(self._paths), tf.gather(self._shard_of, index))
        spec = {key: tf.io.FixedLenFeature([], tf.string) for key in ("name", "image")}
        spec |= {key: tf.io.FixedLenFeature([], tf.int64) for key in ("height", "width")}
        if self.labelled:
            spec["label_map"] = tf.io.FixedLenFeature([], tf.string)
        if self.compact:
            spec["compact"] = tf.io.FixedLenFeature([], tf.string)
            spec["quality"] = tf.io.FixedLenFeature([], tf.int64)
        return tf.io.parse_single_example(read_record(path, tf.gather(self._offsets, index)), spec)


def read_record(path: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Read one record of a TFRecord file inside a graph.

    TensorFlow checks the CRC of the record. A raw op is used because `tf.data.TFRecordDataset` does
    not take an offset.

    Args:
        path: The file, string [].
        offset: Position of the record in bytes, int64 [].

    Returns:
        The record, string [].
    """
    records = tf.raw_ops.TFRecordDatasetV2(
        filenames=path[None], compression_type="", buffer_size=0, byte_offsets=offset[None]
    )
    dataset = tf.data.experimental.from_variant(records, tf.TensorSpec([], tf.string))
    return dataset.take(1).get_single_element()


def record_offsets(path: str) -> list[int]:
    """Return the position of each record of a TFRecord file in bytes.

    Raises:
        DataError: The file ends within a record.
    """
    offsets, size = [], tf.io.gfile.stat(path).length
    with tf.io.gfile.GFile(path, "rb") as file:
        position = 0
        while position < size:
            offsets.append(position)
            file.seek(position)
            # A record is its length in 8 bytes, their CRC in 4, the data, and their CRC in 4.
            position += RECORD_OVERHEAD + int.from_bytes(file.read(8), "little")
    if position != size:
        raise DataError(f"{path}: ends within the record at byte {offsets[-1]}")
    return offsets


def encode_record(
    example: Mapping[str, Any], encoding: str, image_file: bytes | None = None
) -> bytes:
    """Return the record of an example.

    Args:
        example: `name` bytes; `image` uint8 [H, W, 3]; with labels, `label_map` uint8 [H, W]; of
            coded pictures, `compact` uint8 [h, w, 3] and `quality`, an integer.
        encoding: One of `ENCODINGS`.
        image_file: File of the picture. With the encoding "file" it is stored if TensorFlow decodes
            it to exactly the samples of `image`; otherwise the samples are stored as PNG.
    """
    image = example["image"]
    encode = np.ndarray.tobytes if encoding == "raw" else _png
    stored = None
    if encoding == "file" and image_file is not None and _decodes_to(image_file, image):
        stored = image_file
    feature = {
        "name": _bytes(example["name"]),
        "height": _int(image.shape[0]),
        "width": _int(image.shape[1]),
        "image": _bytes(stored or encode(image)),
    }
    for key in ("label_map", "compact"):
        if key in example:
            feature[key] = _bytes(encode(example[key]))
    if "quality" in example:
        feature["quality"] = _int(int(example["quality"]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(
        deterministic=True
    )


def _decode_raw(data: tf.Tensor, shape: list) -> tf.Tensor:
    return tf.reshape(tf.io.decode_raw(data, tf.uint8), tf.stack(shape))


def _decode_file(data: tf.Tensor, shape: list) -> tf.Tensor:
    channels = shape[-1]

    def decode_jpeg() -> tf.Tensor:
        # Only the exact transform gives the samples that Pillow decodes.
        return tf.io.decode_jpeg(data, channels=channels, dct_method="INTEGER_ACCURATE")

    return tf.cond(
        tf.io.is_jpeg(data), decode_jpeg, lambda: tf.io.decode_png(data, channels=channels)
    )


_DECODERS = {"raw": _decode_raw, "file": _decode_file}
ENCODINGS = tuple(_DECODERS)
"""How the arrays of an example can be stored."""


def _decodes_to(data: bytes, image: np.ndarray) -> bool:
    try:
        decoded = _decode_file(tf.constant(data), [*image.shape])
    except tf.errors.InvalidArgumentError:  # a format or kind that TensorFlow does not read
        return False
    return np.array_equal(decoded, image)


def _png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _int(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
