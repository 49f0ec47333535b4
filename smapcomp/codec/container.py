"""The container, format version 1: a header, then the payloads of one to three layers.

`docs/format.md` describes it byte by byte. `pack` writes, `unpack` reads; both hold a `Stream` to
the same rules, and `unpack` checks all of them, the checksums included, before anything of the
picture's size is allocated.
"""

import hashlib
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from smapcomp.errors import (
    ChecksumError,
    LimitError,
    MalformedHeaderError,
    NotAStreamError,
    TrailingBytesError,
    TruncatedError,
    UnsupportedVersionError,
)

# As in PNG, the first byte is no ASCII and the last is a line feed, so that a transfer in text mode
# is noticed.
MAGIC = b"\xd3SM\n"
VERSION = 1

# Names in the order of their numbers in the header. Numbers are never reused.
MODES = ("none", "sent", "matched", "mapped")
VARIANTS = ("paper", "lite")
KINDS = ("compact", "labels", "residual")
CODERS = {
    "compact": ("jxl", "flif"),
    "labels": ("contexts", "jxl"),
    "residual": ("av1",),
}

DIGEST_BYTES = 8
MAX_SIDE = 1 << 16  # AV1's limit
DEFAULT_MAX_PIXELS = 1 << 25  # decided here: one 8K UHD frame (7680x4320) and no more
MIN_PADDED_SIDE = 16
PADDED_MULTIPLE = 8
MAX_RESIDUAL = 255


@dataclass(frozen=True)
class Layer:
    """One layer: what it carries (`KINDS`), who coded it (`CODERS[kind]`), and its bytes."""

    kind: str
    coder: str
    payload: bytes


@dataclass(frozen=True)
class Stream:
    """Everything that a stream carries.

    Attributes:
      width, height: size of the picture in pixels, before padding.
      channels: 3 (RGB) or 1 (grey), of the picture, the compact image and the residual.
      compact_scale: pixels of the padded picture along a side of one pixel of the compact image: 1,
        2, 4 or 8.
      compact_step: quantiser step of the compact image, 1..128; value = min(255, level * step).
      mode: one of `MODES`.
      variant: one of `VARIANTS`, the networks' architecture.
      model_digest: `weights_digest` of the networks, 8 bytes.
      prediction_digest: `array_digest` of the 8-bit prediction, 8 bytes.
      layers: one compact layer, one label layer in mode "sent" only, at most one residual layer.
      label_digest: `array_digest` of the decoder's label grid in the modes "matched" and "mapped",
        else None.
      residual_low, residual_high: residuals that the samples 0 and 255 stand for; both 0 without a
        residual.
    """

    width: int
    height: int
    channels: int
    compact_scale: int
    compact_step: int
    mode: str
    variant: str
    model_digest: bytes
    prediction_digest: bytes
    layers: tuple[Layer, ...]
    label_digest: bytes | None = None
    residual_low: int = 0
    residual_high: int = 0

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


