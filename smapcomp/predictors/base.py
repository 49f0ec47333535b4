"""Interface between the codec and the networks, whatever runs them.

Encoder and decoder call the same `TiledPredictor.predict` on the same 8-bit compact image, so both
get the same label map and the same prediction:

    encoder only:
        picture ─ segmenter ─> labels, which mode "sent" transmits
        picture, labels ─ CompNet ─> compact image
    encoder and decoder:
        compact image ─ up-sampling ─┬────────────────────────────────── + ─ rounding ─> prediction
                                     ├──────────────────────── FineNet ──┘
                                     └─ segmenter ─ SMapNet ──────┘

A large picture goes through the networks window by window (`smapcomp.predictors.tiles`). This
module needs NumPy alone. `KerasPredictor` and `OnnxPredictor` run the networks in this process,
`smapcomp.serving.client.remote_predictor.RemotePredictor` on a server.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from smapcomp.design import COMPNET_SCALE, Tiling, quantise_compact
from smapcomp.predictors.tiles import Window, blended_bands, windows_with_cores
from smapcomp.zoo import FINENETS, Variant, finenet_role


@dataclass(frozen=True)
class Compact:
    """Decoded compact image, and what the networks must know about it.

    Attributes:
        image: uint8 `[h, w, 3]`.
        scale: Side, in pixels of the padded picture, of the block that one of its pixels stands
            for; one of `SCALES`.
        quality: Quality of the lossy coder, 0..100. `None` if the coder is lossless.
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
        """Role of the FineNet that predicts from this image."""
        return finenet_role(self.scale, self.quality is not None)

    def crop(self, window: Window) -> "Compact":
        """Return the part in a window, which is in pixels of the padded picture."""
        return replace(self, image=window.crop(self.image, self.scale))


def round_to_uint8(values: np.ndarray) -> np.ndarray:
    """Round float32 grey levels of any shape to the nearest of 0..255, halves up."""
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


