"""Variable-length integers: seven bits a byte, lowest group first, bit 7 set except in the last."""

MAX_BYTES = 5
"""Longest varint in a stream, in bytes."""


def encode_varint(value: int) -> bytes:
    """Return the shortest code of a non-negative integer.

    Example:
        >>> encode_varint(300).hex()
        'ac02'
    """
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, position: int) -> tuple[int, int]:
    """Read the code that starts at a position.

    Args:
        data: The bytes to read from.
        position: Index of the first byte of the code.

    Returns:
        The value and the position after its last byte.

    Raises:
        EOFError: The data end within the code.
        ValueError: The code has more than `MAX_BYTES` bytes or is not the shortest of its value.

    Example:
        >>> decode_varint(bytes.fromhex("ac02"), 0)
        (300, 2)
    """
    value = 0
    for index in range(MAX_BYTES):
        if position + index >= len(data):
            raise EOFError("the data end within a varint")
        byte = data[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if index and not byte:
                raise ValueError(f"{value} is not in its shortest form")
            return value, position + index + 1
    raise ValueError(f"takes more than {MAX_BYTES} bytes")
