"""Bit depth and colour numbers of AVIF files, which Pillow does not tell.

The boxes are those of ISO/IEC 14496-12 and 23000-22.
"""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

_MAX_BOX_BYTES = 1 << 24
_MAX_BOXES = 1 << 10
_DESCRIBING_BOXES = (b"meta", b"moov")


def read_avif_facts(file: BinaryIO) -> tuple[int, tuple[int, int, int, int] | None]:
    """Return the bits of a sample, and primaries, transfer, matrix and range of H.273.

    Args:
        file: Seekable AVIF file.

    Returns:
        8 bits if the file does not say otherwise, and `None` if it has no colour numbers.
    """
    bits, numbers = 8, None
    for data in _describing_boxes(file):
        for place in _places(data, b"av1C\x81"):
            if place + 7 <= len(data):
                # Bits of this byte: tier, high depth, 12 bits, monochrome, ...
                flags = data[place + 6]
                depth = (12 if flags & 0x20 else 10) if flags & 0x40 else 8
                bits = max(bits, depth)
        for place in _places(data, b"colrnclx"):
            if numbers is None and place + 15 <= len(data):
                primaries, transfer, matrix, full = struct.unpack_from(">HHHB", data, place + 8)
                numbers = (primaries, transfer, matrix, full >> 7)
    return bits, numbers


def _describing_boxes(file: BinaryIO) -> Iterator[bytes]:
    """Yield the content of the boxes that hold the properties of pictures."""
    size = file.seek(0, io.SEEK_END)
    place = 0
    for _ in range(_MAX_BOXES):
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:
            return
        length, kind = struct.unpack_from(">I4s", head)
        start = 8
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
            start = 16
        elif length == 0:
            length = size - place
        if length < start:
            return
        if kind in _DESCRIBING_BOXES:
            file.seek(place + start)
            yield file.read(min(length - start, _MAX_BOX_BYTES))
        place += length


def _places(data: bytes, pattern: bytes) -> Iterator[int]:
    place = data.find(pattern)
    while place >= 0:
        yield place
        place = data.find(pattern, place + 1)
