"""Varints: little-endian chains of seven bits a byte, lowest first, bit 7 set but in the last."""

MAX_BYTES = 5
"""Of a varint in a stream."""


def encode_varint(value: int) -> bytes:
    """Returns the shortest chain for a number of 0 up."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
