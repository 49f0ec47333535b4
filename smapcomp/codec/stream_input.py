"""Bytes of a stream from what the functions of the codec take as one."""

import io
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from smapcomp.errors import SmapcompError
from smapcomp.pictures.image_files import read_file

StreamSource = bytes | bytearray | memoryview | os.PathLike | BinaryIO
"""What the functions of the codec take as a stream."""

# Any coder needs less for noise at the highest quality; a limit makes an endless input end.
_MAX_BYTES_PER_PIXEL = 8
_MAX_BYTES_EXTRA = 1 << 20

_PIECE_BYTES = 1 << 24

_OPEN_AS_TEXT = "is open as text; open it with mode 'rb'"


def max_stream_bytes(max_pixels: int) -> int:
    """Return more bytes than the stream of any picture of so many pixels has."""
    return max_pixels * _MAX_BYTES_PER_PIXEL + _MAX_BYTES_EXTRA


def stream_bytes(source: StreamSource, max_pixels: int) -> bytes:
    """Return the bytes of a stream.

    Args:
        source: The bytes themselves, in any object with Python's buffer protocol; the path of a
            file, as an `os.PathLike`; or a binary file, which is read to its end.
        max_pixels: Largest picture in pixels. A file that no such picture needs is refused.

    Returns:
        The bytes.

    Raises:
        SmapcompError: The source is something else, such as a `str`; it cannot be read, or is too
            long.

    Example:
        >>> import io
        >>> stream_bytes(io.BytesIO(b"SMC"), max_pixels=100)
        b'SMC'
    """
    if isinstance(source, bytes):
        return source
    if isinstance(source, os.PathLike):
        return read_file(source, max_stream_bytes(max_pixels))
    if hasattr(source, "read"):
        content = f"a stream of {max_pixels} pixels"
        return b"".join(read_pieces(source, max_stream_bytes(max_pixels), content))
    try:
        return bytes(memoryview(source))
    except TypeError:
        kind = type(source).__name__
        raise SmapcompError(
            f"a {kind} is not a stream; pass bytes, a pathlib.Path or a binary file"
        ) from None


def read_pieces(file: Any, max_bytes: int, content: str) -> Iterator[bytes]:
    """Yield the content of an open file piece by piece.

    Args:
        file: Object with a method `read`.
        max_bytes: Longest content to accept.
        content: What such a content can be, for the error.

    Raises:
        SmapcompError: The file is open as text, or for writing only, is closed or too long.
    """
    name = file_name(file)
    if isinstance(file, io.TextIOBase):
        raise SmapcompError(f"{name}: {_OPEN_AS_TEXT}")
    left = max_bytes
    while True:
        try:
            # An unbuffered file may return less than it was asked for.
            piece = file.read(min(left + 1, _PIECE_BYTES))
        except (OSError, ValueError) as error:  # A ValueError if the file is closed.
            reason = getattr(error, "strerror", None) or error
            raise SmapcompError(f"{name}: {reason}") from error
        if isinstance(piece, str):
            raise SmapcompError(f"{name}: {_OPEN_AS_TEXT}")
        if not piece:
            return
        left -= len(piece)
        if left < 0:
            raise SmapcompError(f"{name}: longer than {max_bytes} bytes; {content} is shorter")
        yield piece


def file_name(file: Any) -> str:
    """Return the name of an open file for messages."""
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "the file"
