"""Import of Keras without TensorFlow's start-up messages on standard error."""

import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2

# Two threads must not redirect the descriptor at once: the second would save and later restore the
# first one's redirection.
_import_lock = threading.Lock()


def import_keras() -> None:
    """Import Keras and its backend; the log of the backend's C++ code is discarded.

    `TF_CPP_MIN_LOG_LEVEL` is set to 3 unless the environment has it; a lower value shows the log.
    TensorFlow 2.21 writes some messages before it reads that variable. Therefore file descriptor 2
    is redirected to the null device during the import.
    """
    with _import_lock:
        if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
            with _discard_output(_STDERR):
                importlib.import_module("keras")
        else:
            importlib.import_module("keras")


@contextmanager
def _discard_output(descriptor: int) -> Iterator[None]:
    """Redirect a file descriptor to the null device, for Python and native code."""
    saved = os.dup(descriptor)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, descriptor)
        yield
    finally:
        os.dup2(saved, descriptor)
        os.close(null)
        os.close(saved)
