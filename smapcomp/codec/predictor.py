"""What the networks do for the codec: the compact image, the label map, the prediction.

Encoder and decoder call the same functions on the same 8-bit compact image, which is all that
"matched" means. Under TensorFlow each network is compiled once, for any picture size: a graph made
for one size may round differently from a graph made for another, and a stream would then decode
only in a process with the same history.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from smapcomp.codec.compact import quantise_compact
from smapcomp.models.compnet import SCALE
from smapcomp.models.layers import upsample
from smapcomp.zoo import Networks

COMPNET_MIN_SIDE = 32
"""The papers' CompNet reflects three rows of its 1/8 grid; only the encoder has to care."""


class Predictor:
    """The networks of a variant, from bytes to bytes.

    Pictures are uint8 `[height, width, 3]`, padded to what the networks need (multiples of 8, at
    least 16). Label grids are uint8 `[height/stride, width/stride]` of 0..150.
    """

    def __init__(self, networks: Networks):
        self.networks = networks
        self.variant = networks.variant
        self._compiled: dict[str, Callable] = {}

    def compact_levels(self, image: np.ndarray, grey: bool) -> np.ndarray:
        """The encoder's compact image.

        Args:
            image: Padded picture; a grey one has three equal channels.
            grey: Give one channel, the mean of CompNet's three.

        Returns:
            Levels, uint8 `[height/8, width/8, 3]`, or 1 channel.
        """
        height, width, _ = image.shape
        rows, columns = (max(0, COMPNET_MIN_SIDE - side) for side in (height, width))
        signal = _to_signal(np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge"))
        labels = self._full_size(self._segment(signal))
        compact = self._run("compnet", signal, labels)
        values = (_to_numpy(compact)[0, : height // SCALE, : width // SCALE] + 1.0) * 127.5
        if grey:
            values = values.mean(axis=-1, keepdims=True)
        return quantise_compact(values, self.variant.step)

    def source_labels(self, image: np.ndarray) -> np.ndarray:
        """The label grid of the picture itself, which mode `sent` transmits."""
        return self._segment(_to_signal(image))

    def decoder_labels(self, compact: np.ndarray, mode: str) -> np.ndarray | None:
        """The label grid that the decoder finds by itself.

        Args:
            compact: The decoder's compact image, uint8 `[h, w, 3]`.
            mode: "matched" (the segmenter's) or "mapped" (repaired by SMapNet); None for "none".
        """
        if mode == "none":
            return None
        return self._segment(_upsampled(compact), repair=mode == "mapped")

    def predict(self, compact: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """The decoder's prediction of the padded picture.

        Args:
            compact: The decoder's compact image, uint8 `[h, w, 3]`.
            labels: Label grid, or None for no labels (all void).

        Returns:
            uint8 `[8·h, 8·w, 3]`.
        """
        upsampled = _upsampled(compact)
        _, height, width, _ = upsampled.shape
        void = labels is None
        full = ops.zeros((1, height, width), "int32") if void else self._full_size(labels)
        detail = self._run("finenet", upsampled, full)
        return _to_pixels(_to_numpy(upsampled) + _to_numpy(detail))

    def upsampled(self, compact: np.ndarray) -> np.ndarray:
        """The up-sampled compact image as a picture, uint8 `[8·h, 8·w, 3]`."""
        return _to_pixels(_to_numpy(_upsampled(compact)))

    def _run(self, role: str, *inputs):
        if role not in self._compiled:
            self._compiled[role] = _compile(getattr(self.networks, role))
        return self._compiled[role](*inputs)

    def _segment(self, signal, repair: bool = False) -> np.ndarray:
        logits = self._run("segmenter", signal)
        if repair and self.variant.representation == "classes":
            logits = self._run("smapnet", logits)
        labels = _to_numpy(ops.argmax(logits, axis=-1)) + 1
        if repair and self.variant.representation == "index":
            labels = self._repair_index(labels)
        return labels[0].astype(np.uint8)

    def _repair_index(self, labels: np.ndarray) -> np.ndarray:
        """SMapNet on the label index as a picture in [0, 1] (SPEC section 2)."""
        channels = self.networks.smapnet.input_shape[-1]
        index = np.repeat(labels[..., None], channels, axis=-1).astype(np.float32) / 255
        index = ops.convert_to_tensor(index)
        mapped = _to_numpy(self._run("smapnet", index)).mean(axis=-1)
        return np.clip(np.round(mapped * 255), 0, 150)

    def _full_size(self, labels: np.ndarray) -> np.ndarray:
        return ops.convert_to_tensor(self.variant.full_size(labels.astype(np.int32))[None])


def _compile(model: keras.Model) -> Callable:
    """The model as a function of its inputs, for batches of one picture of any size."""

    def run(*inputs):
        return model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

    if keras.backend.backend() != "tensorflow":
        return run
    import tensorflow as tf

    signature = [tf.TensorSpec((1, *x.shape[1:]), x.dtype) for x in model.inputs]
    return tf.function(run, input_signature=signature)


def _upsampled(compact: np.ndarray):
    return upsample(_to_signal(compact), SCALE)


def _to_signal(image: np.ndarray):
    return ops.convert_to_tensor(image[None].astype(np.float32) / 127.5 - 1.0)


def _to_numpy(tensor) -> np.ndarray:
    return ops.convert_to_numpy(tensor)


def _to_pixels(signal: np.ndarray) -> np.ndarray:
    return np.clip(np.floor((signal[0] + 1.0) * 127.5 + 0.5), 0, 255).astype(np.uint8)
