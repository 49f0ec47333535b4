"""Finds the settings that give a wanted size or a wanted distortion.

The qualities 0..100 are a ladder. Its rungs around the target are found by a bracketing search;
then the upper one is made coarser by the fine step (`Settings.coarser`) until it fits. Where bytes
are wanted and there is no residual, that takes no networks; where the compact layer stays as it is,
they run once; else once for each compact image that is tried.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smapcomp import metrics
from smapcomp.codec.settings import Settings
from smapcomp.codec.stream import MAX_GAIN
from smapcomp.errors import SmapcompError

if TYPE_CHECKING:  # It loads the networks' library.
    from smapcomp.codec.encoder import PictureEncoder

RATE_TOLERANCE = 0.02
TOLERANCES = {"psnr": 0.1, "ms_ssim": 0.001}

TOP_QUALITY = 100

# By which one quality is more than the one below, on the scales of `_scaled`; a first guess only.
RATE_SLOPE = 0.05
QUALITY_SLOPE = 0.24


@dataclass(frozen=True)
class Target:
    """What is wanted.

    Attributes:
        kind: "bytes", "bpp", "psnr" or "ms_ssim".
        value: Bytes, bits per pixel, dB, or 0..1.
    """

    kind: str
    value: float

    @classmethod
    def of(cls, **values: float | None) -> "Target | None":
        """The one that is given, or None.

        Raises:
            SmapcompError: Several are, or the one is not above 0, or no MS-SSIM.
        """
        given = {kind: value for kind, value in values.items() if value is not None}
        if not given:
            return None
        if len(given) > 1:
            names = ", ".join(f"target_{kind}" for kind in given)
            raise SmapcompError(f"{names} together; at most one target is allowed")
        ((kind, value),) = given.items()
        top = 1 if kind == "ms_ssim" else math.inf
        if not isinstance(value, (int, float)) or not 0 < value < top:
            limit = "0 < value < 1" if kind == "ms_ssim" else "numbers above 0"
            raise SmapcompError(f"target_{kind} {value!r}; allowed: {limit}")
        return cls(kind, value)

    @property
    def is_rate(self) -> bool:
        """Whether it is about the size."""
        return self.kind in ("bytes", "bpp")


def reach(
    encoder: "PictureEncoder", target: Target, settings_at: Callable[[int], Settings]
) -> bytes:
    """Encodes a picture so that it meets the target.

    Args:
        encoder: Of the picture.
        target: Bytes and bits per pixel: at most that, and no less than 2 % below it. PSNR and
            MS-SSIM: at least that, and no more than 0.1 dB or .001 above it.
        settings_at: The settings of a quality.

    Raises:
        SmapcompError: The target is out of reach; the message says what can be reached.
    """
    return encoder.encode(_Search(encoder, target, settings_at).settings())


class _Search:
    def __init__(self, encoder: "PictureEncoder", target: Target, settings_at):
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
        self._measured: dict[Settings, float] = {}

    def settings(self) -> Settings:
        """Those that meet the target, or come nearest on its allowed side."""
        rung = self._lowest_rung_above()
        start = self.settings_at(rung)
        if rung and self.target.is_rate and self._meets(self.settings_at(rung - 1)):
            return self.settings_at(rung - 1)
        if self._meets(start):
            return start
        below = self._coarsened(start)
        candidates = [s for s, value in self._measured.items() if self._allowed(value)]
        if below is None or not candidates:
            raise self._out_of_reach()
        nearest = max if self.target.is_rate else min
        return nearest(candidates, key=self._measured.get)

    def _lowest_rung_above(self) -> int:
        """The lowest quality that gives more than the target; the one below gives no more."""
        low, high = -1, TOP_QUALITY + 1
        guess = TOP_QUALITY // 2
        while high - low > 1:
            value = self._measure(self.settings_at(guess))
            if value > self.target.value:
                high = guess
            else:
                low = guess
            guess = self._next_rung(guess, value, low, high)
        if high > TOP_QUALITY:
            if self._meets(self.settings_at(TOP_QUALITY)):
                return TOP_QUALITY
            raise self._out_of_reach()
        return high

    def _next_rung(self, rung: int, value: float, low: int, high: int) -> int:
        """Where the target lies if `value` changes by the usual slope, or between the ends if both
        are measured; always nearer than the ends."""
        ends = [q for q in (low, high) if 0 <= q <= TOP_QUALITY]
        if len(ends) == 2:
            a, b = (self._scaled(self._measure(self.settings_at(q))) for q in ends)
            share = (self._scaled(self.target.value) - a) / (b - a or 1)
            guess = low + share * (high - low)
        else:
            slope = RATE_SLOPE if self.target.is_rate else QUALITY_SLOPE
            guess = rung + (self._scaled(self.target.value) - self._scaled(value)) / slope
        inside = min(max(guess, -1), TOP_QUALITY + 1)
        return min(max(round(inside), low + 1), high - 1)

    def _scaled(self, value: float) -> float:
        """On a scale on which qualities are about evenly apart."""
        if self.target.is_rate:
            return math.log(value)
        if self.target.kind == "ms_ssim":
            return -10 * math.log10(max(1 - value, 1e-9))
        return min(value, 100.0)

    def _coarsened(self, start: Settings) -> Settings | None:
        """Searches the fine steps below a rung; None if even the coarsest gives too much."""
        fine, coarse = 0, MAX_GAIN
        if self._measure(start.coarser(coarse)) > self.target.value:
            return None
        while coarse - fine > 1:
            a, b = (self._scaled(self._measure(start.coarser(k))) for k in (fine, coarse))
            share = (self._aim() - a) / (b - a or 1)
            step = round(fine + share * (coarse - fine))
            step = min(max(step, fine + 1), coarse - 1)
            # Halving now and then keeps a curve with a bend from being walked step by step.
            if coarse - fine > 8 and step in (fine + 1, coarse - 1):
                step = (fine + coarse) // 2
            settings = start.coarser(step)
            if self._meets(settings):
                return settings
            if self._measure(settings) > self.target.value:
                fine = step
            else:
                coarse = step
        return start.coarser(coarse)

    def _aim(self) -> float:
        """The middle of what is near enough."""
        target = self.target
        if target.is_rate:
            return self._scaled(target.value * (1 - RATE_TOLERANCE / 2))
        return self._scaled(target.value + TOLERANCES[target.kind] / 2)

    def _allowed(self, value: float) -> bool:
        return value <= self.target.value if self.target.is_rate else value >= self.target.value

    def _meets(self, settings: Settings) -> bool:
        value, target = self._measure(settings), self.target
        if target.is_rate:
            near = value >= target.value * (1 - RATE_TOLERANCE)
        else:
            near = value <= target.value + TOLERANCES[target.kind]
        return near and self._allowed(value)

    def _measure(self, settings: Settings) -> float:
        """What the target is about, of a stream with these settings."""
        if settings not in self._measured:
            self._measured[settings] = self._measure_now(settings)
        return self._measured[settings]

    def _measure_now(self, settings: Settings) -> float:
        if self.target.is_rate:
            size = self.encoder.bytes_without_networks(settings)
            size = len(self.encoder.encode(settings)) if size is None else size
            return size if self.target.kind == "bytes" else 8 * size / self.pixels
        decoded = self.encoder.reconstruction(settings)
        compare = metrics.psnr if self.target.kind == "psnr" else metrics.ms_ssim
        return float(compare(self.encoder.pixels, decoded))

    def _out_of_reach(self) -> SmapcompError:
        target = self.target
        low = self._measure(self.settings_at(0).coarser(MAX_GAIN))
        high = self._measure(self.settings_at(TOP_QUALITY))
        digits = {"bytes": ".0f", "bpp": ".3f", "psnr": ".2f", "ms_ssim": ".4f"}[target.kind]
        return SmapcompError(
            f"target_{target.kind} {target.value:g} is out of reach; "
            f"with these settings this picture can have {low:{digits}} to {high:{digits}}"
        )
