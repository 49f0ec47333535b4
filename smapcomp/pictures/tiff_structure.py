"""Directories of a TIFF structure, read without trust in their pointers and counts, and written.

EXIF and TIFF files consist of such directories. Pillow's parser raises many kinds of exceptions on
unusual ones, and its writer changes types and loses entries. This module reads entries as bytes and
writes them again as they were.
"""

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
"""Types of values (TIFF 6.0, section 2)."""

# Struct formats of the types, and how many of them make one value. Type 13 is a pointer.
_FORMATS = {
    BYTE: "B",
    ASCII: "B",
    SHORT: "H",
    LONG: "I",
    RATIONAL: "II",
    6: "b",
    UNDEFINED: "B",
    8: "h",
    9: "i",
    10: "ii",
    11: "f",
    12: "d",
    13: "I",
    16: "Q",
    17: "q",
    18: "Q",
}
_POINTER_TYPES = (LONG, 13, 16, 18)
LARGEST_CLASSIC_TYPE = 12
"""Largest type of TIFF without 64-bit positions, apart from pointers."""

_ORDERS = {b"II": "<", b"MM": ">"}
# A value may be the target of many entries.
_MAX_VALUE_BYTES = 1 << 26
_MAX_ENTRIES = 1 << 16
# A directory may point to itself, and a damaged chain may be long.
_MAX_DIRECTORIES = 16


@dataclass(frozen=True)
class Entry:
    """Entry of a directory.

    Attributes:
        tag: Number of the tag.
        kind: Type of the values.
        count: Number of values.
        data: Bytes of the values, in the order of the structure.
        order: "<" for little endian or ">" for big endian.
        position: Position of the entry in the structure.
    """

    tag: int
    kind: int
    count: int
    data: bytes
    order: str
    position: int = 0

    def values(self) -> tuple[float, ...]:
        """Return the values as numbers. A rational number with denominator 0 is NaN."""
        letters = _FORMATS[self.kind]
        width = struct.calcsize("=" + letters[0])
        numbers = struct.unpack(f"{self.order}{len(self.data) // width}{letters[0]}", self.data)
        if len(letters) == 1:
            return numbers
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return tuple(a / b if b else float("nan") for a, b in pairs)


@dataclass(frozen=True)
class Directory:
    """Directory of a TIFF structure.

    Attributes:
        entries: Entries whose type is known and whose values lie within the structure.
        broken: Tags of the other entries.
        following: Position of the next directory, 0 if there is none.
        is_whole: Whether the table of the entries lies within the structure.
    """

    entries: tuple[Entry, ...] = ()
    broken: tuple[int, ...] = ()
    following: int = 0
    is_whole: bool = False

    def last(self, tag: int) -> Entry | None:
        """Return the last entry with a tag, which is the one that Pillow uses."""
        found = [entry for entry in self.entries if entry.tag == tag]
        return found[-1] if found else None


