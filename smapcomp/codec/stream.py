"""What a stream carries, and the rules that hold for it whatever its bytes are."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from smapcomp.errors import LimitError, MalformedHeaderError

VERSION = 2
"""Of the format that is written."""

VERSIONS = (1, 2)
"""Of the formats that are read."""

# Names in the order of their numbers in the header. Numbers are never reused.
MODES = ("none", "sent", "matched", "mapped")
VARIANTS = ("paper", "lite")
KINDS = ("compact", "labels", "residual", "rounding", "alpha", "icc", "exif", "xmp")
CODERS = {
    "compact": ("jxl", "flif", "av1", "jxl_lossy"),
    "labels": ("contexts", "jxl"),
    "residual": ("av1", "jxl_lossy", "heic", "bpg", "jxl"),
    "rounding": ("adaptive",),
    "alpha": ("jxl",),
    "icc": ("deflate",),
    "exif": ("deflate",),
    "xmp": ("deflate",),
}
LOSSY_COMPACT_CODERS = ("av1", "jxl_lossy")
LOSSLESS_RESIDUAL_CODER = "jxl"
LOSSY_RESIDUAL_CODERS = ("av1", "jxl_lossy", "heic", "bpg")
SCALES = (1, 2, 4, 8)

LAYER_ORDER = ("compact", "labels", "rounding", "residual", "alpha", "icc", "exif", "xmp")
"""Of the payloads: what a first look at the picture needs comes first."""

DIGEST_BYTES = 8
MAX_SIDE = 1 << 16  # AV1's limit
DEFAULT_MAX_PIXELS = 1 << 27  # decided here: a 100-megapixel camera's picture and a little more
MIN_PADDED_SIDE = 16
PADDED_MULTIPLE = 8
MAX_RESIDUAL = 255
MAX_GAIN = 128

# What version 1 had.
_V1_CODERS = {"compact": ("jxl", "flif"), "labels": ("contexts", "jxl"), "residual": ("av1",)}
V1_MAX_LAYERS = 3


@dataclass(frozen=True)
class Layer:
    """One layer: what it carries (`KINDS`), who coded it (`CODERS[kind]`), and its bytes."""

    kind: str
    coder: str
    payload: bytes


@dataclass(frozen=True)
class Tiling:
    """The windows in which a large picture is predicted.

    Attributes:
      side: of a window in pixels, a multiple of 16.
      overlap: of neighbouring windows in pixels, a multiple of 16, 16..side/2.
    """

    side: int
    overlap: int


@dataclass(frozen=True)
class Stream:
    """Everything that a stream carries.

    Attributes:
      width, height: size of the picture in pixels, before padding.
      channels: 3 (RGB) or 1 (grey), of the picture, the compact image and the residual; alpha is a
        layer of its own.
      compact_scale: pixels of the padded picture along a side of one pixel of the compact image: 1,
        2, 4 or 8.
      compact_step: of a lossless compact layer: the quantiser step, 1..128; value = min(255, level
        * step). None if it is lossy.
      compact_quality: of a lossy compact layer: its coder's quality, 0..100, which the networks are
        told. None if it is lossless.
      compact_gain: of a lossy compact layer: its fine step, 0..128 (`compact.apply_gain`).
      mode: one of `MODES`.
      variant: one of `VARIANTS`, the networks' architecture.
      model_digest: `weights_digest` of the networks, 8 bytes.
      prediction_digest: `array_digest` of the 8-bit prediction, 8 bytes.
      layers: in `LAYER_ORDER`, each kind at most once: a compact layer always; labels in mode
        "sent", and in "matched" and "mapped" if they are not left to the decoder.
      label_digest: `array_digest` of the decoder's label grid where the decoder has to find it.
      residual_low, residual_high: residuals that the samples 0 and 255 of a lossy residual stand
        for; both 0 without one.
      tiling: None if the picture is predicted in one piece.
      version: of the format, 1 or 2.
      missing: kinds of the layers that were cut off (`unpack(..., partial=True)`).
    """

    width: int
    height: int
    channels: int
    compact_scale: int
    compact_step: int | None
    mode: str
    variant: str
    model_digest: bytes
    prediction_digest: bytes
    layers: tuple[Layer, ...]
    label_digest: bytes | None = None
    residual_low: int = 0
    residual_high: int = 0
    compact_quality: int | None = None
    compact_gain: int = 0
    tiling: Tiling | None = None
    version: int = VERSION
    missing: tuple[str, ...] = ()

    def layer(self, kind: str) -> Layer | None:
        """Returns the layer of that kind, or None."""
        return next((layer for layer in self.layers if layer.kind == kind), None)

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
        """Whether the residual layer makes the picture exact."""
        residual = self.layer("residual")
        return residual is not None and residual.coder == LOSSLESS_RESIDUAL_CODER


def decoder_finds_labels(mode: str, kinds) -> bool:
    """Whether the decoder computes its label grid: there are labels, and no layer has them."""
    return mode in ("matched", "mapped") and "labels" not in kinds


def padded_shape(height: int, width: int) -> tuple[int, int]:
    """Height and width after padding: the next multiples of 8, at least 16."""

    def padded(side: int) -> int:
        return max(MIN_PADDED_SIDE, -(-side // PADDED_MULTIPLE) * PADDED_MULTIPLE)

    return padded(height), padded(width)


def pad_picture(pixels: np.ndarray) -> np.ndarray:
    """Repeats the last row and column of `[height, width, channels]` up to `padded_shape`."""
    height, width, _ = pixels.shape
    rows, columns = padded_shape(height, width)
    if (rows, columns) == (height, width):
        return pixels
    return np.pad(pixels, ((0, rows - height), (0, columns - width), (0, 0)), mode="edge")


def array_digest(array: np.ndarray) -> bytes:
    """First 8 bytes of the SHA-256 of a uint8 array's values in row-major order."""
    if array.dtype != np.uint8:
        raise TypeError(f"array_digest takes uint8, got {array.dtype}")
    return hashlib.sha256(np.ascontiguousarray(array)).digest()[:DIGEST_BYTES]


