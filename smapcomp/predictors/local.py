"""Base class of the predictors that run the networks in this process."""

import threading
from abc import abstractmethod
from functools import partial
from typing import Any

import numpy as np

from smapcomp.design import COMPNET_SCALE, NUM_CLASSES
from smapcomp.errors import SmapcompError
from smapcomp.models.known_answers import is_reproduced
from smapcomp.predictors.base import Compact, TiledPredictor
from smapcomp.zoo import LOSSY_FINENETS, Networks, smapnet_representation

COMPNET_MIN_SIDE = 32
"""Shortest side of a picture that the papers' CompNet takes, in pixels: its last layer reflects
three rows of the 1/8 grid. Only the encoder runs CompNet."""


class LocalPredictor(TiledPredictor):
    """Predictor that runs the networks in this process with an engine.

    A subclass for an engine says how a network is loaded and run. Several threads may share a
    predictor. A network that is exact is compared with the reference when it is loaded.

    Args:
        networks: Networks of any variant.

    Attributes:
        networks: The same.
        variant: Variant of the networks.
        engine: Name of the engine.
    """

    engine: str

    def __init__(self, networks: Networks):
        self.networks = networks
        self.variant = networks.variant
        self._forget_networks()

    def _forget_networks(self) -> None:
        """Start without loaded networks, and with a lock that nobody holds."""
        self._loaded: dict[str, Any] = {}
        self._lock = threading.RLock()

    @abstractmethod
    def _load_network(self, role: str) -> Any:
        """Return the engine's object that runs the network of one of `zoo.ROLES`."""

    @abstractmethod
    def _run(self, role: str, *inputs: np.ndarray) -> np.ndarray:
        """Run a network.

        Args:
            role: One of `zoo.ROLES`.
            inputs: Inputs in the order of the Keras model's, each a batch of one picture.

        Returns:
            The network's output, a batch of one.
        """

    @abstractmethod
    def _smapnet_channels(self) -> int:
        """Return the number of channels of SMapNet's input."""

    def _network(self, role: str) -> Any:
        """Return the result of `_load_network`, which is called once for each role.

        Raises:
            SmapcompError: There are no such weights, or the network is exact and the engine does
                not compute it exactly.
        """
        with self._lock:
            if role not in self._loaded:
                self._loaded[role] = self._load_network(role)
                self._check_arithmetic(role)
            return self._loaded[role]

    def _check_arithmetic(self, role: str) -> None:
        stored = self.networks.exact_weights(role)
        if stored is not None and not is_reproduced(role, stored, partial(self._run, role)):
            del self._loaded[role]
            raise SmapcompError(
                f"{self.engine} does not compute {role} exactly on this device; another engine may"
            )

    @property
    def finenets(self) -> tuple[str, ...]:
        return self.networks.finenets

    def is_exact(self, finenet: str) -> bool:
        return all(map(self.networks.is_exact, (finenet, "segmenter", "smapnet")))

    def model_digest(self, finenet: str) -> bytes:
        return self.networks.digest(finenet)

    def run_compnet(self, image: np.ndarray) -> np.ndarray:
        height, width, _ = image.shape
        rows, columns = (max(0, COMPNET_MIN_SIDE - side) for side in (height, width))
        signal = to_signal(np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge"))
        labels = self._label_map(self._segment(signal))
        compact = self._run("compnet", signal, labels)
        return _to_grey_levels(compact[0, : height // COMPNET_SCALE, : width // COMPNET_SCALE])

    def segment(self, image: np.ndarray) -> np.ndarray:
        return self._segment(to_signal(image))

    def decoder_labels(self, image: np.ndarray, scale: int) -> np.ndarray:
        """Return the label grid that a decoder finds in a compact image in mode "mapped".

        Args:
            image: Compact image, uint8 `[h, w, 3]`; `h * scale` and `w * scale` are multiples of 8.
            scale: Scale of the compact image.

        Returns:
            uint8 `[h * scale / label_stride, w * scale / label_stride]` in 1..150.
        """
        return self._segment(upsample_signal(to_signal(image), scale), repair=True)

    def predict_window(
        self, compact: Compact, mode: str, labels: np.ndarray | None, unrounded: bool
    ) -> tuple[np.ndarray | None, np.ndarray]:
        signal = upsample_signal(to_signal(compact.image), compact.scale)
        if mode == "none":
            labels = None
        elif labels is None:
            labels = self._segment(signal, repair=mode == "mapped")
        return labels, self._predict(signal, labels, compact)

    def upsample(self, image: np.ndarray, scale: int) -> np.ndarray:
        return _to_grey_levels(upsample_signal(to_signal(image), scale)[0])

    def _predict(
        self, signal: np.ndarray, labels: np.ndarray | None, compact: Compact
    ) -> np.ndarray:
        """Return the prediction in grey levels, float32 `[height, width, 3]`, not clipped."""
        if labels is None:
            label_map = np.zeros(signal.shape[:3], np.int32)
        else:
            label_map = self._label_map(labels)
        inputs = [signal, label_map]
        if compact.finenet in LOSSY_FINENETS:
            # A lossless compact image is the limit of the finest quality.
            quality = 100 if compact.quality is None else compact.quality
            inputs.append(np.array([1 - quality / 100], np.float32))
        values = _to_grey_levels((signal + self._run(compact.finenet, *inputs))[0])
        return exact_grey_levels(values) if self.networks.is_exact(compact.finenet) else values

    def _segment(self, signal: np.ndarray, repair: bool = False) -> np.ndarray:
        logits = self._run("segmenter", signal)
        # SMapNet's weights tell its representation, whatever the variant's default is.
        channels = self._smapnet_channels() if repair else 0
        representation = smapnet_representation(channels) if repair else None
        if representation == "classes":
            logits = self._run("smapnet", logits)
        labels = np.argmax(logits, axis=-1) + 1
        if channels is not None and representation == "index":
            labels = self._repair_index(labels, channels)
        return labels[0].astype(np.uint8)

    def _repair_index(self, labels: np.ndarray, channels: int) -> np.ndarray:
        """Run SMapNet on the labels as a picture in [0, 1] (docs/spec.md, section 2)."""
        index = np.repeat(labels[..., None], channels, axis=-1).astype(np.float32) / 255
        mapped = self._run("smapnet", index).mean(axis=-1)
        return np.clip(np.round(mapped * 255), 0, NUM_CLASSES)

    def _label_map(self, grid: np.ndarray) -> np.ndarray:
        """Return the label map of a label grid as a batch of one, int32."""
        return self.variant.label_map(grid.astype(np.int32))[None]


def to_signal(image: np.ndarray) -> np.ndarray:
    """Map uint8 `[h, w, 3]` to the networks' float32 `[1, h, w, 3]` in [-1, 1]."""
    return image[None].astype(np.float32) / 127.5 - 1.0


def upsample_signal(signal: np.ndarray, scale: int) -> np.ndarray:
    """Up-sample by bilinear interpolation between pixel centres.

    The result equals that of `smapcomp.models.layers.upsample` bit for bit, without a framework:
    columns are blended before rows, as TensorFlow does it.

    Args:
        signal: float32 `[1, h, w, c]`.
        scale: Factor of both sides.

    Returns:
        float32 `[1, h * scale, w * scale, c]`.
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
    """Return, for each sample of the longer axis, its two neighbours and its place between them."""
    at = (np.arange(size * scale, dtype=np.float32) + np.float32(0.5)) / scale - np.float32(0.5)
    before = np.floor(at)
    low = np.maximum(before, 0).astype(int)
    high = np.minimum(np.ceil(at), size - 1).astype(int)
    return low, high, (at - before).astype(np.float32)


def exact_grey_levels(values: np.ndarray) -> np.ndarray:
    """Return the grey levels that an exact FineNet stands for, of their float32 approximation.

    Exact predictions are multiples of 1/256: the up-sampled picture is (1/16 for the interpolation
    in each direction), and so is the detail. The approximation is closer than 1/2000.

    Args:
        values: float32, any shape.
    """
    return np.round(values * 256) / 256


def _to_grey_levels(signal: np.ndarray) -> np.ndarray:
    """Map a signal to grey levels: -1 to 0 and 1 to 255."""
    return (signal + 1.0) * 127.5