def padded_shape(height: int, width: int) -> tuple[int, int]:
    """Height and width after padding: the next multiples of 8, at least 16."""

    def padded(side: int) -> int:
        return max(MIN_PADDED_SIDE, -(-side // PADDED_MULTIPLE) * PADDED_MULTIPLE)

    return padded(height), padded(width)


def pad_picture(pixels: np.ndarray) -> np.ndarray:
    """Repeats the last row and column of `[height, width, channels]` up to `padded_shape`."""
    height, width, _ = pixels.shape
    rows, columns = padded_shape(height, width)
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


def pack(stream: Stream) -> bytes:
    """Returns the bytes of a stream.

    Raises:
      MalformedHeaderError: if a field breaks the rules of the format.
      LimitError: if a side is longer than 65,536 pixels.
    """
    _check(stream)
    header = bytearray(MAGIC)
    header.append(VERSION)
    header.append(
        MODES.index(stream.mode)
        | (stream.channels == 1) << 2
        | (stream.compact_scale.bit_length() - 1) << 3
        | VARIANTS.index(stream.variant) << 5
    )
    header.append(stream.compact_step)
    header += _varint(stream.width) + _varint(stream.height)
    header += stream.model_digest + stream.prediction_digest + (stream.label_digest or b"")
    header.append(len(stream.layers))
    for layer in stream.layers:
        header.append(KINDS.index(layer.kind) << 4 | CODERS[layer.kind].index(layer.coder))
        header += _varint(len(layer.payload)) + struct.pack("<I", zlib.crc32(layer.payload))
    if stream.layer("residual") is not None:
        header += struct.pack("<hh", stream.residual_low, stream.residual_high)
    header += struct.pack("<I", zlib.crc32(header))
    return b"".join([bytes(header), *(layer.payload for layer in stream.layers)])


def unpack(data: bytes, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> Stream:
    """Reads a stream.

    Args:
      data: the bytes of one stream, all of them.
      max_pixels: the largest padded picture to accept, in pixels; None for no limit.

    Returns:
      The stream. Its payloads' checksums are verified; the payloads are not decoded.

    Raises:
      NotAStreamError, UnsupportedVersionError, TruncatedError, ChecksumError, MalformedHeaderError,
      LimitError, TrailingBytesError: see `smapcomp.errors`.
    """
    data = bytes(data)
    reader = _Reader(data)
    _check_magic(data)
    reader.take(len(MAGIC), "magic")
    version = reader.byte("version")
    if version != VERSION:
        raise UnsupportedVersionError(f"format version {version}; this release reads {VERSION}")
    flags = reader.byte("flags")
    mode = MODES[flags & 3]
    step = reader.byte("compact step")
    width, height = reader.varint("width"), reader.varint("height")
    model_digest = reader.take(DIGEST_BYTES, "model digest")
    prediction_digest = reader.take(DIGEST_BYTES, "prediction digest")
    label_digest = reader.take(DIGEST_BYTES, "label digest") if _has_label_digest(mode) else None
    entries = [_read_entry(reader) for _ in range(reader.byte("layer count"))]
    has_residual = any(tag >> 4 == KINDS.index("residual") for tag, _, _ in entries)
    low, high = struct.unpack("<hh", reader.take(4, "residual range")) if has_residual else (0, 0)
    _check_crc("header", data[: reader.position], reader.crc("header checksum"))

    # The sizes are held against the limit before the layers are read.
    _check_size(width, height, max_pixels)
    layers = _read_layers(reader, entries)
    if reader.remaining:
        raise TrailingBytesError(f"{reader.remaining} bytes after the last layer; none are allowed")
    stream = Stream(
        width=width,
        height=height,
        channels=1 if flags & 4 else 3,
        compact_scale=1 << (flags >> 3 & 3),
        compact_step=step,
        mode=mode,
        variant=_name("variant", flags >> 5, VARIANTS),
        model_digest=model_digest,
        prediction_digest=prediction_digest,
        layers=layers,
        label_digest=label_digest,
        residual_low=low,
        residual_high=high,
    )
    _check(stream)
    return stream


def _has_label_digest(mode: str) -> bool:
    """Whether the decoder computes its label map; in mode "sent" the layer's checksum guards it."""
    return mode in ("matched", "mapped")


class _Reader:
    """Takes fields off the front of the data; whatever would pass the end is a `TruncatedError`."""

    def __init__(self, data: bytes):
        self.data = data
        self.position = 0

    @property
    def remaining(self) -> int:
        return len(self.data) - self.position

    def take(self, count: int, what: str) -> bytes:
        if count > self.remaining:
            raise TruncatedError(f"{what} needs {count} bytes, {self.remaining} are left")
        self.position += count
        return self.data[self.position - count : self.position]

    def byte(self, what: str) -> int:
        return self.take(1, what)[0]

    def crc(self, what: str) -> int:
        return struct.unpack("<I", self.take(4, what))[0]

    def varint(self, what: str) -> int:
        """Little-endian groups of seven bits, at most five bytes, in the shortest form."""
        value = 0
        for index in range(5):
            byte = self.byte(what)
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if index and not byte:
                    raise MalformedHeaderError(f"{what} {value} is not in its shortest form")
                return value
        raise MalformedHeaderError(f"{what} takes more than 5 bytes")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _check_magic(data: bytes) -> None:
    start = data[: len(MAGIC)]
    if start == MAGIC:
        return
    if data and MAGIC.startswith(start):
        raise TruncatedError(f"magic needs {len(MAGIC)} bytes, {len(data)} are there")
    raise NotAStreamError(
        f"starts with {start.hex() or 'nothing'}; a stream starts with {MAGIC.hex()}"
    )


def _check_crc(what: str, data: bytes, expected: int) -> None:
    actual = zlib.crc32(data)
    if actual != expected:
        raise ChecksumError(f"{what} has CRC-32 {actual:08x}, the stream says {expected:08x}")


def _read_entry(reader: _Reader) -> tuple[int, int, int]:
    """Reads an entry of the layer table: tag, length, CRC-32."""
    return reader.byte("layer tag"), reader.varint("layer length"), reader.crc("layer checksum")


def _read_layers(reader: _Reader, entries: list[tuple[int, int, int]]) -> tuple[Layer, ...]:
    layers = []
    for tag, length, crc in entries:
        kind = _name("layer kind", tag >> 4, KINDS)
        coder = _name(f"coder of the {kind} layer", tag & 15, CODERS[kind])
        payload = reader.take(length, f"{kind} layer")
        _check_crc(f"{kind} layer", payload, crc)
        layers.append(Layer(kind, coder, payload))
    return tuple(layers)


def _name(what: str, number: int, names: tuple[str, ...]) -> str:
    if number >= len(names):
        raise MalformedHeaderError(f"{what} {number}; known are 0..{len(names) - 1}")
    return names[number]


def _check_size(width: int, height: int, max_pixels: int | None) -> None:
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


def _check(stream: Stream) -> None:
    """Holds a stream to every rule of the format that does not depend on its bytes."""
    _check_size(stream.width, stream.height, None)
    _check_choice("channels", stream.channels, (1, 3))
    _check_choice("compact scale", stream.compact_scale, (1, 2, 4, 8))
    _check_choice("mode", stream.mode, MODES)
    _check_choice("variant", stream.variant, VARIANTS)
    if not 1 <= stream.compact_step <= 128:
        raise MalformedHeaderError(f"compact step {stream.compact_step}; 1..128 are allowed")
    digests = [stream.model_digest, stream.prediction_digest]
    if _has_label_digest(stream.mode):
        digests.append(stream.label_digest or b"")
    elif stream.label_digest is not None:
        raise MalformedHeaderError(f"label digest in mode {stream.mode!r}; none is allowed")
    if any(len(digest) != DIGEST_BYTES for digest in digests):
        sizes = [len(digest) for digest in digests]
        raise MalformedHeaderError(f"digests of {sizes} bytes; each must have {DIGEST_BYTES}")
    _check_layers(stream)


def _check_choice(what: str, value: object, allowed: tuple) -> None:
    if value not in allowed:
        raise MalformedHeaderError(f"{what} {value!r}; allowed are {allowed}")


def _check_layers(stream: Stream) -> None:
    kinds = [layer.kind for layer in stream.layers]
    required = ["compact", "labels"] if stream.mode == "sent" else ["compact"]
    if kinds not in (required, [*required, "residual"]):
        raise MalformedHeaderError(
            f"layers {kinds} in mode {stream.mode!r}; "
            f"allowed are {required}, with or without 'residual' at the end"
        )
    for layer in stream.layers:
        _check_choice(f"coder of the {layer.kind} layer", layer.coder, CODERS[layer.kind])
        if not layer.payload and layer.kind != "residual":
            raise MalformedHeaderError(
                f"{layer.kind} layer of 0 bytes; only a residual may be empty"
            )
    low, high = stream.residual_low, stream.residual_high
    residual = stream.layer("residual")
    if residual is None or not residual.payload:
        if low or high:
            raise MalformedHeaderError(
                f"residual range {low}..{high} without a residual; it must be 0..0"
            )
    elif not -MAX_RESIDUAL <= low < high <= MAX_RESIDUAL:
        raise MalformedHeaderError(
            f"residual range {low}..{high}; "
            f"low < high within -{MAX_RESIDUAL}..{MAX_RESIDUAL} is allowed"
        )