class TiffStructure:
    """Reader of the directories of EXIF or of a TIFF file.

    Args:
        file: Bytes of EXIF without prefix, or a seekable file.
    """

    def __init__(self, file: bytes | BinaryIO):
        self._file = io.BytesIO(file) if isinstance(file, bytes) else file
        self._size = self._file.seek(0, io.SEEK_END)
        self._directories: dict[int, Directory] = {}
        self._left_bytes = _MAX_VALUE_BYTES
        head = self._read(0, 16)
        self.order = _ORDERS.get(head[:2], "<")
        self.is_big = head[2:4] in (b"\x2b\0", b"\0\x2b")
        """Whether positions have 64 bits (BigTIFF)."""
        self._word = "Q" if self.is_big else "I"
        start = 8 if self.is_big else 4
        first = self._unpack(self._word, start)
        self.first = first[0] if first else 0
        """Position of the first directory; 0 if the header is cut off."""

    def directory(self, position: int) -> Directory:
        """Return a directory; what lies outside of the structure is left out."""
        if position not in self._directories:
            self._directories[position] = self._read_directory(position)
        return self._directories[position]

    def _read_directory(self, position: int) -> Directory:
        counted = self._unpack("Q" if self.is_big else "H", position) if position else None
        if counted is None or counted[0] > _MAX_ENTRIES:
            return Directory()
        start = position + (8 if self.is_big else 2)
        entry_size = 20 if self.is_big else 12
        entries: list[Entry] = []
        broken: list[int] = []
        for index in range(counted[0]):
            place = start + index * entry_size
            head = self._unpack("HH" + self._word, place)
            if head is None:
                return Directory(tuple(entries), tuple(broken))
            data = self._value(head[1], head[2], place + entry_size - (8 if self.is_big else 4))
            if data is None:
                broken.append(head[0])
            else:
                entries.append(Entry(head[0], head[1], head[2], data, self.order, place))
        following = self._unpack(self._word, start + counted[0] * entry_size)
        return Directory(
            tuple(entries), tuple(broken), following[0] if following else 0, following is not None
        )

    def pointed(self, directory: Directory, tag: int) -> Directory | None:
        """Return the directory that an entry points to; `None` if there is no such entry."""
        entry = directory.last(tag)
        if entry is None or entry.kind not in _POINTER_TYPES:
            return None
        return self.directory(int(entry.values()[0]))

    def chain(self) -> Iterator[Directory]:
        """Yield the first directory and those that follow it."""
        position, seen = self.first, set[int]()
        while position and position not in seen and len(seen) < _MAX_DIRECTORIES:
            seen.add(position)
            directory = self.directory(position)
            yield directory
            position = directory.following

    def _value(self, kind: int, count: int, place: int) -> bytes | None:
        if kind not in _FORMATS or not count:
            return None
        size = count * struct.calcsize("=" + _FORMATS[kind])
        if size > self._left_bytes:
            return None
        if size > (8 if self.is_big else 4):
            pointer = self._unpack(self._word, place)
            if pointer is None:
                return None
            place = pointer[0]
        data = self._read(place, size)
        self._left_bytes -= len(data)
        return data if len(data) == size else None

    def _unpack(self, letters: str, position: int) -> tuple[int, ...] | None:
        size = struct.calcsize("=" + letters)
        data = self._read(position, size)
        return struct.unpack(self.order + letters, data) if len(data) == size else None

    def _read(self, position: int, size: int) -> bytes:
        if position >= self._size:
            return b""
        self._file.seek(position)
        return self._file.read(size)


def in_order(entry: Entry, order: str) -> Entry:
    """Return an entry with its values in another order of bytes."""
    if entry.order == order:
        return entry
    letter = _FORMATS[entry.kind][0]
    width = struct.calcsize("=" + letter)
    data = entry.data
    swapped = b"".join(data[i : i + width][::-1] for i in range(0, len(data), width))
    return replace(entry, data=swapped, order=order)


@dataclass(frozen=True)
class Tree:
    """Content of a directory to be written.

    Attributes:
        entries: Entries; of several with one tag the last one is written. Their types are those of
            classic TIFF.
        nested: Directories to which entries point, by tag.
    """

    entries: tuple[Entry, ...]
    nested: Mapping[int, "Tree"] = field(default_factory=dict)

    def pack(self, order: str, position: int) -> bytes:
        """Return the directory with its values and nested directories.

        Args:
            order: Order of the bytes.
            position: Position of the directory in the structure, an even number.
        """
        entries = {entry.tag: in_order(entry, order) for entry in self.entries}
        tags = sorted(entries.keys() | self.nested.keys())
        end = position + 2 + 12 * len(tags) + 4
        rows, values = b"", b""
        for tag in tags:
            if tag in self.nested:
                rows += struct.pack(order + "HHII", tag, LONG, 1, end + len(values))
                values += self.nested[tag].pack(order, end + len(values))
                continue
            entry = entries[tag]
            rows += struct.pack(order + "HHI", tag, entry.kind, entry.count)
            if len(entry.data) <= 4:
                rows += entry.data.ljust(4, b"\0")
            else:
                rows += struct.pack(order + "I", end + len(values))
                values += entry.data + bytes(len(entry.data) % 2)
        return struct.pack(order + "H", len(tags)) + rows + bytes(4) + values
