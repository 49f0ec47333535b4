"""Opening of a source of any kind from its spec, the text that names it."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

import tensorflow as tf

from data.errors import DataError
from data.sources import kodak, manifest, scene_parse
from data.sources.base import Source, split_error
from data.sources.cache import PictureCache
from data.sources.folder import folder_splits, is_annotated, open_folder
from data.sources.full_ade20k import full_ade_splits, is_full_ade, open_full_ade
from data.sources.layouts import data_set_around, inside_error, layout_error
from data.sources.records import RecordSource

KODAK = "kodak"
"""Start of the specs of the Kodak pictures."""

TFDS = "tfds"
"""Start of the specs of TensorFlow Datasets."""

_log = logging.getLogger("smapcomp")


def load(
    spec: str,
    split: str | None = None,
    *,
    labels: bool | None = None,
    shuffle_seed: int | None = None,
    start: int = 0,
    cache: PictureCache | None = None,
) -> tf.data.Dataset:
    """Open a source of pictures.

    Without `shuffle_seed`, the dataset has each picture once, in the order of the source. With it,
    the dataset is endless, and every epoch has an order of its own that depends on the seed and the
    number of the epoch alone. `start` therefore resumes the stream of an earlier run without
    reading the examples that it has used.

    Args:
        spec: One of

            * a folder in the layout of ADEChallengeData2016: JPEG or PNG pictures in
              `images/SPLIT/NAME.jpg`, their annotations in `annotations/SPLIT/NAME.png`,
            * the folder of the full ADE20K distribution, ADE20K_2021_17_01 (see
              `data.sources.full_ade20k` for its labels),
            * a folder of TFRecord shards that `data.prepare` or `data.code_compact` wrote,
            * a folder of pictures alone,
            * `tfds:scene_parse150` or `tfds:scene_parse150:DIR` for TensorFlow Datasets (see
              `data.sources.scene_parse` for its labels), in the usual folder of TFDS or in DIR, and
              downloaded if it is missing,
            * `kodak` or `kodak:DIR` for the 24 Kodak pictures; without DIR they are downloaded if
              they are missing.

        split: "training" or "validation"; `None` for a source without splits.
        labels: `True`: examples have a label map, and a source without labels is an error. `False`:
            they have none. `None`: they have one if the source does.
        shuffle_seed: int32 that determines the order, or `None`. Not allowed for the Kodak
            pictures, which are for evaluation only.
        start: Number of examples at the start of the stream to skip.
        cache: Keeps decoded pictures in memory; one cache may serve several sources. It is used for
            folders only, since records are cached by the operating system.

    Returns:
        A dataset of {"image": uint8 [H, W, 3], "label_map": uint8 [H, W] of 0..150 (0 is void),
        "name": string, the name of the file without extension}. Sizes vary from picture to picture
        except in records that were prepared in one size.

    Raises:
        DataError: There is no such source or split, no picture in it, or a picture without an
            annotation. A broken file ends the iteration with an error of TensorFlow, of which
            `data.clear_errors` makes a DataError.
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
    """Open a source whose examples are read by number.

    Args:
        spec: As `load` takes it.
        split: As `load` takes it.
        labels: As `load` takes it.
        cache: As `load` takes it.
        missing_ok: A missing annotation is an error when its example is read, not already here.
        training: Whether networks are to be trained on it, which the Kodak pictures do not allow.

    Raises:
        DataError: There is no such source or split, no picture in it, or a picture without an
            annotation.
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
            raise DataError(
                f"{spec}: data set {name!r} of TFDS is unknown; allowed: {scene_parse.NAME}"
            )
        return scene_parse.SceneParseSource(split, folder or None, labels)
    for folder in (spec, os.path.join(spec, split or "")):
        if manifest.has_manifest(folder):
            return _open_records(spec, folder, split, labels)
    prepared = _record_splits(spec)
    if prepared:
        raise split_error(spec, split, prepared)
    if is_full_ade(spec):
        return open_full_ade(spec, split, labels, cache, missing_ok)
    return _open_pictures(spec, split, labels, cache, missing_ok)


def source_splits(spec: str) -> Sequence[str | None]:
    """Return the splits of a source; `[None]` for a source without splits.

    Raises:
        DataError: There is no such folder.
    """
    scheme = spec.partition(":")[0]
    if scheme == TFDS:
        return list(scene_parse.SPLITS)
    if scheme == KODAK and not os.path.isdir(spec):
        return [None]
    if not tf.io.gfile.isdir(spec):
        raise DataError(f"{spec}: no such folder")
    splits = _record_splits(spec) or full_ade_splits(spec)
    return splits or (folder_splits(spec) if is_annotated(spec) else []) or [None]


def _open_pictures(
    spec: str,
    split: str | None,
    labels: bool | None,
    cache: PictureCache | None,
    missing_ok: bool,
) -> Source:
    """Open a folder in the layout of ADEChallengeData2016 or of pictures alone."""
    around = data_set_around(spec) if tf.io.gfile.isdir(spec) else None
    if around and not around.pictures_alone:
        raise inside_error(spec, around)
    try:
        source = open_folder(spec, split, labels, cache, missing_ok)
    except DataError as error:
        raise layout_error(spec) or error from None
    if around and labels is None:
        _log.warning("%s: is read as pictures without labels; %s has labels", spec, around.source)
    return source


def _open_records(spec: str, folder: str, split: str | None, labels: bool | None) -> RecordSource:
    source = RecordSource(folder, labels)
    if source.manifest.split != split:
        raise DataError(f"{spec}: holds split {source.manifest.split!r}, not {split!r}")
    return source


def _record_splits(spec: str) -> list[str]:
    """Return the names of the sub-folders that hold records."""
    if not tf.io.gfile.isdir(spec):
        return []
    names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(spec))
    return [name for name in names if manifest.has_manifest(os.path.join(spec, name))]


def shuffled_index(position: tf.Tensor, length: int, seed: int) -> tf.Tensor:
    """Return the number of the example at a position of the endless shuffled stream.

    Args:
        position: Position in the stream, int64 []; `length` positions are an epoch.
        length: Number of examples of the source.
        seed: int32 that determines the order.

    Returns:
        int64 [] in 0..length-1, computed inside a graph.
    """
    epoch, rank = position // length, position % length
    key = tf.stack([tf.constant(seed, tf.int64), epoch])
    return tf.random.experimental.index_shuffle(rank, tf.cast(key, tf.int32), length - 1)
