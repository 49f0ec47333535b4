"""Search for the settings that give a size or a distortion.

The qualities 0..100 are a ladder. A bracketing search finds the two qualities around the target;
then the upper one is made coarser by the fine step (`LayerSettings.coarser`) until it fits. For a
target in bytes without a residual no network runs; if the compact layer stays the same they run
once, else once for each compact image that is tried.
"""

import math
from collections.abc import Callable

import numpy as np

from smapcomp import metrics
from smapcomp.codec.bitstream.stream import MAX_GAIN
from smapcomp.codec.encoder import PictureEncoder
from smapcomp.codec.layer_settings import LayerSettings
from smapcomp.codec.options import Target
from smapcomp.errors import SmapcompError

RATE_TOLERANCE = 0.02
"""Largest relative shortfall of the bytes of a rate target."""

TOLERANCES = {"psnr": 0.1, "ms_ssim": 0.001}
"""Largest excess over a target of distortion, in dB and in MS-SSIM."""

TOP_QUALITY = 100

# Difference of two neighbouring qualities on the scales of `_scaled`; used for the first guess.
RATE_SLOPE = 0.05
QUALITY_SLOPE = 0.24


def encode_to_target(
    encoder: PictureEncoder, target: Target, settings_at: Callable[[int], LayerSettings]
) -> bytes:
    """Return the stream that meets a target.

    That is the picture itself, coded without loss, if the target is a size that it does not exceed
    and no lossy stream is as large; if a graphic takes no more bytes than at the lowest quality; or
    if a target of distortion is out of reach and it takes no more bytes than the highest quality.
    Arguments and errors are those of `search_settings`.
    """
    lowest = settings_at(0).coarser(MAX_GAIN)
    limit = _limit(target, encoder.pixels)
    exact = encoder.exact_form(lowest, limit)
    if exact is not None:
        return exact
    try:
        settings = search_settings(encoder, target, settings_at)
    except SmapcompError:
        if lowest.plain_allowed:
            highest = len(encoder.encode(settings_at(TOP_QUALITY), strict=True))
            exact = encoder.lossless_form
            if len(exact) <= highest if limit is None else highest < limit >= len(exact):
                return exact
        raise
    return encoder.encode(settings, strict=True)


def _limit(target: Target, pixels: np.ndarray) -> float | None:
    """Return the bytes that a rate target allows; `None` for a target of distortion."""
    if not target.is_rate:
        return None
    height, width, _ = pixels.shape
    return target.value if target.kind == "bytes" else target.value * height * width / 8


def search_settings(
    encoder: PictureEncoder, target: Target, settings_at: Callable[[int], LayerSettings]
) -> LayerSettings:
    """Find the settings that meet a target.

    Args:
        encoder: Encoder of the picture.
        target: Bytes and bits per pixel: at most that, and no less than 2 % below it. PSNR and
            MS-SSIM: at least that, and no more than 0.1 dB or 0.001 above it.
        settings_at: Returns the settings of a quality 0..100.

    Returns:
        The settings, or those that come nearest on the allowed side of the target.

    Raises:
        SmapcompError: The target cannot be reached; the message says what can.
    """
    search = _Search(encoder, target, settings_at)
    settings = search.settings()
    # Layers that depend on the networks are not in the sizes that are searched.
    while target.is_rate and (excess := search.excess(settings)) > 0:
        search.reserve(excess)
        settings = search.settings()
    return settings


