"""Encoder of one picture, which chooses among the forms of its stream."""

import math
from collections.abc import Sequence

import numpy as np

from smapcomp import metrics
from smapcomp.codec.coders.jxl import is_synthetic
from smapcomp.codec.layer_settings import LayerSettings
from smapcomp.codec.layered_encoder import LayeredEncoder

EXACTNESS_BYTES = 64
"""Bytes, besides half of those of the lossy stream, that a graphic may take for being exact."""

LARGEST_GAIN = 1.0
"""PSNR in dB by which the networks may improve on an up-sampled picture without coding errors. The
gain on photographs is at most about 1 dB."""

SMALLEST_GAIN = 0.02
"""PSNR in dB by which a picture must be better for being preferred to one of higher quality."""


class PictureEncoder:
    """Encodes one picture with any number of settings, in the best form of its stream.

    The forms are the layers as the settings say, those of a lower quality, and the picture itself
    without loss.

    Args:
        layers: Encoder of the picture's layers.
        unfilled: Samples that differ from the picture's in invisible pixels alone, and may take
            fewer bytes without loss.

    Attributes:
        pixels: The picture's samples, uint8 `[height, width, 1 or 3]`.
        visible: Pixels whose alpha is not 0, bool `[height, width]`; `None` if all are visible.
    """

    def __init__(self, layers: LayeredEncoder, unfilled: np.ndarray | None = None):
        self._layers = layers
        self.pixels, self.visible = layers.pixels, layers.visible
        self._originals = [self.pixels] if unfilled is None else [self.pixels, unfilled]
        self._lossless_form: bytes | None = None
        self._synthetic: bool | None = None

    def encode(self, settings: LayerSettings, strict: bool = False) -> bytes:
        """Return the stream.

        If the settings allow it, that is the picture itself, coded without loss, where this takes
        fewer bytes: for many graphics and, if the settings are lossless, for most photographs.
        Graphics may take a few bytes more for being exact, so that more quality never makes a
        picture worse: AV1 itself is not that regular on them.

        Args:
            settings: How the layers are coded.
            strict: Whether the bytes must not exceed those that the settings ask for.
        """
        return self._encode_or_exact(settings, strict)[0]

    def encode_no_worse(self, settings: LayerSettings, coarser: Sequence[LayerSettings]) -> bytes:
        """Return the stream, or that of coarser settings if these give a better picture.

        On smooth pictures a small compact image of higher quality can be better than a large one of
        low quality, so more quality could make such a picture worse.

        Args:
            settings: How the layers are coded.
            coarser: Settings of lower qualities, with larger compact scales.
        """
        best, is_exact = self._encode_or_exact(settings)
        best_psnr = math.inf if is_exact else self._psnr(self.reconstruction(settings))
        # The smaller the scale, the better the picture can be.
        for other in sorted(coarser, key=lambda settings: settings.compact_scale):
            if best_psnr == math.inf:
                break
            if not self._is_synthetic:
                resampled = self._layers.resampled(other.compact_scale)
                if self._psnr(resampled) + LARGEST_GAIN < best_psnr:
                    break
            data, is_exact = self._encode_or_exact(other)
            psnr = math.inf if is_exact else self._psnr(self.reconstruction(other))
            if psnr >= best_psnr + SMALLEST_GAIN:
                best, best_psnr = data, psnr
        return best

    def reconstruction(self, settings: LayerSettings) -> np.ndarray:
        """Return the picture that the layers decode to, uint8 `[height, width, channels]`."""
        return self._layers.reconstruction(settings)

    def bytes_without_networks(self, settings: LayerSettings) -> int | None:
        """Return the length of the layers' stream without its strength layer.

        Returns:
            `None` if that length depends on the networks.
        """
        return self._layers.bytes_without_networks(settings)

    @property
    def lossless_form(self) -> bytes:
        """Stream of the picture itself, coded without loss and without networks."""
        if self._lossless_form is None:
            self._lossless_form = min(map(self._layers.encode_exactly, self._originals), key=len)
        return self._lossless_form

    def exact_form(self, lowest: LayerSettings, limit: float | None) -> bytes | None:
        """Return the lossless form of a graphic if it is small.

        Args:
            lowest: Settings of the lowest quality.
            limit: Largest number of bytes; `None` for those at the lowest quality.

        Returns:
            `None` if it takes more bytes, the settings do not allow it, or the picture is probably
            no graphic.
        """
        if not lowest.plain_allowed or not self._is_synthetic:
            return None
        exact = self.lossless_form
        return exact if len(exact) <= (limit or len(self._layers.encode(lowest))) else None

    @property
    def _is_synthetic(self) -> bool:
        if self._synthetic is None:
            self._synthetic = any(map(is_synthetic, self._originals))
        return self._synthetic

    def _psnr(self, decoded: np.ndarray) -> float:
        return metrics.psnr(self.pixels, decoded, self.visible)

    def _encode_or_exact(self, settings: LayerSettings, strict: bool = False) -> tuple[bytes, bool]:
        """Return the stream, and whether it is the picture itself, coded without loss."""
        data = self._layers.encode(settings)
        if not settings.plain_allowed or not (settings.lossless or self._is_synthetic):
            return data, settings.lossless
        exact = self.lossless_form
        limit = len(data)
        if not strict and not settings.lossless:
            limit += limit // 2 + EXACTNESS_BYTES
        return (exact, True) if len(exact) <= limit else (data, settings.lossless)
