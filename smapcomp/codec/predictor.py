"""What the networks do for the codec: the compact image, the label map, the prediction.

Encoder and decoder call the same functions on the same 8-bit compact image, which is all that
"matched" means. Under TensorFlow each network is compiled once, for any picture size: a graph made
for one size may round differently from a graph made for another, and a stream would then decode
only in a process with the same history.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from smapcomp.codec.compact import quantise_compact
from smapcomp.codec.stream import Tiling
from smapcomp.codec.tiles import Window, blended_bands, cores
from smapcomp.models.compnet import SCALE
from smapcomp.models.layers import upsample
from smapcomp.zoo import LOSSY_FINENETS, Networks, finenet_role

COMPNET_MIN_SIDE = 32
"""The papers' CompNet reflects three rows of its 1/8 grid; only the encoder has to care."""

Rounder = Callable[[int, np.ndarray], np.ndarray]
"""Rounds a band of predicted values: its first row and float32 `[rows, width, 3]` in grey levels,
which may lie outside 0..255, to uint8."""


@dataclass(frozen=True)
class Compact:
    """What the decoder has of the compact layer.

    Attributes:
        image: uint8 `[h, w, 3]`.
        scale: Pixels of the padded picture along a side of one of its pixels.
        quality: Of its lossy coder, 0..100; None if it is lossless.
    """

    image: np.ndarray
    scale: int
    quality: int | None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the padded picture."""
        return self.image.shape[0] * self.scale, self.image.shape[1] * self.scale

    @property
    def finenet(self) -> str:
        """The role of the FineNet that predicts from it."""
        return finenet_role(self.scale, self.quality is not None)


def plain_rounding(_: int, values: np.ndarray) -> np.ndarray:
    """The nearest of 0..255, halves up."""
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


class Predictor:
    """The networks of a variant, from bytes to bytes.

    Pictures are uint8 `[height, width, 3]`, padded to what the networks need (multiples of 8, at
    least 16). Label grids are uint8 `[height/stride, width/stride]` of 0..150. With a tiling, the
    networks see one window at a time. Threads may share a predictor: each network is loaded once.
    """

    def __init__(self, networks: Networks):
        self.networks = networks
        self.variant = networks.variant
        self._compiled: dict[str, Callable] = {}
        self._compiling = threading.Lock()

    def compact_levels(
        self, image: np.ndarray, grey: bool, tiling: Tiling | None = None
    ) -> np.ndarray:
        """The papers' compact image, CompNet's.

        Args:
            image: Padded picture; a grey one has three equal channels.
            grey: Give one channel, the mean of CompNet's three.
            tiling: In pixels.

        Returns:
            Levels, uint8 `[height/8, width/8, 3]`, or 1 channel.
        """
        height, width, _ = image.shape

        cells = tiling and Tiling(tiling.side // SCALE, tiling.overlap // SCALE)

        def find(cell_window: Window) -> np.ndarray:
            window = Window(*(SCALE * edge for edge in cell_window))
            return self._compact_values(window.of(image), grey)

        bands = blended_bands(height // SCALE, width // SCALE, cells, find)
        return np.concatenate([quantise_compact(band, self.variant.step) for _, band in bands])

    def _compact_values(self, image: np.ndarray, grey: bool) -> np.ndarray:
        height, width, _ = image.shape
        rows, columns = (max(0, COMPNET_MIN_SIDE - side) for side in (height, width))
        signal = _to_signal(np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge"))
        labels = self._full_size(self._segment(signal))
        compact = self._run("compnet", signal, labels)
        values = (_to_numpy(compact)[0, : height // SCALE, : width // SCALE] + 1.0) * 127.5
        return values.mean(axis=-1, keepdims=True) if grey else values

    def source_labels(self, image: np.ndarray, tiling: Tiling | None = None) -> np.ndarray:
        """The label grid of the picture itself, which mode `sent` transmits."""
        height, width, _ = image.shape
        grid = self._empty_grid(height, width)
        for window, core in cores(height, width, tiling):
            self._keep(grid, self._segment(_to_signal(window.of(image))), window, core)
        return grid

    def view(
        self,
        compact: Compact,
        mode: str,
        labels: np.ndarray | None = None,
        tiling: Tiling | None = None,
        rounder: Rounder = plain_rounding,
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """What the decoder makes of a compact image.

        Args:
            compact: The decoder's compact image.
            mode: "none": no labels; "sent": those given; "matched": the segmenter's of the
                up-sampled compact image; "mapped": these, repaired by SMapNet.
            labels: Label grid; if it is given it is used in every mode but "none".
            tiling: In pixels.
            rounder: Rounds the prediction.

        Returns:
            `(labels, prediction)`: the label grid, None in mode "none", and the prediction of the
            padded picture, uint8 `[height, width, 3]`.
        """
        height, width = compact.shape
        grid = None if mode == "none" else self._empty_grid(height, width)
        parts = dict(cores(height, width, tiling))

        def find(window: Window) -> np.ndarray:
            signal = upsampled_signal(window.of(compact.image, compact.scale), compact.scale)
            seen = None
            if labels is not None and grid is not None:
                seen = window.of(labels, self.variant.label_stride)
            elif grid is not None:
                seen = self._segment(signal, repair=mode == "mapped")
            if grid is not None:
                self._keep(grid, seen, window, parts[window])
            return self._predict(signal, seen, compact)

        prediction = np.empty((height, width, 3), np.uint8)
        for top, band in blended_bands(height, width, tiling, find):
            prediction[top : top + len(band)] = rounder(top, band)
        return grid, prediction

    def upsampled(self, compact: Compact, tiling: Tiling | None = None) -> np.ndarray:
        """The up-sampled compact image as a picture, uint8 `[height, width, 3]`."""
        height, width = compact.shape
        pixels = np.empty((height, width, 3), np.uint8)

        def find(window: Window) -> np.ndarray:
            part = window.of(compact.image, compact.scale)
            return _to_levels(_to_numpy(upsampled_signal(part, compact.scale))[0])

        for top, band in blended_bands(height, width, tiling, find):
            pixels[top : top + len(band)] = plain_rounding(top, band)
        return pixels

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

    def _empty_grid(self, height: int, width: int) -> np.ndarray:
        stride = self.variant.label_stride
        return np.empty((height // stride, width // stride), np.uint8)

    def _keep(self, grid: np.ndarray, labels: np.ndarray, window: Window, core: Window) -> None:
        """Copies the core's labels of a window's into the whole grid."""
        stride = self.variant.label_stride
        inner = Window(
            core.top - window.top,
            core.bottom - window.top,
            core.left - window.left,
            core.right - window.left,
        )
        core.of(grid, stride)[:] = inner.of(labels, stride)

    def _run(self, role: str, *inputs):
        with self._compiling:
            if role not in self._compiled:
                lossy = role in LOSSY_FINENETS
                networks = self.networks
                network = networks.lossy_finenet(role) if lossy else getattr(networks, role)
                self._compiled[role] = _compile(network)
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
