"""What the networks of this process do, whatever runs them."""

import threading
from abc import abstractmethod
from typing import Any

import numpy as np

from smapcomp.design import COMPNET_SCALE, NUM_CLASSES
from smapcomp.predictors.base import Compact, TiledPredictor
from smapcomp.zoo import LOSSY_FINENETS, Networks

COMPNET_MIN_SIDE = 32
"""The papers' CompNet reflects three rows of its 1/8 grid; only the encoder has to care."""


class LocalPredictor(TiledPredictor):
    """As `TiledPredictor`, by networks of this process; an engine says how one is run.

    Threads may share one: each network is made ready once.

    Args:
        networks: Of any variant.
    """

    def __init__(self, networks: Networks):
        self.networks = networks
        self.variant = networks.variant
        self._ready: dict[str, Any] = {}
        self._making_ready = threading.Lock()

    @abstractmethod
    def _load_network(self, role: str) -> Any:
        """What runs the network of one of `zoo.ROLES`; the engine says what that is."""

    def _network(self, role: str) -> Any:
        """What `_load_network` gave, which is asked once."""
        with self._making_ready:
            if role not in self._ready:
                self._ready[role] = self._load_network(role)
            return self._ready[role]

    @abstractmethod
    def _run(self, role: str, *inputs: np.ndarray) -> np.ndarray:
        """A network's output.

        Args:
            role: One of `zoo.ROLES`.
            inputs: In the order of the model's, each of a batch of one picture.
        """

    @abstractmethod
    def _smapnet_channels(self) -> int:
        """Channels of SMapNet's input."""

    def model_digest(self, finenet: str) -> bytes:
        return self.networks.digest(finenet)

    def run_compnet(self, image: np.ndarray) -> np.ndarray:
        height, width, _ = image.shape
        rows, columns = (max(0, COMPNET_MIN_SIDE - side) for side in (height, width))
        signal = to_signal(np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge"))
        labels = self._full_size(self._segment(signal))
        compact = self._run("compnet", signal, labels)
        return _to_levels(compact[0, : height // COMPNET_SCALE, : width // COMPNET_SCALE])

    def segment(self, image: np.ndarray) -> np.ndarray:
        return self._segment(to_signal(image))

    def found_labels(self, image: np.ndarray, scale: int) -> np.ndarray:
        """The label grid that a decoder finds in a compact image, mode `mapped`.

        Args:
            image: uint8 `[h, w, 3]`; up-sampled, its sides are multiples of 8.
            scale: That it is up-sampled by.

        Returns:
            uint8 `[h * scale / label_stride, w * scale / label_stride]` of 1..150.
        """
        return self._segment(upsampled(to_signal(image), scale), repair=True)

    def predict_window(
        self, compact: Compact, mode: str, labels: np.ndarray | None, exact: bool
    ) -> tuple[np.ndarray | None, np.ndarray]:
        signal = upsampled(to_signal(compact.image), compact.scale)
        if mode == "none":
            labels = None
        elif labels is None:
            labels = self._segment(signal, repair=mode == "mapped")
        return labels, self._predict(signal, labels, compact)

    def upsample(self, image: np.ndarray, scale: int) -> np.ndarray:
        return _to_levels(upsampled(to_signal(image), scale)[0])

    def _predict(self, signal: np.ndarray, labels, compact: Compact) -> np.ndarray:
        """Values in grey levels, float32 `[height, width, 3]`, not yet clipped."""
        void = labels is None
        full = np.zeros(signal.shape[:3], np.int32) if void else self._full_size(labels)
        inputs = [signal, full]
        if compact.finenet in LOSSY_FINENETS:
            # A lossless compact image is the limit of the finest quality.
            quality = 100 if compact.quality is None else compact.quality
            inputs.append(np.array([1 - quality / 100], np.float32))
        return _to_levels((signal + self._run(compact.finenet, *inputs))[0])

    def _segment(self, signal: np.ndarray, repair: bool = False) -> np.ndarray:
        logits = self._run("segmenter", signal)
        if repair and self.variant.representation == "classes":
            logits = self._run("smapnet", logits)
        labels = np.argmax(logits, axis=-1) + 1
        if repair and self.variant.representation == "index":
            labels = self._repair_index(labels)
        return labels[0].astype(np.uint8)

    def _repair_index(self, labels: np.ndarray) -> np.ndarray:
        """SMapNet on the label index as a picture in [0, 1] (SPEC section 2)."""
        channels = self._smapnet_channels()
        index = np.repeat(labels[..., None], channels, axis=-1).astype(np.float32) / 255
        mapped = self._run("smapnet", index).mean(axis=-1)
        return np.clip(np.round(mapped * 255), 0, NUM_CLASSES)

    def _full_size(self, labels: np.ndarray) -> np.ndarray:
        return self.variant.full_size(labels.astype(np.int32))[None]


def to_signal(image: np.ndarray) -> np.ndarray:
    """uint8 `[h, w, 3]` to float32 `[1, h, w, 3]` in [-1, 1]."""
    return image[None].astype(np.float32) / 127.5 - 1.0


def upsampled(signal: np.ndarray, scale: int) -> np.ndarray:
    """`models.layers.upsample` of float32 `[1, h, w, c]`, to the bit, without a framework.

    Columns are blended before rows, as TensorFlow does it.
    """
    if scale == 1:
        return signal
    left, right, share = _neighbours(signal.shape[2], scale)
    share = share[:, None]
    wide = signal[:, :, left] + (signal[:, :, right] - signal[:, :, left]) * share
    top, bottom, share = _neighbours(signal.shape[1], scale)
    share = share[:, None, None]
    return wide[:, top] + (wide[:, bottom] - wide[:, top]) * share


def _neighbours(size: int, scale: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each sample of the larger axis both samples that it lies between, and where."""
    at = (np.arange(size * scale, dtype=np.float32) + np.float32(0.5)) / scale - np.float32(0.5)
    before = np.floor(at)
    low = np.maximum(before, 0).astype(int)
    high = np.minimum(np.ceil(at), size - 1).astype(int)
    return low, high, (at - before).astype(np.float32)


def _to_levels(signal: np.ndarray) -> np.ndarray:
    """Grey levels of a signal: -1 is 0, 1 is 255."""
    return (signal + 1.0) * 127.5
