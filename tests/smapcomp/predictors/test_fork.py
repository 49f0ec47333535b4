"""A child of `os.fork` ends, and codes pictures, although its parent has run networks."""

import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

PROGRAM = """
import os, signal, sys, threading, time
import numpy as np
import smapcomp
import smapcomp.errors

picture = np.arange(48 * 40 * 3, dtype=np.uint32).reshape(48, 40, 3).astype(np.uint8)
options = dict(speed=10, mode="none", engine=sys.argv[1])
data = smapcomp.compress(picture, **options)
stop = threading.Event()

def work():
    while not stop.is_set():
        smapcomp.compress(picture, **options)

if sys.argv[2] == "busy":
    threading.Thread(target=work).start()

def fork(job):
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # SIGALRM ends a child that hangs.
        job()
        sys.exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def use():
    try:
        again = smapcomp.compress(picture, **options)
        decoded = smapcomp.decompress(data)
    except smapcomp.errors.SmapcompError as error:
        print(error)
    else:
        print(again == data and decoded.shape == picture.shape)
    sys.stdout.flush()

def grandchild():
    use()
    print(fork(use))

print(fork(lambda: None))
print(fork(use))
print(fork(grandchild))
print(fork(lambda: None))
stop.set()
"""


def run(engine: str, load: str) -> list[str]:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, engine, load],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    return process.stdout.splitlines()


@pytest.mark.parametrize("load", ["idle", "busy"])
def test_a_forked_child_codes_pictures_and_ends(load):
    assert run("onnxruntime", load) == ["0", "True", "0", "True", "True", "0", "0", "0"]


def test_a_forked_child_of_tensorflow_ends_and_says_that_it_cannot_run_networks():
    out = run("tensorflow", "idle")
    message = "engine 'tensorflow' has run in the parent of this process"
    assert [line for line in out if not line.startswith(message)] == ["0"] * 5
    assert len(out) == 8


def test_onnx_runtime_sends_no_telemetry():
    """Its telemetry has a thread from the import on, for which a forked child would wait."""
    program = (
        "import os, smapcomp.predictors.onnx_predictor; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert process.stdout == "1\n"
