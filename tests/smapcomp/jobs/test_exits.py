"""Jobs end with one line and an exit status, whatever their outputs are connected to."""

import os
import subprocess
import sys

import pytest

from smapcomp.errors import SmapcompError, printable
from smapcomp.jobs.exits import console_output, describe_error
from tests.helpers.paths import ROOT

PROGRAM = """
import sys
from smapcomp.errors import SmapcompError
from smapcomp.jobs.exits import errors_in_one_line

with errors_in_one_line("job"):
    {body}
"""


def run(body: str, **options) -> subprocess.CompletedProcess[bytes]:
    """Run the body of a job in another process; `options` are those of `subprocess.run`."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    program = PROGRAM.format(body=body)
    words = [sys.executable, "-c", program]
    return subprocess.run(words, env=environment, timeout=60, check=False, **options)


def test_letters_that_the_encoding_lacks_are_printed_as_escapes():
    done = run(r"print('B\xe4r \udcff')")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"B\\xe4r \\udcff\n", b"")
    done = run(r"raise SmapcompError('B\xe4r \udcff')")
    assert (done.returncode, done.stderr) == (1, b"job: B\\xe4r \\udcff\n")


@pytest.mark.parametrize("body", ["print('text')", "print('text' * 99999)", "sys.stdout.flush()"])
def test_a_reader_that_has_ended_ends_the_job_silently(body):
    reader, writer = os.pipe()
    os.close(reader)
    done = run(f"print('more'); {body}", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_another_broken_pipe_is_an_error_of_one_line():
    done = run("raise BrokenPipeError(32, 'Broken pipe')")
    assert (done.returncode, done.stderr) == (1, b"job: [Errno 32] Broken pipe\n")


def test_a_full_disk_behind_the_output_is_one_line():
    with open("/dev/full", "wb") as full:
        done = run("print('text')", stdout=full)
    assert (done.returncode, done.stderr) == (1, b"job: [Errno 28] No space left on device\n")


def test_unexpected_exceptions_are_described_with_their_class():
    assert describe_error(SmapcompError("a\nb")) == "a b"
    assert describe_error(OSError(28, "full")) == "[Errno 28] full"
    assert describe_error(KeyError("a")) == "KeyError: 'a'"
    assert describe_error(MemoryError()) == "MemoryError"


def test_names_are_printed_in_one_line():
    assert printable("a b-ä画.png") == "a b-ä画.png"
    assert printable("a\nb\x1b[0m\udcff") == "a\\nb\\x1b[0m\\udcff"


def test_the_exception_of_a_caller_passes_through():
    with pytest.raises(ValueError, match="mine"), console_output("name"):
        raise ValueError("mine")
