"""Batches for the lossy FineNets: pictures with their decoded compact images.

A batch is {"image": float32 [B, size, size, 3] in [-1, 1], "compact": float32 [B, size/scale,
size/scale, 3] in [-1, 1], "level": float32 [B] in 0..1, 1 - quality/100, and "label_map": int32
[B, size, size] with 0 = void and 1..150}; no "label_map" where the records have no labels.

Windows begin at multiples of `compact.ALIGNMENT`, so that a crop of the compact image is what the
coder made of the same place.
"""

from __future__ import annotations

import tensorflow as tf

from data.batches import transforms
from data.batches.pipeline import for_networks, training_examples, validation_examples
from data.coded.compact import ALIGNMENT
from data.errors import DataError
from data.sources.records import RecordSource
from data.sources.registry import open_source, shuffled_index


def training_batches(
    spec: str,
    split: str | None = "training",
    *,
    batch_size: int,
    size: int,
    scale: int,
    seed: int = 0,
    start_step: int = 0,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """An endless dataset of shuffled batches, randomly cropped, mirrored and transposed.

    Batch number n depends on `seed` and n alone, as `pipeline.training_batches`, whose arguments
    these are, but:

    Args:
      spec: records of `data.code_compact`.
      size: side of the crops, a multiple of 16.
      scale: of the compact images, which the records must have.

    Raises:
      DataError: as `data.load`, or there are no compact images of that scale.
      ValueError: an option is out of range, or `batch_size` no multiple of the replicas.
    """
    source = _open(spec, split, batch_size, size, scale)

    def example(position: tf.Tensor) -> transforms.Example:
        key = tf.stack([tf.cast(seed, tf.int64), position])
        crop_key, turn_key = (tf.random.experimental.stateless_fold_in(key, n) for n in (1, 2))
        out = source.read(shuffled_index(position, len(source), seed))
        draw = tf.random.stateless_uniform([2], crop_key)
        out = _window(out, size, scale, lambda places: draw * tf.cast(places, tf.float32))
        return _for_lossy_networks(random_turn(out, turn_key), size, scale)

    return training_examples(example, batch_size, start_step, context)


def validation_batches(
    spec: str,
    split: str | None = "validation",
    *,
    batch_size: int,
    size: int,
    scale: int,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """The window in the middle of each picture once, in the records' order.

    Args: as `training_batches`, and as `pipeline.validation_batches`.
    """
    source = _open(spec, split, batch_size, size, scale)

    def example(index: tf.Tensor) -> transforms.Example:
        out = _window(source.read(index), size, scale, lambda places: (places - 1) // 2)
        return _for_lossy_networks(out, size, scale)

    return validation_examples(example, len(source), batch_size, context)


def random_turn(example: transforms.Example, seed: tf.Tensor) -> transforms.Example:
    """One of the eight ways to lay a square picture, equally likely, of everything in it alike."""
    down, right, swap = tf.unstack(tf.random.stateless_uniform([3], seed) < 0.5)

    def turned(x: tf.Tensor) -> tf.Tensor:
        x = tf.cond(down, lambda: tf.reverse(x, [0]), lambda: x)
        x = tf.cond(right, lambda: tf.reverse(x, [1]), lambda: x)
        order = [1, 0, *range(2, x.shape.rank)]
        return tf.cond(swap, lambda: tf.transpose(x, order), lambda: x)

    return {key: turned(x) if x.shape.rank else x for key, x in example.items()}


def _open(spec: str, split: str | None, batch_size: int, size: int, scale: int) -> RecordSource:
    if size < ALIGNMENT or size % ALIGNMENT:
        raise ValueError(f"size must be a multiple of {ALIGNMENT}, got {size}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    source = open_source(spec, split)
    found = getattr(source, "compact", None)
    if not found or found["scale"] != scale:
        what = f"compact images of scale {found['scale']}" if found else "no compact images"
        raise DataError(f"{spec}: has {what}; data.code_compact --scale={scale} makes them")
    return source


def _window(example: transforms.Example, size: int, scale: int, place) -> transforms.Example:
    """The same window of everything.

    `place` makes row and column, counted in `ALIGNMENT` pixels, from how many there are of each.
    """
    places = tf.maximum(tf.shape(example["image"])[:2] - size, 0) // ALIGNMENT + 1
    top, left = tf.unstack(tf.cast(place(places), tf.int32) * ALIGNMENT)
    compact = transforms.window(
        {"image": example["compact"]}, size // scale, top // scale, left // scale
    )
    return transforms.window(example, size, top, left) | {"compact": compact["image"]}


def _for_lossy_networks(example: transforms.Example, size: int, scale: int) -> transforms.Example:
    compact = tf.ensure_shape(example["compact"], [size // scale, size // scale, 3])
    return for_networks(example, size) | {
        "compact": tf.cast(compact, tf.float32) / 127.5 - 1.0,
        "level": 1.0 - tf.cast(example["quality"], tf.float32) / 100.0,
    }
