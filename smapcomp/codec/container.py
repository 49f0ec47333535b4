"""The container: a header, then the payloads of the layers.

`docs/format.md` describes it byte by byte. `pack` writes version 2, `unpack` reads 1 and 2; both
hold a `Stream` to the same rules, and `unpack` checks all of them, the checksums included, before
anything of the picture's size is allocated.
"""

import struct
import zlib
from typing import NamedTuple

from smapcomp.codec.stream import (
    CODERS,
    DEFAULT_MAX_PIXELS,
    DIGEST_BYTES,
    KINDS,
    LAYER_ORDER,
    LOSSLESS_RESIDUAL_CODER,
    LOSSY_COMPACT_CODERS,
    MODES,
    V1_MAX_LAYERS,
    VARIANTS,
    VERSION,
    VERSIONS,
    Layer,
    Stream,
    Tiling,
    check_size,
    check_stream,
    decoder_finds_labels,
)
from smapcomp.codec.varint import MAX_BYTES, encode_varint
from smapcomp.errors import (
    ChecksumError,
    MalformedHeaderError,
    NotAStreamError,
    TrailingBytesError,
    TruncatedError,
    UnsupportedVersionError,
)

# As in PNG, the first byte is no ASCII and the last is a line feed, so that a transfer in text mode
# is noticed.
MAGIC = b"\xd3SM\n"

_TILED = 1
"""The one feature so far."""


class _Entry(NamedTuple):
    """An entry of the layer table: kind, coder, length of the payload, its CRC-32."""

    kind: str
    coder: str
    length: int
    crc: int


def pack(stream: Stream) -> bytes:
    """Returns the bytes of a stream.

    Raises:
      MalformedHeaderError: if a field breaks the rules of the format.
      LimitError: if a side is longer than 65,536 pixels.
    """
    check_stream(stream)
    if stream.version != VERSION or stream.missing:
        raise MalformedHeaderError(
            f"format version {stream.version}, missing layers {stream.missing}; "
            f"only whole streams of version {VERSION} are written"
        )
    header = bytearray(MAGIC)
    header.append(VERSION)
    header.append(
        MODES.index(stream.mode)
        | (stream.channels == 1) << 2
        | (stream.compact_scale.bit_length() - 1) << 3
        | VARIANTS.index(stream.variant) << 5
    )
    header.append(_TILED if stream.tiling else 0)
    header += encode_varint(stream.width) + encode_varint(stream.height)
    if stream.tiling:
        header += encode_varint(stream.tiling.side // 16) + encode_varint(
            stream.tiling.overlap // 16
        )
    header.append(len(stream.layers))
    for layer in stream.layers:
        header.append(KINDS.index(layer.kind) << 4 | CODERS[layer.kind].index(layer.coder))
        header += encode_varint(len(layer.payload)) + struct.pack("<I", zlib.crc32(layer.payload))
        header += _parameters(stream, layer)
    header += stream.model_digest + stream.prediction_digest + (stream.label_digest or b"")
    header += struct.pack("<I", zlib.crc32(header))
    return b"".join([bytes(header), *(layer.payload for layer in stream.layers)])


def _parameters(stream: Stream, layer: Layer) -> bytes:
    """What the entry of a layer says besides coder, length and checksum."""
    if layer.kind == "compact":
        if stream.compact_step is None:
            return bytes([stream.compact_quality, stream.compact_gain])
        return bytes([stream.compact_step])
    if layer.kind == "residual" and not stream.lossless:
        return struct.pack("<hh", stream.residual_low, stream.residual_high)
    return b""


