"""Prediction as TensorFlow operations, from decoded pictures to pictures.

Every function returns the same bits as its NumPy counterpart in `smapcomp.predictors` and
`smapcomp.codec`. TensorFlow's graph optimiser would break that where numbers are constants: it
replaces x / 3 by x * (1 / 3), and (x + 1) * c by x * c + c. Therefore 8-bit samples are converted
by tables that NumPy computes, and the numbers that scale the networks' outputs are variables.
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
from smapcomp.predictors import local
from smapcomp.predictors.keras_predictor import compile_network
from smapcomp.serving.contract import LOSSLESS_QUALITY, MAX_PIXELS
from smapcomp.zoo import LOSSY_FINENETS, ROLES, lossy_finenet_role, smapnet_representation

# Inputs of the networks for each 8-bit sample, for each label, and for each quality.
_SIGNAL = local.to_signal(np.arange(256, dtype=np.uint8))[0]
_LABEL_INDEX = np.arange(256, dtype=np.float32) / 255
_COARSENESS = np.array([1 - quality / 100 for quality in range(101)], np.float32)


class GraphPredictor:
    """Counterpart of `KerasPredictor` for one window, as functions of tensors that can be traced.

    Args:
        networks: `zoo.Networks` or an object with the same methods. All networks are built, except
            FineNets of lossy compact images without weights.

    Attributes:
        variant: Variant of the networks.
        variables: Weights of all networks, and the two numbers that `to_grey_levels` needs.
        predict_window: Traced function: label grid and prediction of a window.
        segment: Traced function: label grid of a picture.
        run_compnet: Traced function: CompNet's compact image of a picture.

    Raises:
        ValueError: The variant's quantiser step is not a power of two.
    """

    def __init__(self, networks):
        self.variant = networks.variant
        step = self.variant.step
        if step & (step - 1):
            raise ValueError(f"step {step}; allowed: powers of two, whose inverse is exact")
        roles = [r for r in ROLES if r not in LOSSY_FINENETS or r in networks.finenets]
        self._networks = {role: compile_network(networks, role) for role in roles}
        self._exact = {role for role in roles if networks.is_exact(role)}
        models = [networks.model(role) for role in roles]
        self._one = tf.Variable(1.0, trainable=False, name="one")
        self._half_range = tf.Variable(127.5, trainable=False, name="half_range")
        weights = [variable for model in models for variable in model.variables]
        self.variables = [self._one, self._half_range, *weights]
        self._smapnet_channels = networks.model("smapnet").input_shape[-1]
        # Each function is traced once, whatever the number of signatures that call it.
        self.predict_window = tf.function(
            self._predict_window,
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
        self.segment = tf.function(self._segment_picture, **options)
        self.run_compnet = tf.function(self._run_compnet, **options)

    def _predict_window(self, compact, scale, quality, mode, labels):
        """Compute label grid and prediction of a window from its compact image.

        Args:
            compact: Compact image, uint8 `[h, w, 3]`.
            scale: Scale of the compact image, int32, one of `SCALES`. The window has the sides
                H = h * scale and W = w * scale.
            quality: Quality of the compact image's coder, int32, 0..100 or `LOSSLESS_QUALITY`.
            mode: Source of the labels, string, one of `MODES`.
            labels: Label grid to use, uint8 `[H/stride, W/stride]`; `[0, 0]` to compute it.

        Returns:
            `(grid, values)`: the label grid, uint8 `[H/stride, W/stride]`, all void in mode "none",
            and the prediction, float32 `[H, W, 3]` in grey levels, not clipped.
        """
        self._check(compact, scale, quality, mode, labels)
        signal = self.upsample(compact, scale)
        height, width = tf.shape(signal)[1], tf.shape(signal)[2]
        stride = self.variant.label_stride

        def void():
            return tf.zeros((height // stride, width // stride), tf.int32)

        grid = tf.case(
            [
                (tf.equal(mode, "none"), void),
                (tf.size(labels) > 0, lambda: tf.cast(labels, tf.int32)),
            ],
            default=lambda: self._label_grid(signal, tf.equal(mode, "mapped")),
        )
        # To a lossy FineNet, a lossless compact image is one of the best quality.
        coarseness = tf.gather(_COARSENESS, tf.where(quality == LOSSLESS_QUALITY, 100, quality))
        label_map = self._full_size(grid)[None]

        lossy_branch = tf.argmax(tf.cast(tf.equal(SCALES, scale), tf.int32), output_type=tf.int32)
        is_compnet_image = tf.logical_and(quality == LOSSLESS_QUALITY, scale == COMPNET_SCALE)
        roles = [*map(lossy_finenet_role, SCALES), "finenet"]
        branch = tf.where(is_compnet_image, len(SCALES), lossy_branch)
        exists = [role in self._networks for role in roles]
        tf.debugging.Assert(
            tf.gather(exists, branch),
            [
                f"compact image; the model has {', '.join(filter(self._networks.get, roles))}; got",
                tf.gather(roles, branch),
            ],
        )
        inputs: dict[str, tuple] = dict.fromkeys(roles[:-1], (signal, label_map, coarseness[None]))
        inputs["finenet"] = (signal, label_map)
        branches = [
            functools.partial(self._run, role, *inputs[role])
            if role in self._networks
            else functools.partial(tf.zeros_like, signal)  # The assertion above has failed.
            for role in roles
        ]
        detail = tf.switch_case(branch, branches)
        values = self.to_grey_levels(signal[0] + detail[0])
        exact = tf.gather([role in self._exact for role in roles], branch)
        # As `local.exact_grey_levels`.
        values = tf.cond(exact, lambda: tf.round(values * 256) / 256, lambda: values)
        return tf.cast(grid, tf.uint8), values

    def _check(self, compact, scale, quality, mode, labels) -> None:
        """Add assertions on the arguments of `_predict_window`."""
        tf.debugging.Assert(
            tf.reduce_any(tf.equal(list(MODES), mode)), [f"mode; allowed: {MODES}; got", mode]
        )
        tf.debugging.Assert(
            tf.logical_and(quality >= LOSSLESS_QUALITY, quality <= 100),
            [f"quality; allowed: 0..100, {LOSSLESS_QUALITY} for lossless; got", quality],
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
        cells = tf.where(tf.size(labels) > 0, sides // self.variant.label_stride, [0, 0])
        tf.debugging.Assert(
            tf.reduce_all(tf.shape(labels) == cells),
            ["label grid; allowed:", cells, "cells; got", tf.shape(labels)],
        )
        tf.debugging.Assert(
            tf.reduce_all(labels <= NUM_CLASSES),
            [
                f"label grid; allowed: labels in 0..{NUM_CLASSES}; got",
                tf.reduce_max(labels),
            ],
        )

    def _segment_picture(self, image):
        """Return the segmenter's label grid of a padded picture, uint8 `[H/stride, W/stride]`."""
        assert_max_pixels(tf.shape(image)[:2])
        return tf.cast(self._label_grid(to_signal(image), tf.constant(False)), tf.uint8)

    def _run_compnet(self, image):
        """Return CompNet's image of a padded picture, float32 `[H/8, W/8, 3]` in grey levels."""
        sides = tf.shape(image)[:2]
        assert_max_pixels(sides)
        signal = to_signal(pad_to(image, tf.maximum(sides, local.COMPNET_MIN_SIDE)))
        label_map = self._full_size(self._label_grid(signal, tf.constant(False)))[None]
        rows, columns = tf.unstack(sides // COMPNET_SCALE)
        return self.to_grey_levels(self._run("compnet", signal, label_map)[0, :rows, :columns])

    def compact_levels(self, values, grey):
        """Quantise CompNet's image.

        Args:
            values: float32 `[h, w, 3]` in grey levels.
            grey: bool, whether to return one channel, the mean of the three.

        Returns:
            Levels, uint8 `[h, w, 1 or 3]`.
        """
        # A float32 division by 3 would be replaced by a product. Float64 rounds to the same values.
        total = tf.cast(values[..., 0] + values[..., 1] + values[..., 2], tf.float64)
        mean = tf.cast(total / 3.0, tf.float32)[..., None]
        values = tf.cond(grey, lambda: mean, lambda: values)
        step = float(self.variant.step)
        return tf.cast(tf.floor(tf.clip_by_value(values, 0.0, 255.0) / step + 0.5), tf.uint8)

    def upsample(self, compact, scale):
        """Return the up-sampled compact image in [-1, 1], float32 `[1, H, W, 3]`."""
        tf.debugging.Assert(
            tf.reduce_any(tf.equal(SCALES, scale)), [f"scale; allowed: {SCALES}; got", scale]
        )
        sides = tf.shape(compact)[:2] * scale
        assert_max_pixels(sides)
        signal = to_signal(compact)
        # `keras.ops.image.resize` calls the same function but needs static sizes.
        return tf.cond(
            scale == 1, lambda: signal, lambda: tf.image.resize(signal, sides, "bilinear")
        )

    def to_grey_levels(self, signal):
        """Map a signal in [-1, 1] to grey levels in 0..255."""
        return (signal + self._one) * self._half_range

    def _run(self, role: str, *inputs):
        """Return the output of a network as float32."""
        return tf.cast(self._networks[role](*inputs), tf.float32)

    def _label_grid(self, signal, repair):
        """Return the label grid, int32 `[H/stride, W/stride]`, with or without SMapNet's repair."""
        logits = self._networks["segmenter"](signal)
        repairs_logits = smapnet_representation(self._smapnet_channels) == "classes"
        if repairs_logits:
            smapnet = self._networks["smapnet"]
            found = logits
            logits = tf.cond(repair, lambda: smapnet(found), lambda: found)
        labels = ops.cast(ops.argmax(logits, axis=-1), "int32") + 1
        if not repairs_logits:
            found = labels
            labels = tf.cond(repair, lambda: self._repair_index(found), lambda: found)
        return labels[0]

    def _repair_index(self, labels):
        """Run SMapNet on the label index as a picture in [0, 1] (docs/spec.md, section 2)."""
        channels = self._smapnet_channels
        index = tf.repeat(tf.gather(_LABEL_INDEX, labels)[..., None], channels, axis=-1)
        mapped = tf.unstack(self._run("smapnet", index), channels, axis=-1)
        total = mapped[0]
        for channel in mapped[1:]:
            total = total + channel
        mean = tf.cast(tf.cast(total, tf.float64) / float(channels), tf.float32)
        highest = float(NUM_CLASSES)
        return tf.cast(tf.clip_by_value(tf.round(mean * 255.0), 0.0, highest), tf.int32)

    def _full_size(self, labels):
        """Repeat each label over its block of pixels."""
        stride = self.variant.label_stride
        return tf.repeat(tf.repeat(labels, stride, axis=0), stride, axis=1)

    def label_map(self, grid, height, width):
        """Return the label map of a picture, uint8 `[height, width]`.

        Args:
            grid: Label grid of the padded picture, uint8.
            height: Height of the picture.
            width: Width of the picture.
        """
        return self._full_size(grid)[:height, :width]


def assert_max_pixels(sides) -> None:
    """Add the assertion that height and width, int32 `[2]`, make at most `MAX_PIXELS`."""
    pixels = tf.reduce_prod(tf.cast(sides, tf.int64))
    tf.debugging.Assert(
        pixels <= MAX_PIXELS, [f"pixels; allowed: up to {MAX_PIXELS}, more in tiles; got", pixels]
    )


def to_signal(image):
    """Convert uint8 `[h, w, 3]` to float32 `[1, h, w, 3]` in [-1, 1]."""
    return tf.gather(_SIGNAL, tf.cast(image, tf.int32))[None]


def round_to_uint8(values):
    """Round to the nearest of 0..255, halves up, as `predictors.base.round_to_uint8`."""
    return tf.cast(tf.clip_by_value(tf.floor(values + 0.5), 0.0, 255.0), tf.uint8)


def dequantise_compact(levels, step: int):
    """Return the uint8 values of quantised levels, as `design.dequantise_compact`."""
    return tf.cast(tf.minimum(tf.cast(levels, tf.int32) * step, 255), tf.uint8)


def to_grey(prediction):
    """Return the mean of the three channels, as `codec.layers.reconstruction.grey_of`."""
    total = tf.reduce_sum(tf.cast(prediction, tf.int32), axis=-1, keepdims=True)
    return tf.cast((2 * total + 3) // 6, tf.uint8)


def pad_to(image, sides):
    """Repeat the last row and column of `[h, w, c]` up to the sides, int32 `[2]`."""
    for axis in (0, 1):
        last = tf.shape(image)[axis] - 1
        image = tf.gather(image, tf.minimum(tf.range(sides[axis]), last), axis=axis)
    return image


def pad_picture(image):
    """Repeat the last row and column of `[h, w, c]`, as `design.pad_picture`."""
    multiple = PADDED_MULTIPLE
    sides = (tf.shape(image)[:2] + multiple - 1) // multiple * multiple
    return pad_to(image, tf.maximum(sides, MIN_PADDED_SIDE))


def to_rgb(image):
    """Return three equal channels for a grey image, `[h, w, 3]` unchanged."""
    return tf.ensure_shape(tf.repeat(image, 3 // tf.shape(image)[2], axis=2), (None, None, 3))


def decode_picture(data):
    """Decode a picture file to uint8 `[h, w, 1 or 3]`; alpha is dropped, 16 bits become 8.

    JPEG is decoded with the accurate transform, as in Pillow.
    """
    image = tf.cond(
        tf.io.is_jpeg(data),
        lambda: tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(data, expand_animations=False),
    )
    return image[..., : tf.shape(image)[-1] // 3 * 2 + 1]