def weights_digest(weights: Mapping[str, np.ndarray]) -> bytes:
    """First 8 bytes of the SHA-256 of named arrays, whatever the order or the file they come from.

    Hashed for each name in code-point order: the name in UTF-8, a zero byte, the dtype and the
    shape as in "<f4 3,3,64,64", a zero byte, and the little-endian values in row-major order.
    """
    sha = hashlib.sha256()
    for name in sorted(weights):
        array = np.asarray(weights[name])
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        sha.update(f"{name}\0{array.dtype.str} {','.join(map(str, array.shape))}\0".encode())
        sha.update(array.tobytes())
    return sha.digest()[:DIGEST_BYTES]


def check_size(width: int, height: int, max_pixels: int | None) -> None:
    """Holds a picture's size to the format's limits and to the caller's, padding included.

    Raises:
      MalformedHeaderError: if a side is 0.
      LimitError: if it is too large.
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
    """Holds a stream to every rule of the format that does not depend on its bytes.

    Raises:
      MalformedHeaderError, LimitError: if it breaks one.
    """
    check_size(stream.width, stream.height, None)
    _check_choice("format version", stream.version, VERSIONS)
    _check_choice("channels", stream.channels, (1, 3))
    _check_choice("compact scale", stream.compact_scale, SCALES)
    _check_choice("mode", stream.mode, MODES)
    _check_choice("variant", stream.variant, VARIANTS)
    _check_layers(stream)
    _check_digests(stream)
    _check_compact(stream)
    _check_range(stream)
    _check_tiling(stream)


def _check_choice(what: str, value: object, allowed: tuple) -> None:
    if value not in allowed:
        raise MalformedHeaderError(f"{what} {value!r}; allowed are {allowed}")


def _check_layers(stream: Stream) -> None:
    kinds = [layer.kind for layer in stream.layers]
    for kind in kinds:
        _check_choice("layer kind", kind, KINDS)
    if kinds != [kind for kind in LAYER_ORDER if kind in kinds]:
        raise MalformedHeaderError(f"layers {kinds}; allowed is each once, in order {LAYER_ORDER}")
    if "compact" not in kinds:
        raise MalformedHeaderError(f"layers {kinds}; a compact layer must be among them")
    here = {*kinds, *stream.missing}
    if stream.mode == "sent" and "labels" not in here:
        raise MalformedHeaderError(f"layers {kinds} in mode 'sent'; one must be 'labels'")
    allowed = ("sent",) if stream.version == 1 else MODES[1:]
    if "labels" in here and stream.mode not in allowed:
        raise MalformedHeaderError(f"labels in mode {stream.mode!r}; allowed in {allowed}")
    coders = _V1_CODERS if stream.version == 1 else CODERS
    for layer in stream.layers:
        _check_choice(f"coder of the {layer.kind} layer", layer.coder, coders.get(layer.kind, ()))
        if not layer.payload and not (layer.kind == "residual" and stream.version == 1):
            raise MalformedHeaderError(f"{layer.kind} layer of 0 bytes; none may be empty")


def _check_digests(stream: Stream) -> None:
    digests = [stream.model_digest, stream.prediction_digest]
    kinds = {*stream.missing, *(layer.kind for layer in stream.layers)}
    if decoder_finds_labels(stream.mode, kinds):
        digests.append(stream.label_digest or b"")
    elif stream.label_digest is not None:
        raise MalformedHeaderError(
            f"label digest in mode {stream.mode!r} with layers {sorted(kinds)}; none is allowed"
        )
    if any(len(digest) != DIGEST_BYTES for digest in digests):
        sizes = [len(digest) for digest in digests]
        raise MalformedHeaderError(f"digests of {sizes} bytes; each must have {DIGEST_BYTES}")


def _check_compact(stream: Stream) -> None:
    step, quality, gain = stream.compact_step, stream.compact_quality, stream.compact_gain
    if stream.layer("compact").coder not in LOSSY_COMPACT_CODERS:
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
    residual = stream.layer("residual")
    if residual is None or not residual.payload or stream.lossless:
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
