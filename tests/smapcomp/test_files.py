"""Compression and decompression of files: paths and open files, long names, and a full disk."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import smapcomp
from smapcomp.errors import SmapcompError
from smapcomp.files import compress_file, decompress_file, read_stream
from smapcomp.pictures.image_files import (
    OUTPUT_EXTENSIONS,
    cut_name,
    read_picture,
    write_file,
    write_picture,
)
from smapcomp.pictures.picture import Picture
from tests.helpers.paths import ROOT
from tests.helpers.pictures import encode_image, smooth_picture

QUICK = {"speed": 10, "mode": "none"}


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return smooth_picture(1, 40, 56)


@pytest.fixture(scope="module")
def stream(samples) -> bytes:
    return smapcomp.compress(samples, **QUICK)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "PPM", "JPEG2000", "WEBP"])
def test_an_open_file_is_compressed_like_its_path(tmp_path, samples, kind):
    data = encode_image(samples, kind)
    (tmp_path / "a").write_bytes(data)
    facts = compress_file(tmp_path / "a", tmp_path / "a.smc", **QUICK)
    out = io.BytesIO()
    assert compress_file(io.BytesIO(data), out, **QUICK) == facts
    assert out.getvalue() == (tmp_path / "a.smc").read_bytes()
    assert facts["bytes"] == len(out.getvalue())
    assert sorted(os.listdir(tmp_path)) == ["a", "a.smc"]


@pytest.mark.parametrize("extension", OUTPUT_EXTENSIONS)
def test_an_open_file_gets_the_bytes_of_a_picture_in_any_format(tmp_path, stream, extension):
    (tmp_path / "a.smc").write_bytes(stream)
    path = tmp_path / f"a{extension}"
    grey = extension == ".pgm"
    if grey:
        stream = smapcomp.compress(np.zeros((9, 8), np.uint8), **QUICK)
        (tmp_path / "a.smc").write_bytes(stream)
    facts = decompress_file(tmp_path / "a.smc", path)
    out = io.BytesIO()
    assert decompress_file(io.BytesIO(stream), out, file_format=extension[1:]) == facts
    assert out.getvalue() == path.read_bytes()


def test_a_named_pipe_is_compressed_like_a_file(tmp_path, samples, stream):
    os.mkfifo(tmp_path / "pipe")
    data = encode_image(samples)
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    out = io.BytesIO()
    compress_file(tmp_path / "pipe", out, **QUICK)
    writer.join()
    assert out.getvalue() == stream


class Dripping(io.RawIOBase):
    """A file that takes 100 bytes at a time, as an unbuffered pipe may."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.content += bytes(data[:100])
        return min(len(data), 100)


def test_an_unbuffered_file_gets_all_bytes(stream):
    out = Dripping()
    decompress_file(io.BytesIO(stream), out)
    expected = io.BytesIO()
    decompress_file(io.BytesIO(stream), expected)
    assert out.content == expected.getvalue()


def test_errors_name_the_open_file(tmp_path, stream):
    (tmp_path / "text").write_text("text")
    with (
        (tmp_path / "text").open("rb") as file,
        pytest.raises(SmapcompError, match="text: not a picture of a known format"),
    ):
        compress_file(file, io.BytesIO())
    with pytest.raises(SmapcompError, match="the file: not a picture of a known format"):
        compress_file(io.BytesIO(b"text"), io.BytesIO())
    with pytest.raises(SmapcompError, match="the file: is open as text"):
        compress_file(io.StringIO("text"), io.BytesIO())
    with pytest.raises(SmapcompError, match=r"the file: unknown extension '\.gif'; known are"):
        decompress_file(io.BytesIO(stream), io.BytesIO(), file_format="gif")
    with (
        open("/dev/full", "wb", buffering=0) as full,
        pytest.raises(SmapcompError, match="/dev/full: No space left on device"),
    ):
        decompress_file(io.BytesIO(stream), full)


