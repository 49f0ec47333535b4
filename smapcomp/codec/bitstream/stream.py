"""Contents of a stream, and the rules that every stream must follow."""

from dataclasses import dataclass

from smapcomp.design import (
    DIGEST_BYTES,
    MAX_SIDE,
    METADATA_KINDS,
    MODES,
    SCALES,
    Tiling,
    padded_shape,
)
from smapcomp.errors import LimitError, MalformedHeaderError

VERSION = 3
"""Version of the format. Versions 1 and 2 were never released."""

# Names in the order of their numbers in the header.
VARIANTS = ("paper", "lite")
KINDS = ("compact", "labels", "strengths", "residual", "alpha", *METADATA_KINDS)
CODERS = {
    "compact": ("jxl", "av1"),
    "labels": ("contexts", "jxl"),
    "residual": ("av1", "heic", "jxl"),
    "strengths": ("adaptive",),
    "alpha": ("jxl",),
    **dict.fromkeys(METADATA_KINDS, ("deflate",)),
}
LOSSY_COMPACT_CODERS = ("av1",)
LOSSLESS_RESIDUAL_CODER = "jxl"
LOSSY_RESIDUAL_CODERS = ("av1", "heic")

LAYER_ORDER = KINDS
"""Order of the payloads. What a first look at the picture needs comes first."""

MAX_RESIDUAL = 255
"""Largest absolute value of a residual sample."""

MAX_GAIN = 128
"""Largest fine step of a lossy compact layer."""


@dataclass(frozen=True)
class Layer:
    """One coded layer of a stream.

    Attributes:
        kind: What the layer carries, one of `KINDS`.
        coder: Name of the coder, one of `CODERS[kind]`.
        payload: The coder's bytes.
    """

    kind: str
    coder: str
    payload: bytes


