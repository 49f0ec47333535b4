"""Coders of a stream's layers, and the parameters that they are given."""

import functools
import json
import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib import resources

from smapcomp.codec.bitstream.stream import (
    LOSSLESS_RESIDUAL_CODER,
    LOSSY_COMPACT_CODERS,
    MAX_GAIN,
)
from smapcomp.codec.coders.av1 import DEFAULT_SPEED
from smapcomp.codec.options import CompressOptions
from smapcomp.design import COMPNET_SCALE, SCALES
from smapcomp.zoo import finenet_role, lossy_finenet_role

_log = logging.getLogger("smapcomp")

LOSSLESS_COMPACT_CODER = "jxl"
"""Coder of CompNet's compact image in the papers' design."""

LOSSLESS_COMPACT_QUALITY = 10
"""Quality of the lossy compact layer under a lossless residual. A finer one costs more than it
saves."""


_COMPACT_OPTIONS = ("compact_coder", "compact_scale", "compact_quality")
_LAYER_OPTIONS = (*_COMPACT_OPTIONS, "residual_coder", "residual_quality")


@dataclass(frozen=True)
class LayerSettings:
    """How the compact and the residual layer of one picture are coded.

    Attributes:
        compact_coder: Coder of the compact layer.
        compact_scale: Side of the block of pixels that one compact pixel stands for.
        compact_quality: Quality of a lossy compact coder, 0..100. `None` if the coder is lossless.
        residual_coder: Coder of the residual layer: a lossy one, "jxl" (lossless), or "none".
        residual_quality: Quality of a lossy residual coder, 0..100. `None` without one.
        compact_gain: Fine step of a lossy compact layer, 0..128; higher is coarser.
        residual_widen: Fine step of a lossy residual layer, 1 or more; higher is coarser.
        speed: Speed of AV1, 0 (slowest) to 10.
        plain_allowed: Whether the encoder may omit prediction and residual where that is better,
            for pictures that networks do not help.
    """

    compact_coder: str
    compact_scale: int
    compact_quality: int | None
    residual_coder: str
    residual_quality: int | None
    compact_gain: int = 0
    residual_widen: float = 1.0
    speed: int = DEFAULT_SPEED
    plain_allowed: bool = False

    @property
    def lossy_compact(self) -> bool:
        """Whether the compact layer is lossy."""
        return self.compact_coder in LOSSY_COMPACT_CODERS

    @property
    def lossless(self) -> bool:
        """Whether the stream restores the picture exactly."""
        return self.residual_coder == LOSSLESS_RESIDUAL_CODER

    def coarser(self, fineness: int) -> "LayerSettings":
        """Return slightly coarser settings.

        Args:
            fineness: 0..`MAX_GAIN`. The last step halves the precision of the layer that the rate
                is spent on.
        """
        if self.residual_coder == "none":
            return replace(self, compact_gain=fineness)
        return replace(self, residual_widen=1 / (1 - fineness / (2 * MAX_GAIN)))


def with_available_design(options: CompressOptions, finenets: Collection[str]) -> CompressOptions:
    """Return the options with a design that the weights have networks for.

    Options that name a compact coder, scale or quality stay as they are. By default the compact
    image is lossy and its scale follows the quality, for which each scale needs a FineNet. If only
    some have one, the largest of these compact images is used; if none has, the papers' design. The
    logger "smapcomp" is told so in one line.

    Args:
        options: The checked options.
        finenets: Roles of the FineNets that have weights.
    """
    if _names_any(options, _COMPACT_OPTIONS):
        return options
    scales = [scale for scale in SCALES if lossy_finenet_role(scale) in finenets]
    if scales == list(SCALES):
        return options
    if scales:
        missing = ", ".join(str(scale) for scale in SCALES if scale not in scales)
        _warn_once(
            f"the weights of variant {options.variant} have no FineNet of the compact scales "
            f"{missing}; compressing with compact_scale={scales[0]}"
        )
        return replace(options, compact_scale=scales[0])
    if finenet_role(COMPNET_SCALE, lossy=False) not in finenets:
        return options  # The error names the missing file.
    _warn_once(
        f"the weights of variant {options.variant} have no FineNet of lossy compact images; "
        f"compressing in the papers' design (compact_coder={LOSSLESS_COMPACT_CODER})"
    )
    return replace(options, compact_coder=LOSSLESS_COMPACT_CODER)


