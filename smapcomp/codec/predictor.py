"""The networks of this process.

Under TensorFlow each network is compiled once, for any picture size: a graph made for one size may
round differently from a graph made for another, and a stream would then decode only in a process
with the same history.
"""

import threading
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from smapcomp.codec.tiled_predictor import Compact, TiledPredictor
from smapcomp.models.compnet import SCALE
from smapcomp.models.layers import upsample
from smapcomp.zoo import LOSSY_FINENETS, Networks

COMPNET_MIN_SIDE = 32
"""The papers' CompNet reflects three rows of its 1/8 grid; only the encoder has to care."""


class Predictor(TiledPredictor):
    """As `TiledPredictor`, by Keras in this process.

    Threads may share one: each network is compiled once.

    Args:
        networks: Of any variant.
    """

    def __init__(self, networks: Networks):
        self.networks = networks
        self.variant = networks.variant
        self._compiled: dict[str, Callable] = {}
        self._compiling = threading.Lock()

    def model_digest(self, finenet: str) -> bytes:
        return self.networks.digest(finenet)

    def compact_of(self, image: np.ndarray) -> np.ndarray:
        height, width, _ = image.shape
        rows, columns = (max(0, COMPNET_MIN_SIDE - side) for side in (height, width))
        signal = _to_signal(np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge"))
        labels = self._full_size(self._segment(signal))
        compact = self._run("compnet", signal, labels)
        return _to_levels(_to_numpy(compact)[0, : height // SCALE, : width // SCALE])

    def labels_of(self, image: np.ndarray) -> np.ndarray:
        return self._segment(_to_signal(image))

    def prediction_of(
        self, compact: Compact, mode: str, labels: np.ndarray | None, exact: bool
    ) -> tuple[np.ndarray | None, np.ndarray]:
        signal = upsampled_signal(compact.image, compact.scale)
        if mode == "none":
            labels = None
        elif labels is None:
            labels = self._segment(signal, repair=mode == "mapped")
        return labels, self._predict(signal, labels, compact)

    def upsampling_of(self, image: np.ndarray, scale: int) -> np.ndarray:
        return _to_levels(_to_numpy(upsampled_signal(image, scale))[0])

    def _predict(self, signal, labels: np.ndarray | None, compact: Compact) -> np.ndarray:
        """Values in grey levels, float32 `[height, width, 3]`, not yet clipped."""
        _, height, width, _ = signal.shape
        void = labels is None
        full = ops.zeros((1, height, width), "int32") if void else self._full_size(labels)
        inputs = [signal, full]
        if compact.finenet in LOSSY_FINENETS:
            # A lossless compact image is the limit of the finest quality.
            quality = 100 if compact.quality is None else compact.quality
            inputs.append(ops.convert_to_tensor(np.array([1 - quality / 100], np.float32)))
        detail = self._run(compact.finenet, *inputs)
        return _to_levels(_to_numpy(signal)[0] + _to_numpy(detail)[0])

    def _run(self, role: str, *inputs):
        with self._compiling:
            if role not in self._compiled:
                self._compiled[role] = compiled(self.networks, role)
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


def compiled(networks: Networks, role: str) -> Callable:
    """A network as a function of its inputs, for batches of one picture of any size."""
    lossy = role in LOSSY_FINENETS
    model = networks.lossy_finenet(role) if lossy else getattr(networks, role)

    def run(*inputs):
        return model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

    if keras.backend.backend() != "tensorflow":
        return run
    import tensorflow as tf

    signature = [tf.TensorSpec((1, *x.shape[1:]), x.dtype) for x in model.inputs]
    return tf.function(run, input_signature=signature)


def upsampled_signal(compact: np.ndarray, scale: int):
    """Up-samples uint8 `[h, w, 3]` to a signal, float32 `[1, h*scale, w*scale, 3]` in [-1, 1]."""
    signal = _to_signal(compact)
    return signal if scale == 1 else upsample(signal, scale)


def _to_signal(image: np.ndarray):
    return ops.convert_to_tensor(image[None].astype(np.float32) / 127.5 - 1.0)


def _to_numpy(tensor) -> np.ndarray:
    return ops.convert_to_numpy(tensor)


def _to_levels(signal: np.ndarray) -> np.ndarray:
    """Grey levels of a signal: -1 is 0, 1 is 255."""
    return (signal + 1.0) * 127.5
