"""Batches for the lossy FineNets: pictures with their decoded compact images.

A batch is {"image": float32 [B, size, size, 3] in [-1, 1], "compact": float32 [B, size/scale,
size/scale, 3] in [-1, 1], "level": float32 [B] in 0..1, which is 1 - quality/100, "label_map":
int32 [B, size, size] of 0..150 (0 is void)}. It has no "label_map" if the records have no labels.

Windows begin at multiples of `data.coded.ALIGNMENT`, so that the window of the compact image is
what the coder made of the window of the picture.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from data.batches import transforms
from data.batches.pipeline import endless_batches, network_inputs, ordered_batches
from data.coded import ALIGNMENT
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
    """Return an endless dataset of shuffled batches, randomly cropped, mirrored and transposed.

    A batch depends on its number and `seed` alone.

    Args:
        spec: Folder of records that `data.code_compact` wrote.
        split: As `data.load` takes it.
        batch_size: As `pipeline.training_batches` takes it.
        size: Side of the crops in pixels, a multiple of 16.
        scale: Scale of the compact images, which must be that of the records.
        seed: int32 that determines order and transforms.
        start_step: Number of the first batch.
        context: As `pipeline.training_batches` takes it.

    Raises:
        DataError: The source cannot be opened, or has no compact images of that scale.
        ValueError: An option is out of range, or `batch_size` is not a multiple of the number of
            replicas.
    """
    source = _open(spec, split, batch_size, size, scale)

    def example(position: tf.Tensor) -> transforms.Example:
        key = tf.stack([tf.cast(seed, tf.int64), position])
        crop_key, turn_key = (tf.random.experimental.stateless_fold_in(key, n) for n in (1, 2))
        out = source.read(shuffled_index(position, len(source), seed))
        draw = tf.random.stateless_uniform([2], crop_key)
        out = _cut_window(out, size, scale, lambda counts: draw * tf.cast(counts, tf.float32))
        return _network_inputs(random_orientation(out, turn_key), size, scale)

    return endless_batches(example, batch_size, start_step, context)


def validation_batches(
    spec: str,
    split: str | None = "validation",
    *,
    batch_size: int,
    size: int,
    scale: int,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Return a dataset with the middle window of each picture once, in the order of the records.

    Args:
        spec: Folder of records that `data.code_compact` wrote.
        split: As `data.load` takes it.
        batch_size: As `pipeline.validation_batches` takes it.
        size: Side of the windows in pixels, a multiple of 16.
        scale: Scale of the compact images, which must be that of the records.
        context: As `pipeline.validation_batches` takes it.

    Raises:
        DataError: The source cannot be opened, or has no compact images of that scale.
        ValueError: An option is out of range, or `batch_size` is not a multiple of the number of
            replicas.
    """
    source = _open(spec, split, batch_size, size, scale)

    def example(index: tf.Tensor) -> transforms.Example:
        out = _cut_window(source.read(index), size, scale, lambda counts: (counts - 1) // 2)
        return _network_inputs(out, size, scale)

    return ordered_batches(example, len(source), batch_size, context)


def random_orientation(example: transforms.Example, seed: tf.Tensor) -> transforms.Example:
    """Apply one of the eight symmetries of the square to all arrays of an example.

    All symmetries are equally likely.

    Args:
        example: Arrays of square pictures [side, side, ...], and scalars, which stay as they are.
        seed: int32 or int64 [2].
    """
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
    if not isinstance(source, RecordSource) or not found or found["scale"] != scale:
        what = f"compact images of scale {found['scale']}" if found else "no compact images"
        raise DataError(f"{spec}: has {what}; data.code_compact --scale={scale} makes them")
    return source


def _cut_window(
    example: transforms.Example,
    size: int,
    scale: int,
    choose: Callable[[tf.Tensor], tf.Tensor],
) -> transforms.Example:
    """Cut the same window of image, label map and compact image.

    Args:
        example: What the records hold.
        size: Side of the window in pixels.
        scale: Scale of the compact image.
        choose: Returns row and column of the window in units of `ALIGNMENT` pixels, [2], from the
            numbers of possible rows and columns, int32 [2].
    """
    counts = tf.maximum(tf.shape(example["image"])[:2] - size, 0) // ALIGNMENT + 1
    top, left = tf.unstack(tf.cast(choose(counts), tf.int32) * ALIGNMENT)
    compact = transforms.cut_window(
        {"image": example["compact"]}, size // scale, top // scale, left // scale
    )
    return transforms.cut_window(example, size, top, left) | {"compact": compact["image"]}


def _network_inputs(example: transforms.Example, size: int, scale: int) -> transforms.Example:
    compact = tf.ensure_shape(example["compact"], [size // scale, size // scale, 3])
    return network_inputs(example, size) | {
        "compact": tf.cast(compact, tf.float32) / 127.5 - 1.0,
        "level": 1.0 - tf.cast(example["quality"], tf.float32) / 100.0,
    }
