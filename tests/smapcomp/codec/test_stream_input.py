"""What is taken as a stream: bytes, paths and binary files; all else is refused in words."""

import io
from array import array
from pathlib import Path

import numpy as np
import pytest

from smapcomp.codec.stream_input import max_stream_bytes, stream_bytes
from smapcomp.errors import SmapcompError

DATA = bytes(range(256)) * 5


class Slow(io.RawIOBase):
    """A file that returns three bytes at a time, as pipes and sockets may."""

    def __init__(self) -> None:
        self._inner = io.BytesIO(DATA)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        piece = self._inner.read(min(3, len(buffer)))
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.mark.parametrize(
    "source",
    [
        DATA,
        bytearray(DATA),
        memoryview(DATA),
        memoryview(bytes(x for byte in DATA for x in (byte, 0)))[::2],
        np.frombuffer(DATA, np.uint8),
        array("B", DATA),
        io.BytesIO(DATA),
        Slow(),
    ],
    ids=lambda source: type(source).__name__,
)
def test_bytes_and_binary_files_are_streams(source):
    assert stream_bytes(source, 100) == DATA


def test_a_path_is_that_of_a_file_and_not_its_letters(tmp_path):
    path = tmp_path / "x.smc"
    path.write_bytes(DATA)
    assert stream_bytes(path, 100) == DATA
    with path.open("rb") as file:
        assert file.read(7) == DATA[:7]
        assert stream_bytes(file, 100) == DATA[7:]
    with path.open("rb", buffering=0) as file:
        assert stream_bytes(file, 100) == DATA


@pytest.mark.parametrize("source", ["x.smc", 7, None, [1, 2], object()])
def test_anything_else_is_refused_with_what_is_allowed(source):
    message = f"a {type(source).__name__} is not a stream; pass bytes, a pathlib.Path or a binary"
    with pytest.raises(SmapcompError, match=message):
        stream_bytes(source, 100)


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "text").write_text("text")
    with pytest.raises(SmapcompError, match="absent: No such file or directory"):
        stream_bytes(Path("absent"), 100)
    with pytest.raises(SmapcompError, match="Is a directory"):
        stream_bytes(tmp_path, 100)
    (tmp_path / "binary").write_bytes(DATA)
    for name in ("text", "binary"):
        with (
            (tmp_path / name).open() as file,
            pytest.raises(SmapcompError, match="open as text; open it with mode 'rb'"),
        ):
            stream_bytes(file, 100)
    with pytest.raises(SmapcompError, match="the file: is open as text"):
        stream_bytes(io.StringIO("text"), 100)
    with (tmp_path / "binary").open("rb") as closed:
        pass
    with pytest.raises(SmapcompError, match="closed file"):
        stream_bytes(closed, 100)
    with (tmp_path / "w").open("wb") as file, pytest.raises(SmapcompError, match="w: read"):
        stream_bytes(file, 100)


def test_an_endless_file_ends():
    with open("/dev/zero", "rb") as file, pytest.raises(SmapcompError, match="/dev/zero: longer"):
        stream_bytes(file, 100)
    with pytest.raises(SmapcompError, match="/dev/zero: longer than"):
        stream_bytes(Path("/dev/zero"), 100)
    longest = bytes(max_stream_bytes(1))
    assert stream_bytes(io.BytesIO(longest), 1) == longest
    with pytest.raises(SmapcompError, match=f"the file: longer than {len(longest)} bytes"):
        stream_bytes(io.BytesIO(longest + b"!"), 1)
