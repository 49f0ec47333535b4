"""Metadata chunks of PNG files, read with limits, and the rest of the file for Pillow.

Pillow refuses a whole picture for one chunk of text or colour profile of more than 1 MiB.
"""

import bisect
import io
import struct
import zlib
from typing import Any, BinaryIO

from smapcomp.errors import printable
from smapcomp.pictures.colour_tags import CICP
from smapcomp.pictures.metadata import EXIF_PREFIX, RAW_PROFILES

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

MAX_CHUNK_BYTES = 1 << 26
"""Largest metadata chunk in bytes, compressed or not; longer ones are left out. Raw profiles are
hexadecimal, so they take more than twice the bytes of the metadata."""

_XMP_KEYWORD = b"XML:com.adobe.xmp"
_SKIPPED = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"cICP")
# Pillow refuses the whole picture if one of these has another length, or any chunk a wrong CRC.
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}


class PngChunks(io.RawIOBase):
    """PNG file without its metadata chunks, as a file for Pillow.

    Args:
        file: Seekable PNG file. It stays open.

    Attributes:
        info: Entries for `info` of the Pillow image, with the keys that Pillow uses.
        too_long: Names of chunks and keywords of text that are left out since they are too long.
            Of several chunks with one name only the first is read.
        damaged: Names of chunks and keywords of text that are left out since they are damaged.
    """

    def __init__(self, file: BinaryIO):
        super().__init__()
        self.info: dict[str, Any] = {}
        self.too_long: list[str] = []
        self.damaged: list[str] = []
        self._seen: set[str] = set()
        self._file = file
        self._position = 0
        # Positions in this file, and for each the position of the same byte in the PNG file.
        self._starts = [0]
        self._sources = [0]
        self._size = file.seek(0, io.SEEK_END)
        self._end = self._size
        self._scan()

    def _scan(self) -> None:
        place, removed = len(PNG_SIGNATURE), 0
        while place + 8 <= self._size:
            self._file.seek(place)
            length, kind = struct.unpack(">I4s", self._file.read(8))
            following = place + 12 + length
            # What is cut off is left to Pillow, which reports the damage.
            if following > self._size or kind == b"IEND":
                break
            is_damaged = kind not in _SKIPPED and self._is_damaged(kind, length)
            name = printable(kind.decode("latin-1"))
            if is_damaged and name not in self._seen:
                self._seen.add(name)
                self.damaged.append(name)
            if kind in _SKIPPED:
                self._note(kind, length)
            if kind in _SKIPPED or is_damaged:
                removed += 12 + length
                if self._sources[-1] == place:
                    self._sources[-1] = following
                else:
                    self._starts.append(following - removed)
                    self._sources.append(following)
            place = following
        self._end = self._size - removed

    def _is_damaged(self, kind: bytes, length: int) -> bool:
        """Return whether a chunk that decoders can do without is damaged, as libpng judges it.

        The data of the chunk begin at the position of the file.
        """
        is_optional = bool(kind[0] & 0x20)
        if not is_optional or length > MAX_CHUNK_BYTES:
            return False
        if _LENGTHS.get(kind, length) != length:
            return True
        checksum = zlib.crc32(self._file.read(length), zlib.crc32(kind))
        return self._file.read(4) != checksum.to_bytes(4, "big")

    def _note(self, kind: bytes, length: int) -> None:
        """Read a metadata chunk whose data begin at the position of the file."""
        # Names of text are at most 79 bytes long.
        head = self._file.read(min(length, 80))
        keyword, _, _ = head.partition(b"\0")
        name = keyword.decode("latin-1")
        is_text = kind in (b"tEXt", b"zTXt", b"iTXt")
        if is_text and keyword != _XMP_KEYWORD and name not in RAW_PROFILES:
            return
        title = name if is_text else kind.decode()
        # Chunks that are repeated would take time without limit.
        if title in self._seen:
            return
        self._seen.add(title)
        if length > MAX_CHUNK_BYTES:
            self.too_long.append(title)
            return
        data = head + self._file.read(length - len(head))
        try:
            self._keep(kind, name, data)
        except _TooLongError:
            self.too_long.append(title)
        except (ValueError, zlib.error):
            self.damaged.append(title)

    def _keep(self, kind: bytes, name: str, data: bytes) -> None:
        if kind == b"eXIf":
            self.info["exif"] = EXIF_PREFIX + data.removeprefix(EXIF_PREFIX)
        elif kind == b"cICP" and len(data) == 4:
            self.info[CICP] = tuple(data)
        elif kind == b"iCCP":
            _, packed = data.split(b"\0", 1)
            self.info["icc_profile"] = _inflate(packed[1:])
        elif kind == b"tEXt":
            _, text = data.split(b"\0", 1)
            self._keep_text(name, text)
        elif kind == b"zTXt":
            _, packed = data.split(b"\0", 1)
            self._keep_text(name, _inflate(packed[1:]))
        elif kind == b"iTXt":
            _, rest = data.split(b"\0", 1)
            is_packed = rest[:1] != b"\0"
            _, _, text = rest[2:].split(b"\0", 2)
            self._keep_text(name, _inflate(text) if is_packed else text)

    def _keep_text(self, name: str, text: bytes) -> None:
        if name == _XMP_KEYWORD.decode():
            self.info["xmp"] = text
        else:
            self.info[name] = text.decode("latin-1")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read up to the next removed chunk."""
        index = bisect.bisect_right(self._starts, self._position) - 1
        start = self._starts[index]
        end = self._starts[index + 1] if index + 1 < len(self._starts) else self._end
        count = min(len(buffer), max(0, end - self._position))
        if not count:
            return 0
        self._file.seek(self._sources[index] + self._position - start)
        data = self._file.read(count)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class _TooLongError(Exception):
    """The inflated data exceed `MAX_CHUNK_BYTES`."""


def _inflate(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    text = stream.decompress(data, MAX_CHUNK_BYTES + 1)
    if len(text) > MAX_CHUNK_BYTES:
        raise _TooLongError
    return text
