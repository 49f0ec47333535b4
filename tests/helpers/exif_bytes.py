"""EXIF and PNG chunks with any content."""

import struct
import zlib
from collections.abc import Sequence


def exif(
    entries: Sequence[tuple[int, int, int, bytes]], order: str = "<", following: int = 0
) -> bytes:
    """Return EXIF with a directory of entries, right or wrong.

    Args:
        entries: Tag, type, number of values, and bytes of the values or of their position.
        order: Order of the bytes: "<" for little endian or ">" for big endian.
        following: Position of the next directory.
    """
    end = 8 + 2 + 12 * len(entries) + 4
    rows, values = b"", b""
    for tag, kind, count, data in entries:
        rows += struct.pack(order + "HHI", tag, kind, count)
        if len(data) <= 4:
            rows += data.ljust(4, b"\0")
        else:
            rows += struct.pack(order + "I", end + len(values))
            values += data
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + rows + struct.pack(order + "I", following) + values


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def with_chunks(png: bytes, *chunks: bytes, at_the_end: bool = False) -> bytes:
    """Return a PNG file with chunks before or after the samples."""
    place = len(png) - 12 if at_the_end else 33
    return png[:place] + b"".join(chunks) + png[place:]