def test_transparent_pixels_need_a_format_that_has_them(samples):
    alpha = np.dstack([samples, samples[:, :, :1]])
    stream = smapcomp.compress(alpha, **QUICK)
    with pytest.raises(SmapcompError, match="the file: JPEG cannot hold the picture's transparent"):
        decompress_file(io.BytesIO(stream), io.BytesIO(), file_format="jpg")


def test_an_endless_picture_ends():
    with open("/dev/zero", "rb") as file:
        with pytest.raises(SmapcompError, match=r"/dev/zero: longer than .* 9 pixels is shorter"):
            compress_file(file, io.BytesIO(), max_pixels=9)
        with pytest.raises(SmapcompError, match=r"/dev/zero: longer than .* 9 pixels is shorter"):
            read_stream(file, 9)


@pytest.mark.parametrize("letter", ["a", "ä", "画", "😀", os.fsdecode(b"\xff")], ids=ascii)
def test_names_of_any_length_that_the_file_system_allows_work(tmp_path, samples, letter):
    for stem in {cut_name(letter * 251, length) for length in range(236, 252)}:
        write_file(tmp_path / f"{stem}.smc", b"1")
        picture = tmp_path / f"{stem}.png"
        write_picture(picture, Picture(samples))
        assert read_picture(picture).samples.shape == samples.shape
    with pytest.raises(SmapcompError, match="File name too long"):
        write_file(tmp_path / ("a" * 256), b"1")
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_a_name_is_cut_by_bytes_at_a_whole_character():
    assert cut_name("aä", 3) == "aä"
    assert cut_name("aä", 2) == "a"
    assert cut_name("a" * 9, 4) == "aaaa"
    assert cut_name("😀😀", 7) == "😀"


@pytest.mark.parametrize("name", ["sub/", "sub/.", "sub/..", "file/", "file/.", ""])
def test_the_name_of_a_folder_makes_no_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"mine")
    with pytest.raises(SmapcompError, match="the name of a folder, and there is no such folder"):
        write_file(name, b"1", overwrite=True)
    assert os.listdir(tmp_path) == ["file"]
    assert Path("file").read_bytes() == b"mine"
    with pytest.raises(SmapcompError, match=r"\./: is a directory"):
        write_file("./", b"1")


FULL_DISK = """
import resource, sys
from smapcomp.errors import SmapcompError
from smapcomp.pictures.image_files import OUTPUT_EXTENSIONS, write_picture
from smapcomp.pictures.picture import Picture
import numpy as np

grey = np.random.default_rng(0).integers(0, 256, (300, 300, 1), np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
for extension in OUTPUT_EXTENSIONS:
    samples = grey if extension == ".pgm" else np.repeat(grey, 3, axis=2)
    try:
        write_picture("a" + extension, Picture(samples))
    except SmapcompError as error:
        print(error, flush=True)
"""


def test_a_full_disk_ends_every_format_with_an_error_and_no_file(tmp_path):
    """OpenJPEG tries for ever to write a file that cannot grow."""
    process = subprocess.run(
        [sys.executable, "-c", FULL_DISK],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [f"a{extension}: File too large" for extension in OUTPUT_EXTENSIONS]
    assert process.stdout.splitlines() == lines
    assert os.listdir(tmp_path) == []


def test_decompress_ends_on_a_full_disk_and_after_an_interrupt(tmp_path, stream):
    """The command ends with one line, whatever the format; nothing is left behind."""
    (tmp_path / "a.smc").write_bytes(smapcomp.compress(smooth_picture(2, 300, 300), lossless=True))
    for name in ("a.jp2", "a.tif", "a.png"):
        process = subprocess.run(
            ["sh", "-c", f"ulimit -f 8; exec {sys.executable} -m smapcomp decompress a.smc {name}"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (process.returncode, process.stdout) == (1, "")
        assert process.stderr == f"smapcomp: {name}: File too large\n"
        assert os.listdir(tmp_path) == ["a.smc"]
