"""One function in front of every source of pictures."""

from __future__ import annotations

import os

import tensorflow as tf

from data.errors import DataError
from data.sources import kodak, manifest, scene_parse
from data.sources.base import Source
from data.sources.cache import PictureCache
from data.sources.folder import has_images, open_folder, splits
from data.sources.records import RecordSource

KODAK = "kodak"
TFDS = "tfds"


def load(
    spec: str,
    split: str | None = None,
    *,
    labels: bool | None = None,
    shuffle_seed: int | None = None,
    start: int = 0,
    cache: PictureCache | None = None,
) -> tf.data.Dataset:
    """Opens a source of pictures.

    Without `shuffle_seed`: each picture once, in the source's order. With it: an endless stream,
    every epoch in its own order; the order depends on the seed and on nothing else, so that
    `start` continues an earlier run's stream without reading what that run has seen.

    Args:
      spec: one of

        * a folder in ADEChallengeData2016's layout (`images/{training,validation}/NAME.jpg`,
          `annotations/.../NAME.png`; JPEG or PNG pictures),
        * a folder of TFRecord shards that `data.prepare` has written,
        * a folder that simply holds pictures,
        * `tfds:scene_parse150` or `tfds:scene_parse150:DIR`: TensorFlow Datasets' (`scene_parse`
          says what labels it has), in TFDS' usual folder or in DIR; downloaded if missing,
        * `kodak` or `kodak:DIR`: the 24 Kodak pictures; without DIR downloaded if missing.

      split: "training" or "validation"; None for a source that has no splits.
      labels: True: the examples carry a label map, it is an error if the source has none; False:
        they carry none; None: they do where the source has one.
      shuffle_seed: an int32 that chooses the order, or None. Not for Kodak, which is for
        evaluation alone.
      start: how many examples of the stream to leave out.
      cache: keeps decoded pictures in memory; may serve several sources. Folders only: records
        are read from the operating system's own cache.

    Returns:
      A dataset of {"image": uint8 [H, W, 3], "label_map": uint8 [H, W] with 0 = void and 1..150,
      "name": string, the file's name without its ending}; "label_map" as `labels` says. Sizes
      differ from picture to picture, but for records that were prepared in one size.

    Raises:
      DataError: when there is no such source or split, no picture in it, or a picture without an
        annotation. A file that turns out broken ends the iteration; `data.clear_errors` makes a
        DataError of what TensorFlow raises then.
    """
    training = shuffle_seed is not None
    source = open_source(spec, split, labels=labels, cache=cache, training=training)
    length = len(source)
    if shuffle_seed is None:
        indices = tf.data.Dataset.range(start, length)
    else:
        indices = tf.data.Dataset.counter(start).map(
            lambda position: shuffled_index(position, length, shuffle_seed)
        )
    return indices.map(source.read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def open_source(
    spec: str,
    split: str | None = None,
    *,
    labels: bool | None = None,
    cache: PictureCache | None = None,
    missing_ok: bool = False,
    training: bool = False,
) -> Source:
    """The source itself, whose examples are read by number.

    Args:
      spec, split, labels, cache: as `load` takes them.
      missing_ok: a picture without annotation is an error when it is read, not now.
      training: whether networks will learn from it, which Kodak is not for.

    Raises:
      DataError: as `load`.
    """
    scheme, _, rest = spec.partition(":")
    if scheme == KODAK and not os.path.isdir(spec):
        if training:
            raise DataError(f"{spec}: the Kodak pictures are for evaluation, never for training")
        if split is not None or labels:
            wrong = f"split {split!r}" if split is not None else "labels"
            raise DataError(f"{spec}: the Kodak pictures have no {wrong}")
        return kodak.open_kodak(rest or None)
    if scheme == TFDS:
        name, _, folder = rest.partition(":")
        if name != scene_parse.NAME:
            raise DataError(f"{spec}: TFDS' {name!r} is not known, {scene_parse.NAME} is")
        return scene_parse.SceneParseSource(split, folder or None, labels)
    for folder in (spec, os.path.join(spec, split or "")):
        if manifest.has_manifest(folder):
            return _open_records(spec, folder, split, labels)
    prepared = _record_splits(spec)
    if prepared:
        wrong = "choose a split" if split is None else f"no such split: {split}"
        raise DataError(f"{spec}: {wrong}, one of {prepared}")
    return open_folder(spec, split, labels, cache, missing_ok)


def source_splits(spec: str) -> list[str | None]:
    """The splits of a source; [None] for one that has none.

    Raises:
      DataError: there is no such folder.
    """
    scheme = spec.partition(":")[0]
    if scheme == TFDS:
        return list(scene_parse.SPLITS)
    if scheme == KODAK and not os.path.isdir(spec):
        return [None]
    if not tf.io.gfile.isdir(spec):
        raise DataError(f"{spec}: no such folder")
    return _record_splits(spec) or (splits(spec) if has_images(spec) else []) or [None]


def _open_records(spec: str, folder: str, split: str | None, labels: bool | None) -> RecordSource:
    source = RecordSource(folder, labels)
    if source.manifest.split != split:
        raise DataError(f"{spec}: holds split {source.manifest.split!r}, not {split!r}")
    return source


def _record_splits(spec: str) -> list[str]:
    """Sub-folders that hold prepared records."""
    if not tf.io.gfile.isdir(spec):
        return []
    names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(spec))
    return [name for name in names if manifest.has_manifest(os.path.join(spec, name))]


def shuffled_index(position: tf.Tensor, length: int, seed: int) -> tf.Tensor:
    """Index, int64 [], of the picture at a place of the endless stream; in-graph.

    Args:
      position: int64 []; `length` places are an epoch.
      length: how many pictures there are.
      seed: an int32 that chooses the order.
    """
    epoch, place = position // length, position % length
    key = tf.stack([tf.constant(seed, tf.int64), epoch])
    return tf.random.experimental.index_shuffle(place, tf.cast(key, tf.int32), length - 1)
