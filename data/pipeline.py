"""Batches as the networks take them.

A batch is {"image": float32 [B, size, size, 3] in [-1, 1], "label_map": int32 [B, size, size] with
0 = void and 1..150}; no "label_map" where the source is opened without labels.
"""

from __future__ import annotations

from typing import Literal

import tensorflow as tf

from data import transforms
from data.cache import PictureCache
from data.sources import load

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
    labels: bool = True,
    cache: PictureCache | None = None,
) -> tf.data.Dataset:
    """An endless dataset of shuffled, randomly cropped and flipped batches.

    Batch number n depends on `seed` and n alone: a run that stopped before `start_step` and is
    continued there sees what an uninterrupted run would have seen.

    Args:
      spec, split, labels, cache: see `data.load`.
      batch_size: examples in each batch; epochs flow into each other, so none is shorter.
      size: side of the pictures, in pixels.
      fit: "resize" resizes the whole picture (SPEC section 3), "crop" cuts a random window out of
        it at native resolution.
      seed: an int32.
      start_step: number of the first batch.
      scales: with "crop": lowest and highest factor by which pictures are scaled before, as
        `transforms.random_scaled_crop`; None leaves them at native resolution.
    """
    _check(fit, size, batch_size)
    if scales is not None and (fit != "crop" or not 0 < scales[0] <= scales[1]):
        raise ValueError(f"scales must be 0 < low <= high and fit 'crop', got {scales}, {fit!r}")
    start = start_step * batch_size
    examples = load(spec, split, labels=labels, shuffle_seed=seed, start=start, cache=cache)

    def augment(position: tf.Tensor, example: transforms.Example) -> transforms.Example:
        # The order of the pictures is drawn from `seed` too; the constants keep draws apart.
        key = tf.stack([tf.cast(seed, tf.int64), position])
        crop_key = tf.random.experimental.stateless_fold_in(key, 1)
        flip_key = tf.random.experimental.stateless_fold_in(key, 2)
        if scales is not None:
            example = transforms.random_scaled_crop(example, size, crop_key, scales)
        elif fit == "crop":
            example = transforms.random_crop(example, size, crop_key)
        else:
            example = transforms.resize256(example, size)
        return _for_networks(transforms.random_flip(example, flip_key), size)

    examples = examples.enumerate(start)
    examples = examples.map(augment, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return examples.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def validation_batches(
    spec: str,
    split: str | None = "validation",
    *,
    batch_size: int,
    size: int = 256,
    fit: Fit = "resize",
    labels: bool = True,
    cache: PictureCache | None = None,
) -> tf.data.Dataset:
    """Each picture once, in the order of the names; the last batch may be shorter.

    Args: as `training_batches`; "crop" takes the window in the middle.
    """
    _check(fit, size, batch_size)

    def prepare(example: transforms.Example) -> transforms.Example:
        place = transforms.center_crop if fit == "crop" else transforms.resize256
        return _for_networks(place(example, size), size)

    examples = load(spec, split, labels=labels, cache=cache)
    examples = examples.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return examples.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def _check(fit: str, size: int, batch_size: int) -> None:
    if fit not in ("crop", "resize"):
        raise ValueError(f"fit must be 'crop' or 'resize', got {fit!r}")
    if size < 8 or size % 8:
        raise ValueError(f"size must be a multiple of 8 from 8 up, got {size}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def _for_networks(example: transforms.Example, size: int) -> transforms.Example:
    image = tf.ensure_shape(example["image"], [size, size, 3])
    out = {"image": tf.cast(image, tf.float32) / 127.5 - 1.0}
    if "label_map" in example:
        label_map = tf.ensure_shape(example["label_map"], [size, size])
        out["label_map"] = tf.cast(label_map, tf.int32)
    return out
