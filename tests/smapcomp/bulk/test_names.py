"""Any name of a file or folder is taken as it is: no picture is lost, nothing foreign replaced."""

import json
import os
import shutil
from unittest import mock

import pytest

import smapcomp
from smapcomp.bulk import converter
from smapcomp.pictures.image_files import read_picture
from tests.helpers.bulk_job import THREADS, bulk
from tests.helpers.pictures import encode_image, smooth_picture

QUICK = ("--speed=10", "--mode=none", *THREADS)

NAMES = [
    b"plain.png",
    b"x [1].png",
    b"x 1.png",
    b"[!a].png",
    b"[.png",
    b"star*.png",
    b"what?.png",
    b"back\\slash.png",
    b"end\\.png",
    b"two\nlines.png",
    b"\x1b[31m.png",
    b"-dash.png",
    b"--output=y.png",
    b" spaces  in it .png",
    b"quotes'\".png",
    b"c:colon.png",
    b"%41.png",
    b"$HOME.png",
    b"\xff\xfe.png",
    "ä画😀.png".encode(),
    "画".encode() * 82 + b".png",
    b"l" * 251 + b".png",
    b"dots.in.it.png",
    b".hidden.png",
    b"no extension",
    b"long extension." + b"e" * 230,
    b"sub [2]/deep\\er/x.png",
    b"sub*/x.png",
]
"""Names of pictures below the input folder, all of which the file system allows."""


@pytest.fixture(scope="module")
def picture() -> bytes:
    return encode_image(smooth_picture(1, 16, 24))


@pytest.fixture(scope="module")
def stream(picture, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("stream") / "a.png"
    path.write_bytes(picture)
    return smapcomp.compress(read_picture(path), speed=10, mode="none")


def write_all(folder: bytes, names: list[bytes], data: bytes) -> None:
    for name in names:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)


def contents(folder: bytes) -> dict[bytes, bytes]:
    """Return the content of each file below a folder by its path relative to it."""
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


@pytest.mark.parametrize(
    "folders", [(b"in", b"out"), (b"in [a]", b"mine [1]"), (b"\xff", b"\xfe*?")]
)
def test_a_picture_of_any_name_is_written_and_found_done_again(
    tmp_path, monkeypatch, picture, stream, folders
):
    monkeypatch.chdir(tmp_path)
    source, out = folders
    write_all(source, NAMES, picture)
    arguments = (f"--input={os.fsdecode(source)}/**", f"--output={os.fsdecode(out)}", *QUICK)
    status, printed, errors = bulk(*arguments)
    assert (status, errors) == (0, "")
    count = len(NAMES)
    assert printed.startswith(f"read {count} = written {count} + skipped 0 + failed 0; ")
    made = contents(out)
    entries = [json.loads(line) for line in made.pop(b"manifest.jsonl").splitlines()]
    assert made.pop(b"bulk.json")
    assert set(made) == {os.path.splitext(name)[0] + b".smc" for name in NAMES}
    assert set(made.values()) == {stream}
    assert {os.fsencode(entry["input"]) for entry in entries} == {
        os.path.join(source, name) for name in NAMES
    }
    printed = bulk(*arguments)[1]
    assert printed.startswith(f"read {count} = written 0 + skipped {count} + failed 0; ")
    back = bulk(f"--input={os.fsdecode(out)}/**/*.smc", "--output=back", "--decompress", *THREADS)
    assert back[1].startswith(f"read {count} = written {count} + skipped 0 + failed 0; ")


def test_worker_processes_take_any_name(tmp_path, monkeypatch, picture):
    monkeypatch.chdir(tmp_path)
    names = [b"\xff [1].png", b"two\nlines.png", b"a\\b.png"]
    write_all(b"\xfe[in]", names, picture)
    status, printed, _ = bulk(
        "--input=\udcfe[in]/*",
        "--output=\udcfd[out]",
        "--speed=10",
        "--mode=none",
        "--workers=2",
    )
    assert status == 0
    assert printed.startswith("read 3 = written 3 + skipped 0 + failed 0; ")


def test_the_output_folder_is_no_pattern(tmp_path, monkeypatch, picture, stream):
    """Files in 'mine [1]' are seen there, and those in 'mine 1' have nothing to do with it."""
    monkeypatch.chdir(tmp_path)
    write_all(b"in", [b"a.png"], picture)
    write_all(b"mine [1]", [b"a.smc"], b"foreign")
    before = contents(b".")
    status, _, errors = bulk("--input=in/*", "--output=mine [1]", *QUICK)
    assert status == 1
    assert errors == (
        "bulk: mine [1]/a.smc: exists, and no bulk.json says how it was made; --overwrite replaces "
        "it"
    )
    assert contents(b".") == before
    shutil.rmtree("mine [1]")
    write_all(b"mine 1", [b"a.smc", b"bulk.json"], b"foreign")
    for words in ("written 1 + skipped 0", "written 0 + skipped 1"):
        assert (
            f"read 1 = {words} + failed 0; " in bulk("--input=in/*", "--output=mine [1]", *QUICK)[1]
        )
    assert contents(b"mine 1") == {b"a.smc": b"foreign", b"bulk.json": b"foreign"}
    assert contents(b"mine [1]")[b"a.smc"] == stream


