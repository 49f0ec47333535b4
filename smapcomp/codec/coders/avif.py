"""Conversion between AVIF files and bare AV1 pictures: a sequence header and a frame.

The boxes of a small AVIF file take about 280 bytes, 0.006 bits per pixel of a 768×512 picture, and
repeat what the header of the stream says. They are left out of the stream and rebuilt for decoding.

Names are those of the AV1 bitstream specification (5.3 OBU, 5.5 sequence header) and of ISO/IEC
14496-12, 23008-12 and the AVIF specification (boxes).
"""

import struct

from smapcomp.codec.coders.heif import box, heif_file
from smapcomp.errors import PayloadError

_OBU_SEQUENCE_HEADER = 1
_OBU_TEMPORAL_DELIMITER = 2
_OBU_FRAME = 6
_SEQUENCE_BYTES = 32
"""Bytes that hold the sequence header of any still picture."""


def strip_avif(file: bytes) -> bytes:
    """Return the OBUs of an AVIF file of one item, without the temporal delimiter.

    Raises:
        PayloadError: The file has no media data.
    """
    position = 0
    while position < len(file):
        size, kind = struct.unpack_from(">I4s", file, position)
        if kind == b"mdat":
            obus = file[position + 8 : position + size]
            kept = [raw for kind, raw in _split_obus(obus) if kind != _OBU_TEMPORAL_DELIMITER]
            return b"".join(kept)
        position += size
    raise PayloadError("AVIF file has no mdat box")


def wrap_avif(obus: bytes, shape: tuple[int, int, int]) -> bytes:
    """Return an AVIF file around the OBUs of one 8-bit picture, full range BT.601.

    Args:
        obus: The OBUs.
        shape: Height, width and channels (1 or 3) of the picture.

    Raises:
        PayloadError: The OBUs are not a sequence header of that size and one frame. Checked OBUs
            cannot make a decoder allocate more memory than that size needs.
    """
    kinds = [kind for kind, _ in _split_obus(obus)]
    if kinds != [_OBU_SEQUENCE_HEADER, _OBU_FRAME]:
        allowed = [_OBU_SEQUENCE_HEADER, _OBU_FRAME]
        raise PayloadError(f"AV1 picture has OBUs of types {kinds}, must have {allowed}")
    level = _check_sequence_header(_split_obus(obus)[0][1], shape)
    grey = shape[2] == 1
    configuration = bytes([0x81, (not grey) << 5 | level, 0x1C if grey else 0, 0])
    return heif_file(b"avifavifmif1", b"av01", box(b"av1C", configuration), shape, obus)


def _split_obus(data: bytes) -> list[tuple[int, bytes]]:
    """Split into `(obu_type, whole OBU)`; every OBU must carry its size."""
    obus = []
    position = 0
    while position < len(data):
        header = data[position]
        if header & 0b1000_0111 != 0b0000_0010:
            raise PayloadError(f"AV1 OBU header {header:02x}; has_size_field alone must be set")
        size, start = _leb128(data, position + 1)
        if size > len(data) - start:
            raise PayloadError(f"AV1 OBU of {size} bytes, {len(data) - start} are left")
        obus.append((header >> 3 & 15, data[position : start + size]))
        position = start + size
    return obus


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    """Return a value and the position after it."""
    value = 0
    for index, byte in enumerate(data[position : position + 4]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise PayloadError("AV1 OBU size takes more than 4 bytes or is cut off")


def _check_sequence_header(obu: bytes, shape: tuple[int, int, int]) -> int:
    """Check profile and size in a sequence_header_obu; return its seq_level_idx."""
    _, start = _leb128(obu, 1)
    content = obu[start : start + _SEQUENCE_BYTES].ljust(_SEQUENCE_BYTES, b"\0")
    value, left = int.from_bytes(content, "big"), 8 * _SEQUENCE_BYTES

    def take(count: int) -> int:
        nonlocal left
        left -= count
        return value >> left & ((1 << count) - 1)

    profile, still, reduced, level = take(3), take(1), take(1), take(5)
    # Profile 0 is for grey, profile 1 for 4:4:4.
    found, allowed = (profile, still, reduced), (int(shape[2] == 3), 1, 1)
    if found != allowed:
        raise PayloadError(
            f"AV1 seq_profile, still_picture, reduced_still_picture_header are {found}, "
            f"must be {allowed}"
        )
    width_bits, height_bits = take(4) + 1, take(4) + 1
    width, height = take(width_bits) + 1, take(height_bits) + 1
    if (height, width) != shape[:2]:
        raise PayloadError(f"AV1 picture of {width}x{height} pixels, must be {shape[1]}x{shape[0]}")
    return level
