"""One function in front of every source of pictures."""

from __future__ import annotations

import tensorflow as tf

from data import folder
from data.cache import PictureCache


def load(
    spec: str,
    split: str | None,
    *,
    labels: bool = True,
    shuffle_seed: int | None = None,
    start: int = 0,
    cache: PictureCache | None = None,
) -> tf.data.Dataset:
    """Opens a source of pictures.

    Without `shuffle_seed`: each picture once, in the order of the names. With it: an endless
    stream, every epoch in its own order; the order depends on the seed and on nothing else, so
    that `start` continues an earlier run's stream without reading what that run has seen.

    Args:
      spec: a folder, in ADEChallengeData2016's layout (`images/{training,validation}/NAME.jpg`,
        `annotations/.../NAME.png`), or, with `labels=False`, one that simply holds pictures.
      split: "training" or "validation"; None for a folder that simply holds pictures.
      labels: whether the examples carry a label map.
      shuffle_seed: an int32 that chooses the order, or None.
      start: how many examples of the stream to leave out.
      cache: keeps decoded pictures in memory; may serve several sources.

    Returns:
      A dataset of {"image": uint8 [H, W, 3], "label_map": uint8 [H, W] with 0 = void and 1..150,
      "name": string, the file's name without its ending}; no "label_map" with `labels=False`.
      Sizes differ from picture to picture.

    Raises:
      DataError: when there is no such folder or split, no picture in it, or a picture without an
        annotation. A file that turns out broken ends the iteration; `data.clear_errors` makes a
        DataError of what TensorFlow raises then.
    """
    files = folder.list_files(spec, split, labels, cache)
    length = len(files.images)
    if shuffle_seed is None:
        indices = tf.data.Dataset.range(start, length)
    else:
        indices = tf.data.Dataset.counter(start).map(
            lambda position: _shuffled(position, length, shuffle_seed)
        )
    return indices.map(files.read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _shuffled(position: tf.Tensor, length: int, seed: int) -> tf.Tensor:
    """Index, int64 [], of the picture at `position` of the endless stream."""
    epoch, place = position // length, position % length
    key = tf.stack([tf.constant(seed, tf.int64), epoch])
    return tf.random.experimental.index_shuffle(place, tf.cast(key, tf.int32), length - 1)