def test_an_exact_path_with_brackets_is_that_file(tmp_path, monkeypatch, picture):
    monkeypatch.chdir(tmp_path)
    write_all(b"in [1]", [b"a [2].png", b"a 2.png"], picture)
    for path in ("in [1]/a [2].png", f"{tmp_path}/in [1]/a [2].png"):
        status, printed, _ = bulk(f"--input={path}", "--output=out", *QUICK)
        assert (status, printed[:8]) == (0, "read 1 =")
        assert set(contents(b"out")) == {b"a [2].smc", b"bulk.json", b"manifest.jsonl"}
        shutil.rmtree("out")


@pytest.mark.parametrize("flag", ["input", "output", "manifest"])
def test_an_empty_path_is_refused(tmp_path, monkeypatch, picture, flag):
    monkeypatch.chdir(tmp_path)
    write_all(b".", [b"a.png"], picture)
    arguments = {"input": "a.png", "output": "out", flag: ""}
    words = [f"--{name}={value}" for name, value in arguments.items()]
    status, printed, errors = bulk(*words, *QUICK)
    assert (status, printed) == (2, "")
    assert errors == f"bulk: --{flag}='' is the name of no file and no folder"
    assert os.listdir() == ["a.png"]


def test_only_a_manifest_is_replaced_by_the_manifest(tmp_path, monkeypatch, picture):
    monkeypatch.chdir(tmp_path)
    write_all(b".", [b"a.png", b"mine.jpg", b"folder/mine"], picture)
    before = contents(b".")
    for path in ("mine.jpg", "a.png", "folder"):
        status, _, errors = bulk("--input=a.png", "--output=out", f"--manifest={path}", *QUICK)
        assert status == 1
        assert errors.startswith(f"bulk: {path}: not a manifest of smapcomp.bulk: ")
        assert contents(b".") == before


def test_an_output_that_is_a_folder_fails_and_stays(tmp_path, monkeypatch, picture):
    monkeypatch.chdir(tmp_path)
    write_all(b"in", [b"a.png", b"b.png"], picture)
    write_all(b"out/a.smc", [b"mine"], b"mine")
    status, printed, errors = bulk("--input=in/*", "--output=out", *QUICK)
    assert status == 1
    assert printed.startswith("read 2 = written 1 + skipped 0 + failed 1; ")
    assert "Is a directory" in errors
    assert contents(b"out/a.smc") == {b"mine": b"mine"}


def test_links_to_nothing_and_pipes_count_as_failed(tmp_path, monkeypatch, picture):
    monkeypatch.chdir(tmp_path)
    write_all(b"in", [b"a.png"], picture)
    os.symlink("absent", "in/link.png")
    os.mkfifo("in/pipe.png")
    status, printed, errors = bulk("--input=in/*", "--output=out", *QUICK)
    assert status == 1
    assert printed.startswith("read 3 = written 1 + skipped 0 + failed 2; ")
    assert "failed: in/link.png: [Errno 2] No such file or directory" in errors
    assert "failed: in/pipe.png: is not a regular file" in errors


class Panic(BaseException):
    """As libraries in Rust raise."""


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), Panic("rust"), SystemExit(3)])
def test_any_exception_of_one_picture_is_its_own(tmp_path, monkeypatch, picture, error):
    monkeypatch.chdir(tmp_path)
    write_all(b"in", [b"a.png", b"b.png"], picture)
    compress_file = converter.compress_file
    calls = []

    def failing(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 1:
            raise error
        return compress_file(*arguments, **options)

    with mock.patch.object(converter, "compress_file", failing):
        status, printed, errors = bulk("--input=in/*", "--output=out", *QUICK)
    assert status == 1
    assert printed.startswith("read 2 = written 1 + skipped 0 + failed 1; ")
    assert f": {type(error).__name__}: {error}" in errors


def test_no_room_for_temporary_files_fails_pictures_and_not_the_run(tmp_path, monkeypatch, picture):
    monkeypatch.chdir(tmp_path)
    write_all(b"in", [b"a.png"], picture)
    full = mock.Mock(side_effect=OSError(28, "No space left on device"))
    with mock.patch.object(converter.tempfile, "TemporaryDirectory", full):
        status, printed, errors = bulk("--input=in/*", "--output=out", *QUICK)
    assert status == 1
    assert printed.startswith("read 1 = written 0 + skipped 0 + failed 1; ")
    assert "No space left on device" in errors
