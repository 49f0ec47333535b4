"""Examples in TFRecord shards, as `data.prepare` writes them; read in-graph, in any order.

A record is a `tf.train.Example` of `name`, `image` and, with labels, `label_map`, and of `height`
and `width`; coded pictures (`data.coded.compact`) have `compact` and `quality` too. Encoding "raw" keeps
samples as they are; "file" keeps a JPEG or PNG file of the image and PNGs of the others.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from PIL import Image

from data.errors import DataError
from data.sources import manifest
from data.sources.base import Example


class RecordSource:
    """The shards of a folder.

    Args:
      folder: one that `data.prepare` has finished.
      labels: as `data.load` takes it.

    Attributes:
      compact: what the manifest says of the compact images (`compact.CompactSettings`); None if
        the pictures have none.

    Raises:
      DataError: there is no manifest, a shard is missing or of another size than it says, or it
        has no labels and they are asked for.
    """

    ignored: tuple[tuple[str, str], ...] = ()

    def __init__(self, folder: str, labels: bool | None = None):
        self.folder = folder
        self.manifest = manifest.load_manifest(folder)
        for shard in self.manifest.shards:
            path = os.path.join(folder, shard.file)
            there = tf.io.gfile.stat(path).length if tf.io.gfile.exists(path) else None
            if there != shard.bytes:
                found = "missing" if there is None else f"{there} bytes"
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
        """The name that its source gave the example."""
        return self._features(tf.constant(index, tf.int64))["name"].numpy().decode()

    def where(self, index: int) -> str:
        """The record's place: file and byte."""
        return f"{self._paths[self._shard_of[index]]}:{self._offsets[index]}"

    def stamp(self, index: int) -> str:
        """The shard's checksum and the record's place in it."""
        return f"{self.manifest.shards[self._shard_of[index]].sha256} {self._offsets[index]}"

    def image_file(self, index: int) -> bytes | None:
        """The picture's file; None where samples are kept raw."""
        if self.manifest.settings["encoding"] == "raw":
            return None
        return self._features(tf.constant(index, tf.int64))["image"].numpy()

    def read(self, index: tf.Tensor) -> Example:
        """The example of a number, int64 [], as `data.load` describes it; in-graph.

        Coded pictures have `compact`, uint8 [H/scale, W/scale, 3], and `quality`, int64 [], too.
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
    """The record that begins at a byte of a TFRecord file, string []; in-graph.

    TensorFlow checks the record's CRC. `tf.data.TFRecordDataset` has no argument for the offset.
    """
    records = tf.raw_ops.TFRecordDatasetV2(
        filenames=path[None], compression_type="", buffer_size=0, byte_offsets=offset[None]
    )
    dataset = tf.data.experimental.from_variant(records, tf.TensorSpec([], tf.string))
    return dataset.take(1).get_single_element()


def record_offsets(path: str) -> list[int]:
    """Where each record of a TFRecord file begins.

    Raises:
      DataError: the file ends within a record.
    """
    offsets, size = [], tf.io.gfile.stat(path).length
    with tf.io.gfile.GFile(path, "rb") as file:
        at = 0
        while at < size:
            offsets.append(at)
            file.seek(at)
            # A record: its length in 8 bytes, their CRC in 4, the data, its CRC in 4.
            at += 16 + int.from_bytes(file.read(8), "little")
    if at != size:
        raise DataError(f"{path}: ends within the record at byte {offsets[-1]}")
    return offsets


def encode_record(
    example: Mapping[str, np.ndarray], encoding: str, image_file: bytes | None = None
) -> bytes:
    """A record.

    Args:
      example: `name`, bytes; `image`, uint8 [H, W, 3]; `label_map`, uint8 [H, W], if it has one;
        `compact`, uint8 [h, w, 3], and `quality`, an integer, of coded pictures.
      encoding: "raw" or "file".
      image_file: a JPEG or PNG file of the picture; with "file" it is kept if it decodes to
        exactly these samples, else they are written as PNG.
    """
    image = example["image"]
    encode = np.ndarray.tobytes if encoding == "raw" else _png
    kept = encoding == "file" and _is_file_of(image_file, image)
    feature = {
        "name": _bytes(example["name"]),
        "height": _int(image.shape[0]),
        "width": _int(image.shape[1]),
        "image": _bytes(image_file if kept else encode(image)),
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
        # The exact transform: bit for bit what Pillow decodes.
        return tf.io.decode_jpeg(data, channels=channels, dct_method="INTEGER_ACCURATE")

    return tf.cond(
        tf.io.is_jpeg(data), decode_jpeg, lambda: tf.io.decode_png(data, channels=channels)
    )


_DECODERS = {"raw": _decode_raw, "file": _decode_file}
ENCODINGS = tuple(_DECODERS)


def _is_file_of(data: bytes | None, image: np.ndarray) -> bool:
    if data is None:
        return False
    try:
        decoded = _decode_file(tf.constant(data), [*image.shape])
    except tf.errors.InvalidArgumentError:  # neither, or of a kind that TensorFlow does not read
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
