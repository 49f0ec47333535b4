"""The command line in pipes, on full disks and on terminals that lack letters; `-` as a file."""

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import smapcomp
from smapcomp.cli import batch, main
from smapcomp.pictures.image_files import read_picture, write_picture
from smapcomp.pictures.picture import Picture
from tests.helpers.paths import ROOT
from tests.helpers.pictures import smooth_picture

QUICK = ("--speed=10", "--mode=none")
COMMAND = (sys.executable, "-m", "smapcomp")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Current folder with the picture a.png and the stream a.smc."""
    monkeypatch.chdir(tmp_path)
    samples = smooth_picture(1, 40, 56)
    write_picture("a.png", Picture(samples))
    Path("a.smc").write_bytes(smapcomp.compress(samples, speed=10, mode="none"))
    return tmp_path


def run(*words: str, **options) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in another process; `options` are those of `subprocess.run`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("env", {})
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 100} | options
    return subprocess.run([*COMMAND, *words], env=environment, check=False, **options)


def test_a_dash_is_standard_input_and_output(folder):
    picture, stream = Path("a.png").read_bytes(), Path("a.smc").read_bytes()
    made = run("compress", "-", "-", *QUICK, input=picture)
    assert (made.returncode, made.stdout) == (0, stream)
    bpp = 8 * len(stream) / (40 * 56)
    assert made.stderr.decode() == f"<stdout>: 56x40, {len(stream)} bytes, {bpp:.3f} bpp\n"
    for words, file_format in (
        ([], "PNG"),
        (["--format=webp"], "WEBP"),
        (["--format=jpg"], "JPEG"),
    ):
        back = run("decompress", "-", "-", *words, input=stream)
        assert (back.returncode, back.stderr) == (0, b"<stdout>: 56x40\n")
        with Image.open(io.BytesIO(back.stdout)) as image:
            assert (image.format, image.size) == (file_format, (56, 40))
            if file_format == "PNG":
                np.testing.assert_array_equal(np.asarray(image), smapcomp.decompress(stream))
                scores = run("compare", "a.png", "-", "--json", input=back.stdout)
                assert 30 < json.loads(scores.stdout)["psnr"] < 60
    facts = run("info", "-", "--json", input=stream)
    assert json.loads(facts.stdout) == smapcomp.info(stream)
    # One side may be a file.
    assert run("compress", "-", "b.smc", *QUICK, input=picture).stdout.startswith(b"b.smc: 56x40")
    assert Path("b.smc").read_bytes() == stream
    assert run("decompress", "b.smc", "-", "--stage=compact").stdout.startswith(b"\x89PNG")


def test_compress_and_decompress_form_a_pipeline(folder):
    call = " ".join(COMMAND)
    subprocess.run(
        f"{call} compress a.png - --speed=10 --mode=none | {call} decompress - - > back.png",
        shell=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=100,
    )
    expected = smapcomp.decompress(Path("a.smc").read_bytes())
    np.testing.assert_array_equal(read_picture("back.png").samples, expected)


def test_errors_of_standard_input_and_output_are_one_line(folder):
    for words, data, status, message in (
        (["compress", "-", "b.smc"], b"text", 1, "<stdin>: not a picture of a known format"),
        (["compress", "-", "-"], b"", 1, "<stdin>: not a picture of a known format"),
        (["decompress", "-", "b.png"], b"text", 1, "<stdin>: starts with"),
        (["info", "-"], b"text", 1, "<stdin>: starts with"),
        (["info", "-"], Path("a.smc").read_bytes()[:-1], 1, "<stdin>: "),
        (["compare", "-", "-"], b"", 2, "- and - together"),
        (["compress", "-", "--out_dir=out"], b"", 2, "- with --out_dir"),
        (["compress", "a.png", "--out_dir="], b"", 2, "--out_dir=''"),
    ):
        done = run(*words, input=data)
        assert (done.returncode, done.stdout) == (status, b""), words
        assert message in done.stderr.decode()
        assert done.stderr.count(b"\n") == 1
    assert sorted(os.listdir()) == ["a.png", "a.smc"]


@pytest.mark.parametrize(
    "words", [["compress", "a.png", "-"], ["decompress", "a.smc", "-"], ["compress", "-", "b.smc"]]
)
def test_a_terminal_is_refused_for_pictures_and_streams(folder, words):
    master, terminal = pty.openpty()
    try:
        done = run(*words, stdin=terminal, stdout=terminal)
    finally:
        os.close(terminal)
        os.close(master)
    place = "<stdin>" if words[1] == "-" else "<stdout>"
    assert done.returncode == 1
    message = f"smapcomp: {place}: is a terminal; a file or a pipe is needed\n"
    assert done.stderr.decode() == message
    assert sorted(os.listdir()) == ["a.png", "a.smc"]


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["compress", "--help"],
        ["info", "a.smc", "--json"],
        ["decompress", "a.smc", "-"],
        ["compress", "a.png", "--out_dir=out", *QUICK],
    ],
    ids=" ".join,
)
def test_a_reader_that_has_ended_leaves_no_trace(folder, words):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(*words, stdout=writer)
    finally:
        os.close(writer)
    errors = done.stderr.decode()
    assert done.returncode == 141
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors
    assert "Exception ignored" not in errors


def test_errors_that_nobody_reads_leave_no_trace(folder):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run("compress", "absent", "out", stdout=writer, stderr=writer)
    finally:
        os.close(writer)
    assert done.returncode == 141


def test_a_full_disk_behind_standard_output_is_one_line(folder):
    with open("/dev/full", "wb") as full:
        for words in (["info", "a.smc"], ["--help"], ["decompress", "a.smc", "-"]):
            done = run(*words, stdout=full)
            assert done.returncode == 1
            assert done.stderr.count(b"\n") == 1
            assert done.stderr.startswith(b"smapcomp: ")
            assert done.stderr.endswith(b"No space left on device\n")


def test_closed_outputs_leave_no_trace(folder):
    for closing in (">&-", "2>&-"):
        for words in ("info a.smc", "info absent"):
            done = subprocess.run(
                f"{' '.join(COMMAND)} {words} {closing}",
                shell=True,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                capture_output=True,
                timeout=100,
                check=False,
            )
            assert done.returncode == ("absent" in words)
            assert b"Traceback" not in done.stderr


NAMES = [b"\xff\xfe", "Bär".encode(), "画".encode(), b"a\nb", b"a\x1b[31mb", b"tab\there"]


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_that_the_terminal_cannot_show_are_printed_with_escapes(
    folder, monkeypatch, encoding, name
):
    def run_here(*words: str) -> tuple[int, str, str]:
        outputs = io.BytesIO(), io.BytesIO()
        for output, stream in zip(outputs, ("stdout", "stderr"), strict=True):
            monkeypatch.setattr(sys, stream, io.TextIOWrapper(output, encoding, errors="strict"))
        status = main(["smapcomp", *words])
        return status, *(output.getvalue().decode(encoding) for output in outputs)

    os.link(b"a.png", name + b".png")
    source, target = os.fsdecode(name + b".png"), os.fsdecode(name + b".smc")
    status, printed, errors = run_here("compress", source, target, *QUICK)
    assert (status, errors) == (0, "")
    assert printed.count("\n") == 1
    assert "\x1b" not in printed
    assert os.path.exists(name + b".smc")
    status, printed, errors = run_here("decompress", target, source)
    assert (status, printed) == (1, "")
    assert errors.count("\n") == 1
    assert "exists; --overwrite replaces it" in errors
    status, printed, _ = run_here("decompress", target, "--out_dir=out")
    assert status == 0
    assert json.loads(printed)["files"][0]["input"] == target
    assert os.listdir(b"out") == [name + b".png"]


def test_a_locale_without_letters_ends_without_a_trace(folder):
    environment = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = run("compress", "a.png", "B\udcffär.smc", *QUICK, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"B\\udcff")
    assert b"B\xff\xc3\xa4r.smc" in os.listdir(b".")


class Panic(BaseException):
    """As libraries in Rust raise."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (KeyError("tag"), "KeyError: 'tag'"),
        (AssertionError(), "AssertionError"),
        (MemoryError(), "MemoryError"),
        (RecursionError("deep\ndeeper"), "RecursionError: deep deeper"),
        (SystemExit(3), "SystemExit: 3"),
        (Panic("at the disco"), "Panic: at the disco"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_batch_survives_any_exception_of_one_file(folder, monkeypatch, capsys, error, message):
    write_picture("b.png", Picture(smooth_picture(2, 16, 16)))
    compress_file = smapcomp.cli.compress.compress_file

    def failing(source, *arguments, **options):
        if source == "a.png":
            raise error
        return compress_file(source, *arguments, **options)

    monkeypatch.setattr("smapcomp.cli.compress.compress_file", failing)
    assert main(["smapcomp", "compress", "a.png", "b.png", "--out_dir=out", *QUICK]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert [summary[key] for key in ("done", "failed", "not_reached")] == [1, 1, 0]
    assert summary["files"][0]["error"] == message
    assert os.listdir("out") == ["b.smc"]


def test_an_unexpected_exception_of_one_file_is_one_line(folder, monkeypatch, capsys):
    def failing(*_, **__):
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr("smapcomp.cli.compress.compress_file", failing)
    assert main(["smapcomp", "compress", "a.png", "b.smc"]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("smapcomp: ZeroDivisionError: by zero (test_console.py, line ")
    assert errors.count("\n") == 1


def test_outputs_of_many_inputs_are_named_in_linear_time():
    sources = [f"{number}.png" for number in range(100_000)]
    assert len(batch._output_paths(sources, "out", ".smc")) == len(sources)


def test_the_name_of_a_folder_that_is_absent_makes_no_file(folder, capsys):
    for words in (["compress", "a.png", "sub/"], ["compress", "a.png", "sub/."]):
        assert main(["smapcomp", *words]) == 1
        message = f"smapcomp: {words[2]}: the name of a folder, and there is no such folder\n"
        assert capsys.readouterr().err == message
    assert main(["smapcomp", "decompress", "a.smc", "sub.png/"]) == 1
    assert sorted(os.listdir()) == ["a.png", "a.smc"]
