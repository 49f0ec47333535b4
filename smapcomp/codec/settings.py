"""How a picture is coded: the coders of its layers and what they are told."""

import functools
import json
from dataclasses import dataclass, replace
from importlib import resources

from smapcomp.codec.coders.av1 import DEFAULT_SPEED
from smapcomp.codec.stream import (
    CODERS,
    LOSSLESS_RESIDUAL_CODER,
    LOSSY_COMPACT_CODERS,
    LOSSY_RESIDUAL_CODERS,
    MAX_GAIN,
    MODES,
    SCALES,
)
from smapcomp.errors import SmapcompError
from smapcomp.zoo import PAPER_SCALE

DEFAULT_QUALITY = 60
DEFAULT_MODE = "mapped"
DEFAULT_VARIANT = "lite"

RESIDUAL_CODERS = (*LOSSY_RESIDUAL_CODERS, "none")
COMPACT_CODERS = CODERS["compact"]

LOSSLESS_COMPACT_QUALITY = 10
"""Of the lossy compact layer under a lossless residual: a finer one costs more than it saves."""


@dataclass(frozen=True)
class Settings:
    """What is chosen for one picture.

    Attributes:
        compact_coder: One of `COMPACT_CODERS`.
        compact_scale: One of `SCALES`.
        compact_quality: Of a lossy compact coder, 0..100; None of a lossless one.
        residual_coder: One of `RESIDUAL_CODERS`, or "jxl": lossless.
        residual_quality: Of a lossy residual coder, 0..100; None without one.
        compact_gain: Fine step of a lossy compact layer, 0..128; more is coarser.
        residual_widen: Fine step of a lossy residual, 1 or more; more is coarser.
        speed: Of AV1, 0 (slow, small) to 10.
    """

    compact_coder: str
    compact_scale: int
    compact_quality: int | None
    residual_coder: str
    residual_quality: int | None
    compact_gain: int = 0
    residual_widen: float = 1.0
    speed: int = DEFAULT_SPEED

    @property
    def lossy_compact(self) -> bool:
        """Whether the compact layer is lossy."""
        return self.compact_coder in LOSSY_COMPACT_CODERS

    @property
    def lossless(self) -> bool:
        """Whether the picture comes back exactly."""
        return self.residual_coder == LOSSLESS_RESIDUAL_CODER

    def coarser(self, fineness: int) -> "Settings":
        """The same, a little coarser: by `fineness` of `MAX_GAIN` steps, of which the last halves
        the precision of what the rate is spent on."""
        if self.residual_coder == "none":
            return replace(self, compact_gain=fineness)
        return replace(self, residual_widen=1 / (1 - fineness / (2 * MAX_GAIN)))


def choose(
    quality: int = DEFAULT_QUALITY,
    *,
    compact_coder: str | None = None,
    compact_scale: int | None = None,
    compact_quality: int | None = None,
    residual_coder: str | None = None,
    residual_quality: int | None = None,
    lossless: bool = False,
    speed: int = DEFAULT_SPEED,
) -> Settings:
    """The settings of a quality, with some of them given.

    Without anything given they are the operating point of that quality: compact and residual
    layer together have the best PSNR that was found at their rate (`operating_points.json`). A
    given compact scale has operating points of its own. A lossless compact coder ("jxl", "flif")
    is the papers' design: scale 8, and `quality` is the residual's.

    Args:
        quality: 0..100; more is better and larger.
        compact_coder, compact_scale, compact_quality, residual_coder, residual_quality: As the
            attributes of `Settings`; None for the operating point's. A residual quality of 0
            leaves the residual out.
        lossless: The residual makes the picture exact. Without compact settings given, `quality`
            has no part in it: the compact layer is coarse, which takes the fewest bytes.
        speed: Of AV1.

    Raises:
        SmapcompError: A value is not allowed, or two don't go together.
    """
    _check_number("quality", quality, 100)
    _check_number("speed", speed, 10)
    _check_number("compact_quality", compact_quality, 100)
    _check_number("residual_quality", residual_quality, 100)
    _check_choice("compact_coder", compact_coder, COMPACT_CODERS)
    _check_choice("residual_coder", residual_coder, RESIDUAL_CODERS)
    _check_choice("compact_scale", compact_scale, SCALES)
    if compact_coder is not None and compact_coder not in LOSSY_COMPACT_CODERS:
        if compact_quality is not None:
            raise SmapcompError(
                f"compact_quality {compact_quality} with the lossless compact coder "
                f"{compact_coder!r}; lossy ones are {', '.join(LOSSY_COMPACT_CODERS)}"
            )
        scale = compact_scale or PAPER_SCALE
        found = Settings(compact_coder, scale, None, "av1", quality, speed=speed)
    else:
        point = _operating_points()[str(compact_scale or "any")][quality]
        scale, *qualities = point
        found = Settings(compact_coder or "av1", scale, qualities[0], "av1", qualities[1])
        found = replace(found, speed=speed)
        if compact_quality is not None:
            found = replace(found, compact_quality=compact_quality)
    if residual_quality is not None:
        found = replace(found, residual_quality=residual_quality)
    if residual_coder is not None:
        found = replace(found, residual_coder=residual_coder)
    if lossless:
        return _lossless(found, compact_coder, compact_scale, compact_quality, residual_coder)
    if not found.residual_quality or found.residual_coder == "none":
        found = replace(found, residual_coder="none", residual_quality=None)
    return found


def _lossless(found, compact_coder, compact_scale, compact_quality, residual_coder) -> Settings:
    if residual_coder is not None:
        raise SmapcompError(
            f"residual_coder {residual_coder!r} with lossless; a lossless residual has its own"
        )
    if compact_coder is None and compact_scale is None and compact_quality is None:
        found = replace(found, compact_scale=1, compact_quality=LOSSLESS_COMPACT_QUALITY)
    return replace(found, residual_coder=LOSSLESS_RESIDUAL_CODER, residual_quality=None)


@functools.cache
def _operating_points() -> dict[str, list]:
    """Compact scale, "1" to "8" or "any", to 101 entries, one for each quality: compact scale,
    compact quality, residual quality (0: no residual). `experiments.operating_points` measures."""
    text = resources.files("smapcomp.codec").joinpath("operating_points.json").read_text("utf-8")
    return json.loads(text)["points"]


def check_mode(mode: str) -> None:
    """Raises a `SmapcompError` if there is no such mode."""
    _check_choice("mode", mode, MODES)


def _check_number(name: str, value: int | None, highest: int) -> None:
    if value is None:
        return
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not 0 <= value <= highest:
        raise SmapcompError(f"{name} {value!r} is not allowed; it is a whole number, 0..{highest}")


def _check_choice(name: str, value: object, allowed: tuple) -> None:
    if value is not None and value not in allowed:
        words = ", ".join(map(str, allowed))
        raise SmapcompError(f"{name} {value!r} is unknown; allowed: {words}")
