"""Transforms of one example inside a graph; image and label map are always moved together.

An example is what `data.load` yields. A random transform takes a seed, int32 or int64 [2]; the same
seed gives the same result. Each transform of an example needs a seed of its own.
"""

from __future__ import annotations

import math

import tensorflow as tf

from data.sources.base import Example

BLUR_SIGMA = 1.1
"""Standard deviation of the blur of the segmentation stages in pixels: the one that OpenCV derives
for 5x5 taps, which hszhao/semseg uses."""


def resize(example: Example, size: int = 256) -> Example:
    """Resize an example to [size, size] without keeping the aspect ratio (docs/spec.md, section 3).

    The image is interpolated as by Pillow's antialiased bicubic filter; the label map takes the
    nearest label. An example whose static shape is [size, size] is returned unchanged.
    """
    if example["image"].shape[:2] == [size, size]:
        return dict(example)
    # Width first and 8 bits in between, as Pillow does it.
    image = _resize_bicubic(example["image"], [tf.shape(example["image"])[0], size])
    out = example | {"image": _resize_bicubic(image, [size, size])}
    if "label_map" in example:
        out["label_map"] = tf.image.resize(
            example["label_map"][..., None], [size, size], "nearest"
        )[..., 0]
    return out


def random_crop(example: Example, size: int | tf.Tensor, seed: tf.Tensor) -> Example:
    """Cut a random [size, size] window at native resolution; all positions are equally likely.

    A picture smaller than the window is extended by reflection, together with its labels.
    """
    height, width = _size(example)
    draw = tf.random.stateless_uniform([2], seed)
    top, left = _scaled(draw[0], height - size), _scaled(draw[1], width - size)
    return cut_window(example, size, top, left)


def random_scaled_crop(
    example: Example, size: int, seed: tf.Tensor, scales: tuple[float, float] = (0.5, 2.0)
) -> Example:
    """Cut a random [size, size] window of the picture scaled by a random factor.

    Only the window is resampled, not the whole picture. The aspect ratio is kept; image and label
    map are resampled as by `resize`. A scaled picture smaller than the window is extended by
    reflection.

    Args:
        example: The picture.
        size: Side of the result in pixels.
        seed: int32 or int64 [2].
        scales: Lowest and highest factor, by default those of docs/spec.md, section 3. The
            logarithm of the factor is uniform, so that halving is as likely as doubling.
    """
    low, high = (math.log(scale) for scale in scales)
    scale_seed = tf.random.experimental.stateless_fold_in(seed, 1)
    scale = tf.exp(tf.random.stateless_uniform([], scale_seed, low, high))
    side = tf.maximum(tf.cast(tf.round(size / scale), tf.int32), 1)
    return resize(random_crop(example, side, seed), size)


def center_crop(example: Example, size: int) -> Example:
    """Cut the [size, size] window in the middle; a smaller picture is extended by reflection."""
    height, width = _size(example)
    top, left = tf.maximum(height - size, 0) // 2, tf.maximum(width - size, 0) // 2
    return cut_window(example, size, top, left)


def random_flip(example: Example, seed: tf.Tensor) -> Example:
    """Mirror left and right with probability 1/2."""
    flip = tf.random.stateless_uniform([], seed) < 0.5
    out = dict(example)
    for key in ("image", "label_map"):
        if key in example:
            out[key] = tf.cond(
                flip, lambda x=example[key]: tf.reverse(x, [1]), lambda x=example[key]: x
            )
    return out


