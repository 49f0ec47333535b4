"""Reader and writer of streams: a header, then the payloads of the layers.

`docs/format.md` describes the format byte by byte. `pack` and `unpack` check a `Stream` against the
same rules, and `unpack` checks all of them, checksums included, before it allocates anything of the
picture's size.
"""

import struct
import zlib
from typing import Any, NamedTuple

from smapcomp.codec.bitstream.stream import (
    CODERS,
    KINDS,
    LOSSLESS_RESIDUAL_CODER,
    LOSSY_COMPACT_CODERS,
    VARIANTS,
    VERSION,
    Layer,
    Stream,
    check_layer_order,
    check_size,
    check_stream,
)
from smapcomp.codec.bitstream.varint import decode_varint, encode_varint
from smapcomp.design import DEFAULT_MAX_PIXELS, DIGEST_BYTES, MODES, Tiling
from smapcomp.errors import (
    ChecksumError,
    MalformedHeaderError,
    NotAStreamError,
    TrailingBytesError,
    TruncatedError,
    UnsupportedVersionError,
)

MAGIC = b"\xd3SM\n"
"""First bytes of a stream. As in PNG, the first is not ASCII and the last is a line feed, so that a
transfer in text mode is noticed."""

# Bits of the feature byte: the header has a tiling; the stream is plain. No other is defined.
_TILED, _PLAIN = 1, 2


class _Entry(NamedTuple):
    """An entry of the layer table: kind, coder, length of the payload, CRC-32 of the payload."""

    kind: str
    coder: str
    length: int
    crc: int


def pack(stream: Stream) -> bytes:
    """Return the bytes of a stream.

    Raises:
        MalformedHeaderError: A field breaks the rules of the format, or layers are missing.
        LimitError: A side is longer than 65,536 pixels.
    """
    check_stream(stream)
    if stream.missing:
        raise MalformedHeaderError(
            f"missing layers {stream.missing}; only whole streams are written"
        )
    header = bytearray(MAGIC)
    header.append(VERSION)
    header.append(
        MODES.index(stream.mode)
        | (stream.channels == 1) << 2
        | (stream.compact_scale.bit_length() - 1) << 3
        | VARIANTS.index(stream.variant) << 5
    )
    header.append((_TILED if stream.tiling else 0) | (_PLAIN if stream.plain else 0))
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
    for digest in (stream.model_digest, stream.prediction_digest):
        header += digest or b""
    header += struct.pack("<I", zlib.crc32(header))
    return b"".join([bytes(header), *(layer.payload for layer in stream.layers)])


def _parameters(stream: Stream, layer: Layer) -> bytes:
    """Return the bytes of a layer's entry that follow coder, length and checksum."""
    if layer.kind == "compact":
        if stream.compact_quality is not None:
            return bytes([stream.compact_quality, stream.compact_gain])
        return struct.pack("B", stream.compact_step)
    if layer.kind == "residual" and not stream.lossless_residual:
        return struct.pack("<hh", stream.residual_low, stream.residual_high)
    return b""


def unpack(
    data: bytes, max_pixels: int | None = DEFAULT_MAX_PIXELS, partial: bool = False
) -> Stream:
    """Read a stream.

    Args:
        data: The bytes of one stream, all of them.
        max_pixels: Largest padded picture to accept, in pixels; `None` for no limit.
        partial: Accept a stream that was cut off behind its compact layer. `Stream.missing` then
            names the missing layers.

    Returns:
        The stream. The checksums of its payloads are verified; the payloads are not decoded.

    Raises:
        NotAStreamError: The data do not start with `MAGIC`.
        UnsupportedVersionError: The format version is not `VERSION`.
        TruncatedError: The data end before the stream does.
        ChecksumError: A checksum does not match.
        MalformedHeaderError: A field breaks the rules of the format.
        LimitError: The picture is larger than allowed.
        TrailingBytesError: Bytes follow the last layer.
    """
    data = bytes(data)
    reader = _Reader(data)
    _check_magic(data)
    reader.take(len(MAGIC), "magic")
    _check_version(reader.byte("version"))
    flags = reader.byte("flags")
    mode = MODES[flags & 3]
    fields, entries = _read_fields(reader, mode)
    _check_crc("header", data[: reader.position], reader.crc("header checksum"))

    # The sizes are checked against the limit before the layers are read.
    check_size(fields["width"], fields["height"], max_pixels)
    layers = _read_layers(reader, entries, partial)
    if reader.remaining and len(layers) == len(entries):
        raise TrailingBytesError(f"{reader.remaining} bytes after the last layer; none are allowed")
    stream = Stream(
        channels=1 if flags & 4 else 3,
        compact_scale=1 << (flags >> 3 & 3),
        mode=mode,
        variant=_name("variant", flags >> 5, VARIANTS),
        layers=layers,
        missing=tuple(entry.kind for entry in entries[len(layers) :]),
        **fields,
    )
    check_stream(stream)
    return stream


def _check_version(version: int) -> None:
    if version in range(1, VERSION):
        raise UnsupportedVersionError(
            f"format version {version}, written by a development version; this release reads "
            f"version {VERSION}"
        )
    if version != VERSION:
        raise UnsupportedVersionError(
            f"format version {version}; this release reads version {VERSION}"
        )


def _read_fields(reader: "_Reader", mode: str) -> tuple[dict[str, Any], list[_Entry]]:
    """Read the header from behind the flags up to its checksum."""
    features = reader.byte("features")
    if features & ~(_TILED | _PLAIN):
        raise MalformedHeaderError(f"features {features:#x}; known are 0..{_TILED | _PLAIN}")
    fields: dict[str, Any] = {
        "width": reader.varint("width"),
        "height": reader.varint("height"),
        "compact_step": None,
        "plain": bool(features & _PLAIN),
        "model_digest": None,
        "prediction_digest": None,
    }
    if features & _TILED:
        side, overlap = reader.varint("tile side"), reader.varint("tile overlap")
        fields["tiling"] = Tiling(16 * side, 16 * overlap)
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
            low, high = struct.unpack("<hh", reader.take(4, "residual range"))
            fields |= {"residual_low": low, "residual_high": high}
    kinds = [entry.kind for entry in entries]
    check_layer_order(kinds)
    if not fields["plain"]:
        fields["model_digest"] = reader.take(DIGEST_BYTES, "model digest")
        fields["prediction_digest"] = reader.take(DIGEST_BYTES, "prediction digest")
    return fields, entries


def _read_entry(reader: "_Reader") -> _Entry:
    tag = reader.byte("layer tag")
    kind = _name("layer kind", tag >> 4, KINDS)
    coder = _name(f"coder of the {kind} layer", tag & 15, CODERS[kind])
    return _Entry(kind, coder, reader.varint("layer length"), reader.crc("layer checksum"))


def _read_layers(reader: "_Reader", entries: list[_Entry], partial: bool) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for entry in entries:
        if partial and layers and entry.length > reader.remaining:
            break
        payload = reader.take(entry.length, f"{entry.kind} layer")
        _check_crc(f"{entry.kind} layer", payload, entry.crc)
        layers.append(Layer(entry.kind, entry.coder, payload))
    return tuple(layers)


class _Reader:
    """Cursor over the data; raises `TruncatedError` for a field that passes the end."""

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
        try:
            value, self.position = decode_varint(self.data, self.position)
        except EOFError:
            raise TruncatedError(f"{what} is cut off") from None
        except ValueError as error:
            raise MalformedHeaderError(f"{what} {error}") from None
        return value


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