@dataclass(frozen=True)
class Stream:
    """Everything that a stream carries.

    Attributes:
        width: Width of the picture in pixels, without padding.
        height: Height of the picture in pixels, without padding.
        channels: Channels of the picture, the compact image and the residual: 3 (RGB) or 1 (grey).
            Alpha is a layer of its own.
        compact_scale: Side of the block of the padded picture that one pixel of the compact image
            stands for: 1, 2, 4 or 8.
        compact_step: Quantiser step of a lossless compact layer, 1..128: value = min(255,
            level * step). `None` if the layer is lossy.
        mode: Source of the label map, one of `MODES`.
        variant: Architecture of the networks, one of `VARIANTS`.
        model_digest: `weights_digest` of the networks, 8 bytes; `None` in a plain stream.
        prediction_digest: `array_digest` of the 8-bit prediction, 8 bytes; `None` in a plain
            stream.
        layers: The layers in `LAYER_ORDER`, each kind at most once. A compact layer is always
            there. Labels are there in mode "sent" alone.
        residual_low: Residual that sample 0 of a lossy residual layer stands for; 0 without one.
        residual_high: Residual that sample 255 stands for; 0 without a lossy residual layer.
        compact_quality: Quality of the coder of a lossy compact layer, 0..100, which FineNet takes
            as an input. `None` if the layer is lossless.
        compact_gain: Fine step of a lossy compact layer, 0..128 (`layers.compact`).
        tiling: Windows in which the picture is predicted; `None` for a single one.
        plain: Whether the prediction is the up-sampled compact image, without any network. A plain
            stream has mode "none" and neither labels nor strengths.
        missing: Kinds of the layers that were cut off (`unpack(..., partial=True)`).
    """

    width: int
    height: int
    channels: int
    compact_scale: int
    compact_step: int | None
    mode: str
    variant: str
    model_digest: bytes | None
    prediction_digest: bytes | None
    layers: tuple[Layer, ...]
    residual_low: int = 0
    residual_high: int = 0
    compact_quality: int | None = None
    compact_gain: int = 0
    tiling: Tiling | None = None
    plain: bool = False
    missing: tuple[str, ...] = ()

    def layer(self, kind: str) -> Layer | None:
        """Return the layer of a kind, or `None` if there is none."""
        return next((layer for layer in self.layers if layer.kind == kind), None)

    def required_layer(self, kind: str) -> Layer:
        """Return the layer of a kind.

        Raises:
            MalformedHeaderError: There is none.
        """
        layer = self.layer(kind)
        if layer is None:
            raise MalformedHeaderError(f"no {kind} layer; it is required")
        return layer

    @property
    def padded_shape(self) -> tuple[int, int]:
        """Height and width of the padded picture."""
        return padded_shape(self.height, self.width)

    @property
    def compact_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the compact image."""
        height, width = self.padded_shape
        return height // self.compact_scale, width // self.compact_scale, self.channels

    @property
    def lossless(self) -> bool:
        """Whether the stream restores the picture exactly."""
        exact_compact = (self.compact_scale, self.compact_step) == (1, 1)
        return self.lossless_residual or (self.plain and exact_compact)

    @property
    def lossless_residual(self) -> bool:
        """Whether the residual layer restores the picture exactly."""
        residual = self.layer("residual")
        return residual is not None and residual.coder == LOSSLESS_RESIDUAL_CODER


def check_size(width: int, height: int, max_pixels: int | None) -> None:
    """Check a picture's size against the limits of the format and of the caller.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        max_pixels: Largest padded picture in pixels; `None` for no limit.

    Raises:
        MalformedHeaderError: A side is 0.
        LimitError: The picture is too large.
    """
    if not width or not height:
        raise MalformedHeaderError(
            f"picture of {width}x{height} pixels; both sides must be at least 1"
        )
    if max(width, height) > MAX_SIDE:
        raise LimitError(f"picture of {width}x{height} pixels; sides up to {MAX_SIDE} are allowed")
    padded_height, padded_width = padded_shape(height, width)
    if max_pixels is not None and padded_height * padded_width > max_pixels:
        raise LimitError(
            f"picture of {width}x{height} pixels, {padded_height * padded_width} with its padding; "
            f"up to {max_pixels} are allowed"
        )


def check_stream(stream: Stream) -> None:
    """Check a stream against every rule of the format that does not depend on its bytes.

    Raises:
        MalformedHeaderError: A field, or a combination of fields, is not allowed.
        LimitError: A side of the picture is too long.
    """
    check_size(stream.width, stream.height, None)
    _check_choice("channels", stream.channels, (1, 3))
    _check_choice("compact scale", stream.compact_scale, SCALES)
    _check_choice("mode", stream.mode, MODES)
    _check_choice("variant", stream.variant, VARIANTS)
    _check_layers(stream)
    _check_digests(stream)
    _check_compact(stream)
    _check_range(stream)
    _check_tiling(stream)


def check_layer_order(kinds: list[str]) -> None:
    """Check that each kind of layer is there at most once and in `LAYER_ORDER`.

    Raises:
        MalformedHeaderError: They are not.
    """
    if kinds != [kind for kind in LAYER_ORDER if kind in kinds]:
        raise MalformedHeaderError(f"layers {kinds}; allowed is each once, in order {LAYER_ORDER}")


def _check_choice(what: str, value: object, allowed: tuple) -> None:
    if value not in allowed:
        raise MalformedHeaderError(f"{what} {value!r}; allowed are {allowed}")


def _check_layers(stream: Stream) -> None:
    kinds = [layer.kind for layer in stream.layers]
    for kind in kinds:
        _check_choice("layer kind", kind, KINDS)
    check_layer_order(kinds)
    if "compact" not in kinds:
        raise MalformedHeaderError(f"layers {kinds}; a compact layer must be among them")
    present = {*kinds, *stream.missing}
    if (stream.mode == "sent") != ("labels" in present):
        raise MalformedHeaderError(
            f"mode {stream.mode!r} with layers {kinds}; mode 'sent' has labels, no other has"
        )
    if stream.plain and (stream.mode != "none" or "strengths" in present):
        raise MalformedHeaderError(
            f"plain stream of mode {stream.mode!r} with layers {kinds}; "
            "mode 'none' without strengths is allowed"
        )
    for layer in stream.layers:
        _check_choice(f"coder of the {layer.kind} layer", layer.coder, CODERS[layer.kind])
        if not layer.payload:
            raise MalformedHeaderError(f"{layer.kind} layer of 0 bytes; none may be empty")


def _check_digests(stream: Stream) -> None:
    digests = [stream.model_digest, stream.prediction_digest]
    if stream.plain:
        if digests != [None, None]:
            raise MalformedHeaderError("digests in a plain stream; none is allowed")
        return
    sizes = [len(digest or b"") for digest in digests]
    if any(size != DIGEST_BYTES for size in sizes):
        raise MalformedHeaderError(f"digests of {sizes} bytes; each must have {DIGEST_BYTES}")


def _check_compact(stream: Stream) -> None:
    step, quality, gain = stream.compact_step, stream.compact_quality, stream.compact_gain
    layer = stream.layer("compact")
    if layer is None or layer.coder not in LOSSY_COMPACT_CODERS:
        if step is None or not 1 <= step <= 128 or quality is not None or gain:
            raise MalformedHeaderError(
                f"lossless compact layer of step {step}, quality {quality}, gain {gain}; "
                "step 1..128 and no quality are allowed"
            )
    elif step is not None or quality is None or quality not in range(101):
        raise MalformedHeaderError(
            f"lossy compact layer of step {step}, quality {quality}; "
            "no step and quality 0..100 are allowed"
        )
    elif gain not in range(MAX_GAIN + 1):
        raise MalformedHeaderError(f"compact gain {gain}; 0..{MAX_GAIN} are allowed")


def _check_range(stream: Stream) -> None:
    low, high = stream.residual_low, stream.residual_high
    if stream.layer("residual") is None or stream.lossless_residual:
        if (low or high) and "residual" not in stream.missing:
            raise MalformedHeaderError(
                f"residual range {low}..{high} without a lossy residual; it must be 0..0"
            )
    elif not -MAX_RESIDUAL <= low < high <= MAX_RESIDUAL:
        raise MalformedHeaderError(
            f"residual range {low}..{high}; "
            f"low < high within -{MAX_RESIDUAL}..{MAX_RESIDUAL} is allowed"
        )


def _check_tiling(stream: Stream) -> None:
    tiling = stream.tiling
    if tiling is None:
        return
    side, overlap = tiling.side, tiling.overlap
    if side % 16 or overlap % 16 or not 16 <= overlap <= side // 2 or side > MAX_SIDE:
        raise MalformedHeaderError(
            f"tiles of {side} pixels that overlap by {overlap}; multiples of 16 are allowed, "
            f"16 <= overlap <= side / 2, side up to {MAX_SIDE}"
        )
