"""Batches as the networks take them.

A batch is {"image": float32 [B, size, size, 3] in [-1, 1], "label_map": int32 [B, size, size] with
0 = void and 1..150}; no "label_map" where the source is opened without labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import tensorflow as tf

from data.batches import transforms
from data.sources.cache import PictureCache
from data.sources.registry import open_source, shuffled_index

Fit = Literal["crop", "resize"]


def training_batches(
    spec: str,
    split: str | None = "training",
    *,
    batch_size: int,
    size: int = 256,
    fit: Fit = "resize",
    seed: int = 0,
    start_step: int = 0,
    scales: tuple[float, float] | None = None,
    rotation: float = 0.0,
    blur: float = 0.0,
    labels: bool = True,
    cache: PictureCache | None = None,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """An endless dataset of shuffled, randomly cropped and flipped batches.

    Batch number n depends on `seed` and n alone: a run that stopped before `start_step` and is
    continued there sees what an uninterrupted run would have seen.

    Args:
      spec, split, labels, cache: see `data.load`.
      batch_size: examples in each step's batch, over all replicas; epochs flow into each other,
        so none is shorter.
      size: side of the pictures, in pixels.
      fit: "resize" resizes the whole picture (SPEC section 3), "crop" cuts a random window out of
        it at native resolution.
      seed: an int32.
      start_step: number of the first batch.
      scales: with "crop": lowest and highest factor by which pictures are scaled before, as
        `transforms.random_scaled_crop`; None leaves them at native resolution.
      rotation: largest angle in degrees, as `transforms.random_rotation`; 0: none.
      blur: share of blurred pictures, as `transforms.random_blur`; 0: none.
      context: what `tf.distribute.Strategy.distribute_datasets_from_function` gives. The dataset
        then yields the batches of this host's replicas, one after the other: each step's batch is
        the same as without, cut into equal parts in the order of hosts and replicas.

    Raises:
      DataError: as `data.load`.
      ValueError: an option is out of range, or `batch_size` no multiple of the replicas.
    """
    _check(fit, size, batch_size)
    if scales is not None and (fit != "crop" or not 0 < scales[0] <= scales[1]):
        raise ValueError(f"scales must be 0 < low <= high and fit 'crop', got {scales}, {fit!r}")
    if not (0 <= rotation <= 45 and 0 <= blur <= 1):
        raise ValueError(f"rotation must be 0..45 degrees and blur a share, got {rotation}, {blur}")
    source = open_source(spec, split, labels=labels, cache=cache, training=True)
    side = transforms.rotated_side(size, rotation) if rotation and fit == "crop" else size

    def example(position: tf.Tensor) -> transforms.Example:
        # The order of the pictures is drawn from `seed` too; the constants keep draws apart.
        key = tf.stack([tf.cast(seed, tf.int64), position])
        crop_key, flip_key, turn_key, blur_key = (
            tf.random.experimental.stateless_fold_in(key, draw) for draw in (1, 2, 3, 4)
        )
        out = source.read(shuffled_index(position, len(source), seed))
        if scales is not None:
            out = transforms.random_scaled_crop(out, side, crop_key, scales)
        elif fit == "crop":
            out = transforms.random_crop(out, side, crop_key)
        else:
            out = transforms.resize256(out, size)
        if rotation:
            out = transforms.random_rotation(out, size, turn_key, rotation)
        if blur:
            out = transforms.random_blur(out, blur_key, blur)
        return for_networks(transforms.random_flip(out, flip_key), size)

    return training_examples(example, batch_size, start_step, context)


def validation_batches(
    spec: str,
    split: str | None = "validation",
    *,
    batch_size: int,
    size: int = 256,
    fit: Fit = "resize",
    labels: bool = True,
    cache: PictureCache | None = None,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Each picture once, in the source's order; the last batch may be shorter.

    Args: as `training_batches`; "crop" takes the window in the middle. With a `context`, each host
      reads every nth batch, in parts for its replicas, of which the last may be shorter.
    """
    _check(fit, size, batch_size)
    source = open_source(spec, split, labels=labels, cache=cache)

    def example(index: tf.Tensor) -> transforms.Example:
        place = transforms.center_crop if fit == "crop" else transforms.resize256
        return for_networks(place(source.read(index), size), size)

    return validation_examples(example, len(source), batch_size, context)


def training_examples(
    example: Callable[[tf.Tensor], transforms.Example],
    batch_size: int,
    start_step: int,
    context: tf.distribute.InputContext | None,
) -> tf.data.Dataset:
    """The endless batches of which each host gets its replicas' part, as `training_batches`.

    Args:
      example: in-graph, from its position in the endless stream, int64 [].
      batch_size, start_step, context: as `training_batches` takes them.
    """
    hosts, host, part = _shares(batch_size, context)
    share = batch_size // hosts
    positions = tf.data.Dataset.counter(start_step * share)
    positions = positions.map(lambda n: n // share * batch_size + host * share + n % share)
    examples = positions.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return examples.batch(part, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def validation_examples(
    example: Callable[[tf.Tensor], transforms.Example],
    count: int,
    batch_size: int,
    context: tf.distribute.InputContext | None,
) -> tf.data.Dataset:
    """Each of `count` examples once, as `validation_batches`; `example` takes its number."""
    hosts, host, part = _shares(batch_size, context)
    indices = tf.data.Dataset.range(count)
    indices = indices.filter(lambda index: index // batch_size % hosts == host)
    examples = indices.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return examples.batch(part).prefetch(tf.data.AUTOTUNE)


def _check(fit: str, size: int, batch_size: int) -> None:
    if fit not in ("crop", "resize"):
        raise ValueError(f"fit must be 'crop' or 'resize', got {fit!r}")
    if size < 8 or size % 8:
        raise ValueError(f"size must be a multiple of 8 from 8 up, got {size}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def _shares(batch_size: int, context: tf.distribute.InputContext | None) -> tuple[int, int, int]:
    """Number of hosts, which one this is, and the batch of one replica."""
    if context is None:
        return 1, 0, batch_size
    replicas = context.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(f"batch_size must be a multiple of {replicas} replicas, got {batch_size}")
    return context.num_input_pipelines, context.input_pipeline_id, batch_size // replicas


def for_networks(example: transforms.Example, size: int) -> transforms.Example:
    """Image and label map of a [size, size] example in the networks' ranges."""
    image = tf.ensure_shape(example["image"], [size, size, 3])
    out = {"image": tf.cast(image, tf.float32) / 127.5 - 1.0}
    if "label_map" in example:
        label_map = tf.ensure_shape(example["label_map"], [size, size])
        out["label_map"] = tf.cast(label_map, tf.int32)
    return out
