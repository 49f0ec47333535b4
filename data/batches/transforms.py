"""Changes of one example, in-graph: image and label map always move together.

An example is what `data.load` yields. Random transforms are functions of a seed, int32 or int64
[2]: the same seed gives the same example. Use another seed for each transform.
"""

from __future__ import annotations

import math

import tensorflow as tf

from data.sources.base import Example

BLUR_SIGMA = 1.1
"""Of the segmentation stage's blur: what OpenCV takes for 5x5 taps, as hszhao/semseg uses it."""


def resize256(example: Example, size: int = 256) -> Example:
    """Resizes to [size, size]; the aspect is not kept (SPEC section 3).

    The image with antialiased bicubic interpolation as Pillow's, the label map by the nearest
    label. An example whose shapes say that it has that size already comes back as it is.
    """
    if example["image"].shape[:2] == [size, size]:
        return dict(example)
    # Columns first and 8 bit in between, as Pillow does it.
    image = _resize_bicubic(example["image"], [tf.shape(example["image"])[0], size])
    out = example | {"image": _resize_bicubic(image, [size, size])}
    if "label_map" in example:
        out["label_map"] = tf.image.resize(
            example["label_map"][..., None], [size, size], "nearest"
        )[..., 0]
    return out


def random_crop(example: Example, size: int | tf.Tensor, seed: tf.Tensor) -> Example:
    """A [size, size] window at native resolution, all places equally likely.

    A picture smaller than the window is continued by its mirror image, and so are its labels.
    """
    height, width = _size(example)
    draw = tf.random.stateless_uniform([2], seed)
    return window(example, size, _scaled(draw[0], height - size), _scaled(draw[1], width - size))


def random_scaled_crop(
    example: Example, size: int, seed: tf.Tensor, scales: tuple[float, float] = (0.5, 2.0)
) -> Example:
    """A window of the picture scaled by a random factor, resized to [size, size].

    As cropping from the scaled picture, without scaling all of it. The aspect is kept; image and
    label map are resampled as by `resize256`. Where the scaled picture is smaller than the window,
    it is continued as by `random_crop`.

    Args:
      example: a picture.
      size: side of the result.
      seed: int32 or int64 [2].
      scales: lowest and highest factor; SPEC section 3's by default. Halving is as likely as
        doubling: its logarithm is uniform.
    """
    low, high = (math.log(scale) for scale in scales)
    scale_seed = tf.random.experimental.stateless_fold_in(seed, 1)
    scale = tf.exp(tf.random.stateless_uniform([], scale_seed, low, high))
    side = tf.maximum(tf.cast(tf.round(size / scale), tf.int32), 1)
    return resize256(random_crop(example, side, seed), size)


def center_crop(example: Example, size: int) -> Example:
    """The [size, size] window in the middle; small pictures are continued as by `random_crop`."""
    height, width = _size(example)
    top, left = tf.maximum(height - size, 0) // 2, tf.maximum(width - size, 0) // 2
    return window(example, size, top, left)


def random_flip(example: Example, seed: tf.Tensor) -> Example:
    """Mirrors left and right in half of the cases."""
    flip = tf.random.stateless_uniform([], seed) < 0.5
    out = dict(example)
    for key in ("image", "label_map"):
        if key in example:
            out[key] = tf.cond(
                flip, lambda x=example[key]: tf.reverse(x, [1]), lambda x=example[key]: x
            )
    return out


def random_rotation(example: Example, size: int, seed: tf.Tensor, degrees: float) -> Example:
    """Rotates about the centre and cuts the [size, size] window in the middle.

    The image with bilinear interpolation, the label map by the nearest label. Where the window
    leaves the picture, it is continued as by `random_crop`; from a side of `rotated_side` up it
    doesn't.

    Args:
      example: a picture.
      size: side of the result.
      seed: int32 or int64 [2].
      degrees: the largest angle, either way; all angles up to it are equally likely.
    """
    height, width = _size(example)
    angle = tf.random.stateless_uniform([], seed, -1.0, 1.0) * math.radians(degrees)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    centre, row, column = ((tf.cast(n, tf.float32) - 1.0) / 2.0 for n in (size, height, width))
    # (x, y) of the result comes from (a x + b y + c, d x + e y + f) of the picture.
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
    """Side of the picture that `random_rotation` needs for a window of `size` without mirroring."""
    angle = math.radians(min(degrees, 45.0))
    return math.ceil(size * (math.cos(angle) + math.sin(angle))) + 2


def random_blur(
    example: Example, seed: tf.Tensor, share: float, sigma: float = BLUR_SIGMA
) -> Example:
    """Blurs the image of a share of the examples by a Gaussian of 5x5 taps; labels stay.

    Args:
      example: a picture.
      seed: int32 or int64 [2].
      share: how many are blurred, 0..1.
      sigma: standard deviation in pixels.
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
    """int32 in 0..margin from a draw in [0, 1); 0 for a negative margin."""
    places = tf.cast(tf.maximum(margin, 0) + 1, tf.float32)
    return tf.cast(draw * places, tf.int32)


def _mirror(indices: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Indices past the end of an axis, reflected back: ..., n-2, n-1, n-1, n-2, ..., 0, 0, 1."""
    folded = indices % (2 * length)
    return tf.minimum(folded, 2 * length - 1 - folded)


def window(example: Example, size: int | tf.Tensor, top: tf.Tensor, left: tf.Tensor) -> Example:
    """The [size, size] window at a place; past the picture's end, its mirror image."""
    height, width = _size(example)
    rows = _mirror(top + tf.range(size), height)
    columns = _mirror(left + tf.range(size), width)
    out = dict(example)
    for key in ("image", "label_map"):
        if key in example:
            out[key] = tf.gather(tf.gather(example[key], rows, axis=0), columns, axis=1)
    return out
