"""The codec's steps between bytes and networks as TensorFlow operations.

Every function equals its NumPy counterpart bit for bit. TensorFlow's optimiser would break that
where numbers are constants: x / 3 becomes x * (1 / 3), and (x + 1) * c becomes x * c + c. So what
the networks are told of 8-bit samples comes out of tables that NumPy has made, and what their
results are scaled by are variables.
"""

import functools

import numpy as np
import tensorflow as tf
from keras import ops

from smapcomp.design import (
    COMPNET_SCALE,
    MIN_PADDED_SIDE,
    MODES,
    NUM_CLASSES,
    PADDED_MULTIPLE,
    SCALES,
)
from smapcomp.predictors import local as local_predictor
from smapcomp.predictors.keras_predictor import compiled
from smapcomp.serving.contract import LOSSLESS, MAX_PIXELS
from smapcomp.zoo import LOSSY_FINENETS, ROLES, lossy_role

_SIGNAL = local_predictor.to_signal(np.arange(256, dtype=np.uint8))[0]
_INDEX = np.arange(256, dtype=np.float32) / 255
_LEVEL = np.array([1 - quality / 100 for quality in range(101)], np.float32)


class GraphPredictor:
    """What `KerasPredictor` does to one window, as functions of tensors to be traced.

    Args:
        networks: `zoo.Networks` or alike; all of them are built.

    Attributes:
        variant: Of the networks.
        variables: The weights of all networks, and the two numbers that `levels` needs.
    """

    def __init__(self, networks):
        self.variant = networks.variant
        step = self.variant.step
        if step & (step - 1):
            raise ValueError(f"step {step}; allowed: powers of two, whose inverse is exact")
        self._run = {role: compiled(networks, role) for role in ROLES}
        models = [
            networks.lossy_finenet(role) if role in LOSSY_FINENETS else getattr(networks, role)
            for role in ROLES
        ]
        self._one = tf.Variable(1.0, trainable=False, name="one")
        self._half_range = tf.Variable(127.5, trainable=False, name="half_range")
        weights = [variable for model in models for variable in model.variables]
        self.variables = [self._one, self._half_range, *weights]
        self._smapnet_channels = networks.smapnet.input_shape[-1]
        # Traced once, whatever the number of signatures that call it.
        self.view = tf.function(
            self._view,
            input_signature=[
                tf.TensorSpec((None, None, 3), tf.uint8),
                tf.TensorSpec((), tf.int32),
                tf.TensorSpec((), tf.int32),
                tf.TensorSpec((), tf.string),
                tf.TensorSpec((None, None), tf.uint8),
            ],
            autograph=False,
        )
        picture = [tf.TensorSpec((None, None, 3), tf.uint8)]
        options = {"input_signature": picture, "autograph": False}
        self.labels_of = tf.function(self._labels_of, **options)
        self.compact_of = tf.function(self._compact_of, **options)

    def _view(self, compact, scale, quality, mode, given):
        """The decoder's view of a window.

        Args:
            compact: uint8 `[h, w, 3]`.
            scale: int32, one of `SCALES`.
            quality: int32, 0..100 or `LOSSLESS`.
            mode: string, one of `MODES`.
            given: Label grid, uint8; `[0, 0]` if it is to be found.

        Returns:
            `(grid, values)`: uint8 `[H/stride, W/stride]`, all void in mode "none", and float32
            `[H, W, 3]` in grey levels.
        """
        self._check(compact, scale, quality, mode, given)
        signal = self.upsampled(compact, scale)
        height, width = tf.shape(signal)[1], tf.shape(signal)[2]
        stride = self.variant.label_stride

        def void():
            return tf.zeros((height // stride, width // stride), tf.int32)

        grid = tf.case(
            [
                (tf.equal(mode, "none"), void),
                (tf.size(given) > 0, lambda: tf.cast(given, tf.int32)),
            ],
            default=lambda: self._segment(signal, tf.equal(mode, "mapped")),
        )
        level = tf.gather(_LEVEL, tf.where(quality == LOSSLESS, 100, quality))[None]
        labels = self._full_size(grid)[None]

        lossy = tf.argmax(tf.cast(tf.equal(SCALES, scale), tf.int32), output_type=tf.int32)
        is_papers = tf.logical_and(quality == LOSSLESS, scale == COMPNET_SCALE)
        branches = [
            functools.partial(self._float, lossy_role(s), signal, labels, level) for s in SCALES
        ]
        branches.append(functools.partial(self._float, "finenet", signal, labels))
        detail = tf.switch_case(tf.where(is_papers, len(SCALES), lossy), branches)
        return tf.cast(grid, tf.uint8), self.levels(signal[0] + detail[0])

    def _check(self, compact, scale, quality, mode, given) -> None:
        tf.debugging.Assert(
            tf.reduce_any(tf.equal(list(MODES), mode)), [f"mode; allowed: {MODES}; got", mode]
        )
        tf.debugging.Assert(
            tf.logical_and(quality >= LOSSLESS, quality <= 100),
            [f"quality; allowed: 0..100, {LOSSLESS} for lossless; got", quality],
        )
        sides = tf.shape(compact)[:2] * scale
        multiple = tf.reduce_all(sides % PADDED_MULTIPLE == 0)
        tf.debugging.Assert(
            tf.logical_and(multiple, tf.reduce_all(sides >= MIN_PADDED_SIDE)),
            [
                f"compact image times scale; allowed: sides that are multiples of "
                f"{PADDED_MULTIPLE}, at least {MIN_PADDED_SIDE}; got",
                sides,
            ],
        )
        cells = tf.where(tf.size(given) > 0, sides // self.variant.label_stride, [0, 0])
        tf.debugging.Assert(
            tf.reduce_all(tf.shape(given) == cells),
            ["label grid; allowed:", cells, "cells; got", tf.shape(given)],
        )
        tf.debugging.Assert(
            tf.reduce_all(given <= NUM_CLASSES), [f"label grid; allowed: 0..{NUM_CLASSES}"]
        )

    def _labels_of(self, image):
        """The segmenter's label grid of a padded picture, uint8 `[H/stride, W/stride]`."""
        check_pixels(tf.shape(image)[:2])
        return tf.cast(self._segment(to_signal(image), tf.constant(False)), tf.uint8)

    def _compact_of(self, image):
        """CompNet's image of a padded picture, float32 `[H/8, W/8, 3]` in grey levels."""
        sides = tf.shape(image)[:2]
        check_pixels(sides)
        signal = to_signal(pad(image, tf.maximum(sides, local_predictor.COMPNET_MIN_SIDE)))
        labels = self._full_size(self._segment(signal, tf.constant(False)))[None]
        rows, columns = tf.unstack(sides // COMPNET_SCALE)
        return self.levels(self._float("compnet", signal, labels)[0, :rows, :columns])

    def compact_levels(self, values, grey):
        """Levels of CompNet's values, uint8 `[h, w, 1 or 3]`: their mean for a grey picture."""
        # In float64, since a division of float32 by 3 would be replaced; its rounding is the same.
        total = tf.cast(values[..., 0] + values[..., 1] + values[..., 2], tf.float64)
        mean = tf.cast(total / 3.0, tf.float32)[..., None]
        values = tf.cond(grey, lambda: mean, lambda: values)
        step = float(self.variant.step)
        return tf.cast(tf.floor(tf.clip_by_value(values, 0.0, 255.0) / step + 0.5), tf.uint8)

    def upsampled(self, compact, scale):
        """The signal of a window of a compact image, float32 `[1, H, W, 3]`."""
        tf.debugging.Assert(
            tf.reduce_any(tf.equal(SCALES, scale)), [f"scale; allowed: {SCALES}; got", scale]
        )
        sides = tf.shape(compact)[:2] * scale
        check_pixels(sides)
        signal = to_signal(compact)
        # `keras.ops.image.resize` wants to know the sizes beforehand; this is what it calls.
        return tf.cond(
            scale == 1, lambda: signal, lambda: tf.image.resize(signal, sides, "bilinear")
        )

    def levels(self, signal):
        """Grey levels of a signal: -1 is 0, 1 is 255."""
        return (signal + self._one) * self._half_range

    def _float(self, role: str, *inputs):
        return tf.cast(self._run[role](*inputs), tf.float32)

    def _segment(self, signal, repair):
        """Label grid, int32 `[H/stride, W/stride]`."""
        logits = self._run["segmenter"](signal)
        classes = self.variant.representation == "classes"
        if classes:
            smapnet = self._run["smapnet"]
            found = logits
            logits = tf.cond(repair, lambda: smapnet(found), lambda: found)
        labels = ops.cast(ops.argmax(logits, axis=-1), "int32") + 1
        if not classes:
            found = labels
            labels = tf.cond(repair, lambda: self._repair_index(found), lambda: found)
        return labels[0]

    def _repair_index(self, labels):
        channels = self._smapnet_channels
        index = tf.repeat(tf.gather(_INDEX, labels)[..., None], channels, axis=-1)
        mapped = tf.unstack(self._float("smapnet", index), channels, axis=-1)
        total = mapped[0]
        for channel in mapped[1:]:
            total = total + channel
        mean = tf.cast(tf.cast(total, tf.float64) / float(channels), tf.float32)
        return tf.cast(tf.clip_by_value(tf.round(mean * 255.0), 0.0, 150.0), tf.int32)

    def _full_size(self, labels):
        stride = self.variant.label_stride
        return tf.repeat(tf.repeat(labels, stride, axis=0), stride, axis=1)

    def label_map(self, grid, height, width):
        """The label map of a picture, uint8 `[height, width]`, of its padded picture's grid."""
        return self._full_size(grid)[:height, :width]


def check_pixels(sides) -> None:
    """Holds int32 `[2]`, height and width, to `MAX_PIXELS`."""
    pixels = tf.reduce_prod(tf.cast(sides, tf.int64))
    tf.debugging.Assert(
        pixels <= MAX_PIXELS, [f"pixels; allowed: up to {MAX_PIXELS}, in tiles more; got", pixels]
    )


def to_signal(image):
    """uint8 `[h, w, 3]` to float32 `[1, h, w, 3]` in [-1, 1]."""
    return tf.gather(_SIGNAL, tf.cast(image, tf.int32))[None]


def rounded(values):
    """`tiled_predictor.plain_rounding`."""
    return tf.cast(tf.clip_by_value(tf.floor(values + 0.5), 0.0, 255.0), tf.uint8)


def dequantised(levels, step: int):
    """`compact.dequantise_compact`."""
    return tf.cast(tf.minimum(tf.cast(levels, tf.int32) * step, 255), tf.uint8)


def grey_of(prediction):
    """`reconstruction.grey_of`."""
    total = tf.reduce_sum(tf.cast(prediction, tf.int32), axis=-1, keepdims=True)
    return tf.cast((2 * total + 3) // 6, tf.uint8)


def pad(image, sides):
    """Repeats the last row and column of `[h, w, c]` up to int32 `[2]` sides."""
    for axis in (0, 1):
        last = tf.shape(image)[axis] - 1
        image = tf.gather(image, tf.minimum(tf.range(sides[axis]), last), axis=axis)
    return image


def pad_picture(image):
    """`stream.pad_picture`."""
    multiple = PADDED_MULTIPLE
    sides = (tf.shape(image)[:2] + multiple - 1) // multiple * multiple
    return pad(image, tf.maximum(sides, MIN_PADDED_SIDE))


def as_colour(image):
    """Three equal channels of one; `[h, w, 3]` as it is."""
    return tf.ensure_shape(tf.repeat(image, 3 // tf.shape(image)[2], axis=2), (None, None, 3))


def decode_picture(data):
    """A file's samples, uint8 `[h, w, 1 or 3]`; alpha is dropped, 16 bits become 8.

    JPEG is decoded with the accurate transform, as Pillow does.
    """
    image = tf.cond(
        tf.io.is_jpeg(data),
        lambda: tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(data, expand_animations=False),
    )
    return image[..., : tf.shape(image)[-1] // 3 * 2 + 1]