def unpack(
    data: bytes, max_pixels: int | None = DEFAULT_MAX_PIXELS, partial: bool = False
) -> Stream:
    """Reads a stream.

    Args:
      data: the bytes of one stream, all of them.
      max_pixels: the largest padded picture to accept, in pixels; None for no limit.
      partial: accept a stream that was cut off behind its compact layer; `Stream.missing` then
        tells what is not there.

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
    if version not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise UnsupportedVersionError(f"format version {version}; this release reads {known}")
    flags = reader.byte("flags")
    fields, entries = (_read_v1 if version == 1 else _read_v2)(reader, MODES[flags & 3])
    _check_crc("header", data[: reader.position], reader.crc("header checksum"))

    # The sizes are held against the limit before the layers are read.
    check_size(fields["width"], fields["height"], max_pixels)
    layers = _read_layers(reader, entries, partial)
    if reader.remaining and len(layers) == len(entries):
        raise TrailingBytesError(f"{reader.remaining} bytes after the last layer; none are allowed")
    stream = Stream(
        channels=1 if flags & 4 else 3,
        compact_scale=1 << (flags >> 3 & 3),
        mode=MODES[flags & 3],
        variant=_name("variant", flags >> 5, VARIANTS),
        layers=layers,
        version=version,
        missing=tuple(entry.kind for entry in entries[len(layers) :]),
        **fields,
    )
    check_stream(stream)
    return stream


def _read_v1(reader: "_Reader", mode: str) -> tuple[dict, list[_Entry]]:
    """Reads what follows the flags in version 1, up to the checksum."""
    fields = {"compact_step": reader.byte("compact step")}
    fields |= {"width": reader.varint("width"), "height": reader.varint("height")}
    fields |= _read_digests(reader, mode in ("matched", "mapped"))
    count = reader.byte("layer count")
    if count > V1_MAX_LAYERS:
        raise MalformedHeaderError(f"{count} layers; up to {V1_MAX_LAYERS} are allowed")
    entries = [_read_entry(reader) for _ in range(count)]
    if any(entry.kind == "residual" for entry in entries):
        fields |= _read_range(reader)
    return fields, entries


def _read_v2(reader: "_Reader", mode: str) -> tuple[dict, list[_Entry]]:
    """Reads what follows the flags in version 2, up to the checksum."""
    features = reader.byte("features")
    if features & ~_TILED:
        raise MalformedHeaderError(f"features {features:#x}; known are 0 and {_TILED}")
    fields = {"width": reader.varint("width"), "height": reader.varint("height")}
    if features & _TILED:
        side, overlap = reader.varint("tile side"), reader.varint("tile overlap")
        fields["tiling"] = Tiling(16 * side, 16 * overlap)
    fields["compact_step"] = None
    count = reader.byte("layer count")
    if count > len(KINDS):
        raise MalformedHeaderError(f"{count} layers; up to {len(KINDS)} are allowed")
    entries = []
    for _ in range(count):
        entry = _read_entry(reader)
        entries.append(entry)
        if entry.kind == "compact" and entry.coder in LOSSY_COMPACT_CODERS:
            fields["compact_quality"] = reader.byte("compact quality")
            fields["compact_gain"] = reader.byte("compact gain")
        elif entry.kind == "compact":
            fields["compact_step"] = reader.byte("compact step")
        elif entry.kind == "residual" and entry.coder != LOSSLESS_RESIDUAL_CODER:
            fields |= _read_range(reader)
    kinds = [entry.kind for entry in entries]
    if kinds != [kind for kind in LAYER_ORDER if kind in kinds]:
        raise MalformedHeaderError(f"layers {kinds}; allowed is each once, in order {LAYER_ORDER}")
    return fields | _read_digests(reader, decoder_finds_labels(mode, kinds)), entries


def _read_digests(reader: "_Reader", labels: bool) -> dict[str, bytes | None]:
    return {
        "model_digest": reader.take(DIGEST_BYTES, "model digest"),
        "prediction_digest": reader.take(DIGEST_BYTES, "prediction digest"),
        "label_digest": reader.take(DIGEST_BYTES, "label digest") if labels else None,
    }


def _read_range(reader: "_Reader") -> dict[str, int]:
    low, high = struct.unpack("<hh", reader.take(4, "residual range"))
    return {"residual_low": low, "residual_high": high}


def _read_entry(reader: "_Reader") -> _Entry:
    tag = reader.byte("layer tag")
    kind = _name("layer kind", tag >> 4, KINDS)
    coder = _name(f"coder of the {kind} layer", tag & 15, CODERS[kind])
    return _Entry(kind, coder, reader.varint("layer length"), reader.crc("layer checksum"))


def _read_layers(reader: "_Reader", entries: list[_Entry], partial: bool) -> tuple[Layer, ...]:
    layers = []
    for entry in entries:
        if partial and layers and entry.length > reader.remaining:
            break
        payload = reader.take(entry.length, f"{entry.kind} layer")
        _check_crc(f"{entry.kind} layer", payload, entry.crc)
        layers.append(Layer(entry.kind, entry.coder, payload))
    return tuple(layers)


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
        for index in range(MAX_BYTES):
            byte = self.byte(what)
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if index and not byte:
                    raise MalformedHeaderError(f"{what} {value} is not in its shortest form")
                return value
        raise MalformedHeaderError(f"{what} takes more than {MAX_BYTES} bytes")


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


def _name(what: str, number: int, names: tuple[str, ...]) -> str:
    if number >= len(names):
        raise MalformedHeaderError(f"{what} {number}; known are 0..{len(names) - 1}")
    return names[number]