def random_rotation(example: Example, size: int, seed: tf.Tensor, degrees: float) -> Example:
    """Rotate about the centre by a random angle and cut the [size, size] window in the middle.

    The image is interpolated bilinearly; the label map takes the nearest label. Where the window
    leaves the picture, the picture is extended by reflection; a picture whose sides are at least
    `rotated_side` contains every window.

    Args:
        example: The picture.
        size: Side of the result in pixels.
        seed: int32 or int64 [2].
        degrees: Largest angle in either direction; all angles up to it are equally likely.
    """
    height, width = _size(example)
    angle = tf.random.stateless_uniform([], seed, -1.0, 1.0) * math.radians(degrees)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    centre, row, column = ((tf.cast(n, tf.float32) - 1.0) / 2.0 for n in (size, height, width))
    # The result at (x, y) is the picture at (a x + b y + c, d x + e y + f).
    transform = tf.stack(
        [
            *(cosine, -sine, column - centre * (cosine - sine)),
            *(sine, cosine, row - centre * (sine + cosine)),
            *(0.0, 0.0),
        ]
    )

    def rotated(samples: tf.Tensor, interpolation: str) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=samples[None],
            transforms=transform[None],
            output_shape=[size, size],
            fill_value=0.0,
            interpolation=interpolation,
            fill_mode="REFLECT",
        )[0]

    image = rotated(tf.cast(example["image"], tf.float32), "BILINEAR")
    out = example | {"image": tf.saturate_cast(tf.round(image), tf.uint8)}
    if "label_map" in example:
        out["label_map"] = rotated(example["label_map"][..., None], "NEAREST")[..., 0]
    return out


def rotated_side(size: int, degrees: float) -> int:
    """Return the side of a picture in which `random_rotation` finds every window of `size`."""
    angle = math.radians(min(degrees, 45.0))
    return math.ceil(size * (math.cos(angle) + math.sin(angle))) + 2


def random_blur(
    example: Example, seed: tf.Tensor, share: float, sigma: float = BLUR_SIGMA
) -> Example:
    """Blur the image of a share of the examples by a Gaussian of 5x5 taps.

    Args:
        example: The picture.
        seed: int32 or int64 [2].
        share: Probability that the image is blurred, 0..1.
        sigma: Standard deviation of the Gaussian in pixels.
    """
    taps = tf.exp(-0.5 * (tf.range(-2.0, 3.0) / sigma) ** 2)
    taps /= tf.reduce_sum(taps)
    kernel = tf.tile((taps[:, None] * taps[None, :])[..., None, None], [1, 1, 3, 1])

    def blurred() -> tf.Tensor:
        padded = tf.pad(example["image"], [[2, 2], [2, 2], [0, 0]], "SYMMETRIC")
        padded = tf.cast(padded, tf.float32)[None]
        smooth = tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")[0]
        return tf.saturate_cast(tf.round(smooth), tf.uint8)

    blur = tf.random.stateless_uniform([], seed) < share
    return example | {"image": tf.cond(blur, blurred, lambda: example["image"])}


def _resize_bicubic(image: tf.Tensor, shape: list) -> tf.Tensor:
    resized = tf.image.resize(image, shape, "bicubic", antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def _size(example: Example) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.shape(example["image"])
    return shape[0], shape[1]


def _scaled(draw: tf.Tensor, margin: tf.Tensor) -> tf.Tensor:
    """Map a number in [0, 1) to int32 in 0..margin, or to 0 if the margin is negative."""
    positions = tf.cast(tf.maximum(margin, 0) + 1, tf.float32)
    return tf.cast(draw * positions, tf.int32)


def _mirror(indices: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Reflect indices past the end of an axis: ..., n-2, n-1, n-1, n-2, ..., 0, 0, 1."""
    folded = indices % (2 * length)
    return tf.minimum(folded, 2 * length - 1 - folded)


def cut_window(example: Example, size: int | tf.Tensor, top: tf.Tensor, left: tf.Tensor) -> Example:
    """Cut the [size, size] window at a position; past its end, the picture is reflected."""
    height, width = _size(example)
    rows = _mirror(top + tf.range(size), height)
    columns = _mirror(left + tf.range(size), width)
    out = dict(example)
    for key in ("image", "label_map"):
        if key in example:
            out[key] = tf.gather(tf.gather(example[key], rows, axis=0), columns, axis=1)
    return out