class TiledPredictor(ABC):
    """Base class of what runs the networks of a variant.

    Pictures are uint8 `[height, width, 3]`, padded to what the networks need (multiples of 8, at
    least 16). Label grids are uint8 `[height/stride, width/stride]` in 0..150, where stride is the
    variant's `label_stride`. Tilings are in pixels of the padded picture; `None` runs the networks
    on the whole picture at once.

    A subclass implements the abstract methods, each of which handles one window.

    Attributes:
        variant: Variant of the networks.
    """

    variant: Variant

    @property
    def finenets(self) -> tuple[str, ...]:
        """Roles of the FineNets that it can run, in the order of `zoo.FINENETS`."""
        return FINENETS

    @abstractmethod
    def is_exact(self, finenet: str) -> bool:
        """Return whether every machine computes the same prediction with a FineNet."""

    @abstractmethod
    def model_digest(self, finenet: str) -> bytes:
        """Return `zoo.Networks.digest` for the role of a FineNet."""

    @abstractmethod
    def run_compnet(self, image: np.ndarray) -> np.ndarray:
        """Return CompNet's image of a window, float32 `[height/8, width/8, 3]` in grey levels."""

    @abstractmethod
    def segment(self, image: np.ndarray) -> np.ndarray:
        """Return the segmenter's label grid of a window."""

    @abstractmethod
    def predict_window(
        self, compact: Compact, mode: str, labels: np.ndarray | None, unrounded: bool
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Compute label grid and prediction of a window from its compact image.

        Args:
            compact: Compact image of the window.
            mode: Source of the labels, as `predict` takes it.
            labels: Label grid of the window to use instead, or `None`.
            unrounded: Whether the values must not be rounded.

        Returns:
            `(labels, values)`: the label grid, `None` in mode "none", and the prediction, float32
            `[height, width, 3]` in grey levels, not clipped. Unless `unrounded` is true the values
            may be rounded already, as by `round_to_uint8`.
        """

    @abstractmethod
    def upsample(self, image: np.ndarray, scale: int) -> np.ndarray:
        """Up-sample a window of the compact image.

        Args:
            image: uint8 `[height/scale, width/scale, 3]`.
            scale: Scale of the compact image.

        Returns:
            float32 `[height, width, 3]` in grey levels.
        """

    def compact_levels(
        self, image: np.ndarray, grey: bool, tiling: Tiling | None = None
    ) -> np.ndarray:
        """Compute CompNet's compact image of a picture.

        Args:
            image: Padded picture; a grey one has three equal channels.
            grey: Whether to return one channel, the mean of CompNet's three.
            tiling: Tiling of the picture.

        Returns:
            Quantised levels, uint8 `[height/8, width/8, 3]`, or one channel.
        """
        height, width, _ = image.shape
        scale = COMPNET_SCALE
        cells = tiling and Tiling(tiling.side // scale, tiling.overlap // scale)

        def run(cell_window: Window) -> np.ndarray:
            window = Window(*(scale * edge for edge in cell_window))
            values = self.run_compnet(window.crop(image))
            return values.mean(axis=-1, keepdims=True) if grey else values

        bands = blended_bands(height // scale, width // scale, cells, run)
        return np.concatenate([quantise_compact(band, self.variant.step) for _, band in bands])

    def source_labels(self, image: np.ndarray, tiling: Tiling | None = None) -> np.ndarray:
        """Return the label grid of the original picture, which mode "sent" transmits."""
        height, width, _ = image.shape
        grid = self._empty_grid(height, width)
        for window, core in windows_with_cores(height, width, tiling):
            self._copy_core(grid, self.segment(window.crop(image)), window, core)
        return grid

    def predict(
        self,
        compact: Compact,
        mode: str,
        labels: np.ndarray | None = None,
        tiling: Tiling | None = None,
        before_band: Callable[[], None] | None = None,
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Compute label grid and prediction of a picture from its compact image.

        Args:
            compact: Decoded compact image of the picture.
            mode: Source of the labels, one of `design.MODES`. "none": no labels. "sent":
                `labels`. "matched": the segmenter, on the up-sampled compact image. "mapped": the
                same, repaired by SMapNet.
            labels: Label grid. If it is given, every mode but "none" uses it.
            tiling: Tiling of the picture.
            before_band: Called before each band is rounded. An exception in it ends the work.

        Returns:
            `(labels, prediction)`: the label grid, `None` in mode "none", and the prediction of the
            padded picture, uint8 `[height, width, 3]`.
        """
        height, width = compact.shape
        grid = None if mode == "none" else self._empty_grid(height, width)
        cores = dict(windows_with_cores(height, width, tiling))
        unrounded = tiling is not None

        def run(window: Window) -> np.ndarray:
            known = None
            if labels is not None and grid is not None:
                known = window.crop(labels, self.variant.label_stride)
            found, values = self.predict_window(compact.crop(window), mode, known, unrounded)
            if grid is not None and found is not None:
                self._copy_core(grid, found, window, cores[window])
            return values

        prediction = np.empty((height, width, 3), np.uint8)
        for top, band in blended_bands(height, width, tiling, run):
            if before_band is not None:
                before_band()
            prediction[top : top + len(band)] = round_to_uint8(band)
        return grid, prediction

    def upsampled_picture(self, compact: Compact, tiling: Tiling | None = None) -> np.ndarray:
        """Return the up-sampled compact image, uint8 `[height, width, 3]`."""
        height, width = compact.shape
        pixels = np.empty((height, width, 3), np.uint8)

        def run(window: Window) -> np.ndarray:
            return self.upsample(compact.crop(window).image, compact.scale)

        for top, band in blended_bands(height, width, tiling, run):
            pixels[top : top + len(band)] = round_to_uint8(band)
        return pixels

    def _empty_grid(self, height: int, width: int) -> np.ndarray:
        stride = self.variant.label_stride
        return np.empty((height // stride, width // stride), np.uint8)

    def _copy_core(
        self, grid: np.ndarray, labels: np.ndarray, window: Window, core: Window
    ) -> None:
        """Copy the labels of a window's core into the grid of the picture."""
        stride = self.variant.label_stride
        inner = Window(
            core.top - window.top,
            core.bottom - window.top,
            core.left - window.left,
            core.right - window.left,
        )
        core.crop(grid, stride)[:] = inner.crop(labels, stride)
