"""Range coder with 32-bit integer arithmetic, so that every machine writes the same bytes.

A symbol is an interval [start, start + size) of [0, total), by which the coder narrows its range.
The caller defines the symbols and their probabilities.
"""

MAX_TOTAL = 1 << 16
"""Largest total of an interval."""

_TOP = 1 << 24
_MASK = (1 << 32) - 1


class RangeEncoder:
    """Encoder of intervals to bytes."""

    def __init__(self) -> None:
        self._low = 0
        self._range = _MASK
        self._out = bytearray()

    def encode(self, start: int, size: int, total: int) -> None:
        """Code the interval [start, start + size) of [0, total), 1 <= total <= `MAX_TOTAL`."""
        unit = self._range // total
        self._low += unit * start
        self._range = unit * size
        if self._low > _MASK:
            self._low &= _MASK
            self._carry()
        while self._range < _TOP:
            self._out.append(self._low >> 24)
            self._low = self._low << 8 & _MASK
            self._range <<= 8

    def finish(self) -> bytes:
        """Return the shortest bytes that identify the final range, without trailing zeros."""
        for bits in (24, 16, 8, 0):
            value = -(-self._low >> bits << bits)
            if value < self._low + self._range:
                break
        if value > _MASK:
            self._carry()
        self._out += (value & _MASK).to_bytes(4, "big")
        return bytes(self._out.rstrip(b"\0")) or b"\0"

    def _carry(self) -> None:
        position = len(self._out) - 1
        while self._out[position] == 255:
            self._out[position] = 0
            position -= 1
        self._out[position] += 1


class RangeDecoder:
    """Decoder of a `RangeEncoder`'s bytes to intervals; any bytes decode to some intervals."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 4
        self._code = int.from_bytes(data[:4].ljust(4, b"\0"), "big")
        self._range = _MASK
        self._unit = 1

    def target(self, total: int) -> int:
        """Return a number of [0, total) within the next interval; `consume` must follow."""
        self._unit = self._range // total
        return min(self._code // self._unit, total - 1)

    def consume(self, start: int, size: int) -> None:
        """Remove the interval that `target` pointed into."""
        self._code -= self._unit * start
        self._range = self._unit * size
        while self._range < _TOP:
            byte = self._data[self._position] if self._position < len(self._data) else 0
            self._position += 1
            self._code = (self._code << 8 | byte) & _MASK
            self._range <<= 8

    @property
    def unread(self) -> int:
        """Number of bytes that the decoder has not read."""
        return max(0, len(self._data) - self._position)
