"""Batches of pictures and label maps, as the networks take them.

A batch is {"image": float32 [B, size, size, 3] in [-1, 1], "label_map": int32 [B, size, size] of
0..150 (0 is void)}. It has no "label_map" if the source is opened without labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import tensorflow as tf

from data.batches import transforms
from data.sources.cache import PictureCache
from data.sources.registry import open_source, shuffled_index

Fit = Literal["crop", "resize"]
"""How a picture is brought to the size of the batch: a window of it, or the whole picture."""


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
    """Return an endless dataset of shuffled, randomly cropped and mirrored batches.

    A batch depends on its number and `seed` alone: a run that is resumed at `start_step` gets the
    batches that an uninterrupted run would have got.

    Args:
        spec: As `data.load` takes it.
        split: As `data.load` takes it.
        batch_size: Examples in the batch of a step, over all replicas. Epochs follow each other
            within a batch, so that all batches have this size.
        size: Side of the pictures in pixels, a multiple of 8.
        fit: "resize" resizes the whole picture (docs/spec.md, section 3); "crop" cuts a random
            window at native resolution.
        seed: int32 that determines order and transforms.
        start_step: Number of the first batch.
        scales: Lowest and highest factor by which pictures are scaled before they are cropped, see
            `transforms.random_scaled_crop`; `None` for native resolution. "crop" only.
        rotation: Largest angle in degrees, 0..45, see `transforms.random_rotation`; 0 for none.
        blur: Share of blurred pictures, 0..1, see `transforms.random_blur`; 0 for none.
        labels: As `data.load` takes it.
        cache: As `data.load` takes it.
        context: Argument that `tf.distribute.Strategy.distribute_datasets_from_function` passes.
            The dataset then has the batches of the replicas of this host, one after the other. They
            are equal parts of the batch of the step, in the order of hosts and replicas.

    Raises:
        DataError: The source cannot be opened.
        ValueError: An option is out of range, or `batch_size` is not a multiple of the number of
            replicas.
    """
    _check(fit, size, batch_size)
    if scales is not None and (fit != "crop" or not 0 < scales[0] <= scales[1]):
        raise ValueError(f"scales must be 0 < low <= high and fit 'crop', got {scales}, {fit!r}")
    if not (0 <= rotation <= 45 and 0 <= blur <= 1):
        raise ValueError(f"rotation must be 0..45 degrees and blur a share, got {rotation}, {blur}")
    source = open_source(spec, split, labels=labels, cache=cache, training=True)
    side = transforms.rotated_side(size, rotation) if rotation and fit == "crop" else size

    def example(position: tf.Tensor) -> transforms.Example:
        # Each transform has a seed of its own. The order is drawn from `seed` itself.
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
            out = transforms.resize(out, size)
        if rotation:
            out = transforms.random_rotation(out, size, turn_key, rotation)
        if blur:
            out = transforms.random_blur(out, blur_key, blur)
        return network_inputs(transforms.random_flip(out, flip_key), size)

    return endless_batches(example, batch_size, start_step, context)


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
    """Return a dataset with each picture once, in the order of the source.

    Args:
        spec: As `data.load` takes it.
        split: As `data.load` takes it.
        batch_size: Examples in a batch, over all replicas; the last batch may have fewer.
        size: Side of the pictures in pixels, a multiple of 8.
        fit: "resize" resizes the whole picture; "crop" cuts the window in the middle.
        labels: As `data.load` takes it.
        cache: As `data.load` takes it.
        context: As `training_batches` takes it. Of n hosts, each reads every nth batch, in parts
            for its replicas; the last part may have fewer examples.

    Raises:
        DataError: The source cannot be opened.
        ValueError: An option is out of range, or `batch_size` is not a multiple of the number of
            replicas.
    """
    _check(fit, size, batch_size)
    source = open_source(spec, split, labels=labels, cache=cache)

    def example(index: tf.Tensor) -> transforms.Example:
        transform = transforms.center_crop if fit == "crop" else transforms.resize
        return network_inputs(transform(source.read(index), size), size)

    return ordered_batches(example, len(source), batch_size, context)


def endless_batches(
    make_example: Callable[[tf.Tensor], transforms.Example],
    batch_size: int,
    start_step: int,
    context: tf.distribute.InputContext | None,
) -> tf.data.Dataset:
    """Return batches of an endless stream of examples, or the part of them for this host.

    Args:
        make_example: Returns the example at a position of the stream, int64 [], inside a graph.
        batch_size: As `training_batches` takes it.
        start_step: As `training_batches` takes it.
        context: As `training_batches` takes it.

    Raises:
        ValueError: `batch_size` is not a multiple of the number of replicas.
    """
    hosts, host, replica_batch = _split_batch(batch_size, context)
    share = batch_size // hosts
    positions = tf.data.Dataset.counter(start_step * share)
    positions = positions.map(lambda n: n // share * batch_size + host * share + n % share)
    examples = positions.map(make_example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return examples.batch(replica_batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def ordered_batches(
    make_example: Callable[[tf.Tensor], transforms.Example],
    count: int,
    batch_size: int,
    context: tf.distribute.InputContext | None,
) -> tf.data.Dataset:
    """Return batches with each example once, or the part of them for this host.

    Args:
        make_example: Returns the example of a number, int64 [], inside a graph.
        count: Number of examples.
        batch_size: As `validation_batches` takes it.
        context: As `validation_batches` takes it.

    Raises:
        ValueError: `batch_size` is not a multiple of the number of replicas.
    """
    hosts, host, replica_batch = _split_batch(batch_size, context)
    indices = tf.data.Dataset.range(count)
    indices = indices.filter(lambda index: index // batch_size % hosts == host)
    examples = indices.map(make_example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return examples.batch(replica_batch).prefetch(tf.data.AUTOTUNE)


def _check(fit: str, size: int, batch_size: int) -> None:
    if fit not in ("crop", "resize"):
        raise ValueError(f"fit must be 'crop' or 'resize', got {fit!r}")
    if size < 8 or size % 8:
        raise ValueError(f"size must be a multiple of 8 from 8 up, got {size}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def _split_batch(
    batch_size: int, context: tf.distribute.InputContext | None
) -> tuple[int, int, int]:
    """Return the number of hosts, the number of this host, and the batch size of a replica."""
    if context is None:
        return 1, 0, batch_size
    replicas = context.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(f"batch_size must be a multiple of {replicas} replicas, got {batch_size}")
    return context.num_input_pipelines, context.input_pipeline_id, batch_size // replicas


def network_inputs(example: transforms.Example, size: int) -> transforms.Example:
    """Return image and label map of a [size, size] example in the ranges of a batch."""
    image = tf.ensure_shape(example["image"], [size, size, 3])
    out = {"image": tf.cast(image, tf.float32) / 127.5 - 1.0}
    if "label_map" in example:
        label_map = tf.ensure_shape(example["label_map"], [size, size])
        out["label_map"] = tf.cast(label_map, tf.int32)
    return out