class _Search:
    """Search for one target.

    Args:
        encoder: Encoder of the picture.
        target: The target.
        settings_at: Returns the settings of a quality.
    """

    def __init__(self, encoder: PictureEncoder, target: Target, settings_at):
        self.encoder = encoder
        self.target = target
        self.settings_at = settings_at
        height, width, _ = encoder.pixels.shape
        self.pixels = height * width
        if target.kind == "ms_ssim" and min(height, width) < metrics.MS_SSIM_MIN_SIDE:
            raise SmapcompError(
                f"target_ms_ssim for a picture of {width}x{height} pixels; "
                f"both sides must have at least {metrics.MS_SSIM_MIN_SIDE}"
            )
        self._measured: dict[LayerSettings, float] = {}
        self._reserved_bytes = 0

    def excess(self, settings: LayerSettings) -> int:
        """Return the bytes by which the stream with these settings exceeds a rate target."""
        limit = _limit(self.target, self.encoder.pixels)
        assert limit is not None, "the target is a size"
        return math.ceil(len(self.encoder.encode(settings, strict=True)) - limit)

    def reserve(self, size: int) -> None:
        """Reserve bytes for layers that the sizes of `bytes_without_networks` do not include."""
        self._reserved_bytes += size
        self._measured.clear()

    def settings(self) -> LayerSettings:
        """Return the settings that meet the target, or come nearest on its allowed side."""
        quality = self._lowest_quality_above()
        start = self.settings_at(quality)
        if (
            quality
            and self.target.is_rate
            and self._is_within_tolerance(self.settings_at(quality - 1))
        ):
            return self.settings_at(quality - 1)
        if self._is_within_tolerance(start):
            return start
        coarsest = self._coarsened(start)
        candidates = [s for s, value in self._measured.items() if self._allowed(value)]
        # Between two qualities of different compact scale there may be no values.
        if not candidates or (coarsest is None and not quality):
            raise self._out_of_reach()
        nearest = max if self.target.is_rate else min
        return nearest(candidates, key=self._measured.__getitem__)

    def _lowest_quality_above(self) -> int:
        """Return the lowest quality that gives more than the target."""
        low, high = -1, TOP_QUALITY + 1
        guess = TOP_QUALITY // 2
        while high - low > 1:
            value = self._measure(self.settings_at(guess))
            if value > self.target.value:
                high = guess
            else:
                low = guess
            guess = self._next_quality(guess, value, low, high)
        if high > TOP_QUALITY:
            if self._is_within_tolerance(self.settings_at(TOP_QUALITY)):
                return TOP_QUALITY
            raise self._out_of_reach()
        return high

    def _next_quality(self, quality: int, value: float, low: int, high: int) -> int:
        """Return the next quality to measure, strictly between the ends of the bracket.

        It is interpolated between the ends if both are measured, else extrapolated from one value
        by the usual slope.
        """
        ends = [q for q in (low, high) if 0 <= q <= TOP_QUALITY]
        if len(ends) == 2:
            a, b = (self._scaled(self._measure(self.settings_at(q))) for q in ends)
            share = (self._scaled(self.target.value) - a) / (b - a or 1)
            guess = low + share * (high - low)
        else:
            slope = RATE_SLOPE if self.target.is_rate else QUALITY_SLOPE
            guess = quality + (self._scaled(self.target.value) - self._scaled(value)) / slope
        inside = min(max(guess, -1), TOP_QUALITY + 1)
        return min(max(round(inside), low + 1), high - 1)

    def _scaled(self, value: float) -> float:
        """Map a measurement to a scale on which qualities are about evenly spaced."""
        if self.target.is_rate:
            return math.log(value)
        if self.target.kind == "ms_ssim":
            return -10 * math.log10(max(1 - value, 1e-9))
        return min(value, 100.0)

    def _coarsened(self, start: LayerSettings) -> LayerSettings | None:
        """Search the fine steps below a quality; `None` if even the coarsest gives too much."""
        fine, coarse = 0, MAX_GAIN
        if self._measure(start.coarser(coarse)) > self.target.value:
            return None
        while coarse - fine > 1:
            a, b = (self._scaled(self._measure(start.coarser(k))) for k in (fine, coarse))
            share = (self._middle() - a) / (b - a or 1)
            step = round(fine + share * (coarse - fine))
            step = min(max(step, fine + 1), coarse - 1)
            # Bisection now and then avoids single steps along a curve with a bend.
            if coarse - fine > 8 and step in (fine + 1, coarse - 1):
                step = (fine + coarse) // 2
            settings = start.coarser(step)
            if self._is_within_tolerance(settings):
                return settings
            if self._measure(settings) > self.target.value:
                fine = step
            else:
                coarse = step
        return start.coarser(coarse)

    def _middle(self) -> float:
        """Return the middle of the tolerated values, on the scale of `_scaled`."""
        target = self.target
        if target.is_rate:
            return self._scaled(target.value * (1 - RATE_TOLERANCE / 2))
        return self._scaled(target.value + TOLERANCES[target.kind] / 2)

    def _allowed(self, value: float) -> bool:
        return value <= self.target.value if self.target.is_rate else value >= self.target.value

    def _is_within_tolerance(self, settings: LayerSettings) -> bool:
        value, target = self._measure(settings), self.target
        if target.is_rate:
            near = value >= target.value * (1 - RATE_TOLERANCE)
        else:
            near = value <= target.value + TOLERANCES[target.kind]
        return near and self._allowed(value)

    def _measure(self, settings: LayerSettings) -> float:
        """Return the targeted quantity of the stream with these settings."""
        if settings not in self._measured:
            self._measured[settings] = self._measure_uncached(settings)
        return self._measured[settings]

    def _measure_uncached(self, settings: LayerSettings) -> float:
        if self.target.is_rate:
            size = self.encoder.bytes_without_networks(settings)
            if size is None:
                size = len(self.encoder.encode(settings, strict=True))
            else:
                size += self._reserved_bytes
            return size if self.target.kind == "bytes" else 8 * size / self.pixels
        decoded = self.encoder.reconstruction(settings)
        if self.target.kind == "psnr":
            return metrics.psnr(self.encoder.pixels, decoded, self.encoder.visible)
        value = metrics.ms_ssim(self.encoder.pixels, decoded, self.encoder.visible)
        assert value is not None, "the picture's size has been checked"
        return value

    def _out_of_reach(self) -> SmapcompError:
        target = self.target
        low = self._measure(self.settings_at(0).coarser(MAX_GAIN))
        high = self._measure(self.settings_at(TOP_QUALITY))
        digits = {"bytes": ".0f", "bpp": ".3f", "psnr": ".2f", "ms_ssim": ".4f"}[target.kind]
        return SmapcompError(
            f"target_{target.kind} {target.value:g} is out of reach; "
            f"with these settings this picture can have {low:{digits}} to {high:{digits}}"
        )