@functools.cache
def _warn_once(message: str) -> None:
    """Log a warning that would otherwise be repeated for every picture of a batch."""
    _log.warning(message)


def choose_settings(options: CompressOptions, quality: int | None = None) -> LayerSettings:
    """Return the settings of a quality.

    Unless the options say otherwise, they are the operating point of that quality: compact and
    residual layer together have the best PSNR that was found at their rate
    (`operating_points.json`). A compact scale that the options name has operating points of its
    own. A lossless compact coder ("jxl") is the papers' design: scale 8, and the quality is the
    residual's. A residual quality of 0 omits the residual. With `lossless` and no compact option,
    the quality has no influence: the compact layer is coarse, which takes the fewest bytes.

    Args:
        options: The checked options.
        quality: 0..100; `None` for the options' own.
    """
    quality = options.quality if quality is None else quality
    if options.compact_coder is not None and options.compact_coder not in LOSSY_COMPACT_CODERS:
        scale = options.compact_scale or COMPNET_SCALE
        found = LayerSettings(options.compact_coder, scale, None, "av1", quality)
    else:
        scale, *qualities = _operating_points()[str(options.compact_scale or "any")][quality]
        coder = options.compact_coder or "av1"
        found = LayerSettings(coder, scale, qualities[0], "av1", qualities[1])
        if options.compact_quality is not None:
            found = replace(found, compact_quality=options.compact_quality)
    found = replace(found, speed=options.speed, plain_allowed=_is_default_design(options))
    if options.lossless:
        if not _names_any(options, _COMPACT_OPTIONS):
            found = replace(found, compact_scale=1, compact_quality=LOSSLESS_COMPACT_QUALITY)
        return replace(found, residual_coder=LOSSLESS_RESIDUAL_CODER, residual_quality=None)
    if options.residual_quality is not None:
        found = replace(found, residual_quality=options.residual_quality)
    if options.residual_coder is not None:
        found = replace(found, residual_coder=options.residual_coder)
    if not found.residual_quality or found.residual_coder == "none":
        found = replace(found, residual_coder="none", residual_quality=None)
    return found


def coarser_scales(options: CompressOptions) -> tuple[LayerSettings, ...]:
    """Return the finest settings of each larger compact scale that lower qualities have.

    There are none if the options name the design of a layer, or are lossless.
    """
    if options.lossless or _names_any(options, _LAYER_OPTIONS):
        return ()
    scale = choose_settings(options).compact_scale
    lower = (choose_settings(options, quality) for quality in range(options.quality))
    finest = {found.compact_scale: found for found in lower if found.compact_scale > scale}
    return tuple(finest.values())


def _is_default_design(options: CompressOptions) -> bool:
    """Return whether no option asks for a certain design."""
    return options.mode == CompressOptions.mode and not _names_any(options, _LAYER_OPTIONS)


def _names_any(options: CompressOptions, names: tuple[str, ...]) -> bool:
    """Return whether one of the options, whose default is `None`, has a value."""
    return any(getattr(options, name) is not None for name in names)


@functools.cache
def _operating_points() -> dict[str, list]:
    """Read the table that `tools.operating_points` measures.

    Returns:
        Compact scale, "1" to "8" or "any", to 101 entries, one for each quality: compact scale,
        compact quality, residual quality (0: no residual).
    """
    text = resources.files("smapcomp.codec").joinpath("operating_points.json").read_text("utf-8")
    return json.loads(text)["points"]
