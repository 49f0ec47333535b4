"""What the networks do for the codec, window by window, wherever the networks run.

Encoder and decoder call the same functions on the same 8-bit compact image, which is all that
"matched" means. Nothing here needs Keras: the networks of this process are `predictor.Predictor`,
those of a server `serving.RemotePredictor`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from smapcomp.design import COMPNET_SCALE, Tiling, quantise_compact
from smapcomp.predictors.tiles import Window, blended_bands, cores
from smapcomp.zoo import Variant, finenet_role

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

    def window(self, window: Window) -> "Compact":
        """The part of a window, which is in pixels of the padded picture."""
        return replace(self, image=window.of(self.image, self.scale))


def plain_rounding(_: int, values: np.ndarray) -> np.ndarray:
    """The nearest of 0..255, halves up."""
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


class TiledPredictor(ABC):
    """The networks of a variant, from bytes to bytes.

    Pictures are uint8 `[height, width, 3]`, padded to what the networks need (multiples of 8, at
    least 16). Label grids are uint8 `[height/stride, width/stride]` of 0..150. With a tiling, the
    networks see one window at a time.

    Attributes:
        variant: Of the networks.
    """

    variant: Variant

    @abstractmethod
    def model_digest(self, finenet: str) -> bytes:
        """`zoo.Networks.digest` of the networks, for the role of a FineNet."""

    @abstractmethod
    def run_compnet(self, image: np.ndarray) -> np.ndarray:
        """CompNet's image of a window, float32 `[height/8, width/8, 3]` in grey levels."""

    @abstractmethod
    def segment(self, image: np.ndarray) -> np.ndarray:
        """The segmenter's label grid of a window."""

    @abstractmethod
    def predict_window(
        self, compact: Compact, mode: str, labels: np.ndarray | None, exact: bool
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """What the decoder makes of a window.

        Args:
            compact: Of the window.
            mode: As `view` takes it.
            labels: The window's part of the label grid that is given, or None.
            exact: The values are needed, not only what they round to.

        Returns:
            `(labels, values)`: the label grid, None in mode "none", and the prediction, float32
            `[height, width, 3]` in grey levels; if it is not exact, its values may be rounded as
            `plain_rounding` does.
        """

    @abstractmethod
    def upsample(self, image: np.ndarray, scale: int) -> np.ndarray:
        """A window of the compact image up-sampled, float32 `[height, width, 3]` in grey levels."""

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
        scale = COMPNET_SCALE
        cells = tiling and Tiling(tiling.side // scale, tiling.overlap // scale)

        def find(cell_window: Window) -> np.ndarray:
            window = Window(*(scale * edge for edge in cell_window))
            values = self.run_compnet(window.of(image))
            return values.mean(axis=-1, keepdims=True) if grey else values

        bands = blended_bands(height // scale, width // scale, cells, find)
        return np.concatenate([quantise_compact(band, self.variant.step) for _, band in bands])

    def source_labels(self, image: np.ndarray, tiling: Tiling | None = None) -> np.ndarray:
        """The label grid of the picture itself, which mode `sent` transmits."""
        height, width, _ = image.shape
        grid = self._empty_grid(height, width)
        for window, core in cores(height, width, tiling):
            self._keep(grid, self.segment(window.of(image)), window, core)
        return grid

    def predict(
        self,
        compact: Compact,
        mode: str,
        labels: np.ndarray | None = None,
        tiling: Tiling | None = None,
        rounder: Rounder | None = None,
        before_band: Callable[[], None] | None = None,
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """What the decoder makes of a compact image.

        Args:
            compact: The decoder's compact image.
            mode: "none": no labels; "sent": those given; "matched": the segmenter's of the
                up-sampled compact image; "mapped": these, repaired by SMapNet.
            labels: Label grid; if it is given it is used in every mode but "none".
            tiling: In pixels.
            rounder: Rounds the prediction; `plain_rounding` by default.
            before_band: Called before each band is rounded; what it raises ends the work.

        Returns:
            `(labels, prediction)`: the label grid, None in mode "none", and the prediction of the
            padded picture, uint8 `[height, width, 3]`.
        """
        height, width = compact.shape
        grid = None if mode == "none" else self._empty_grid(height, width)
        parts = dict(cores(height, width, tiling))
        exact = tiling is not None or rounder is not None

        def find(window: Window) -> np.ndarray:
            given = None
            if labels is not None and grid is not None:
                given = window.of(labels, self.variant.label_stride)
            seen, values = self.predict_window(compact.window(window), mode, given, exact)
            if grid is not None:
                self._keep(grid, seen, window, parts[window])
            return values

        rounder = rounder or plain_rounding
        prediction = np.empty((height, width, 3), np.uint8)
        for top, band in blended_bands(height, width, tiling, find):
            if before_band is not None:
                before_band()
            prediction[top : top + len(band)] = rounder(top, band)
        return grid, prediction

    def upsampled(self, compact: Compact, tiling: Tiling | None = None) -> np.ndarray:
        """The up-sampled compact image as a picture, uint8 `[height, width, 3]`."""
        height, width = compact.shape
        pixels = np.empty((height, width, 3), np.uint8)

        def find(window: Window) -> np.ndarray:
            return self.upsample(compact.window(window).image, compact.scale)

        for top, band in blended_bands(height, width, tiling, find):
            pixels[top : top + len(band)] = plain_rounding(top, band)
        return pixels

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
