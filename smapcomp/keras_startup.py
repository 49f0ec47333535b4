"""Keeps TensorFlow's start-up remarks off the standard error of the project's commands."""

import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
_importing = threading.Lock()
"""Of two threads at once the second would keep the descriptor that leads nowhere."""


def import_keras() -> None:
    """Imports Keras and its backend without the backend's C++ log.

    TF_CPP_MIN_LOG_LEVEL becomes 3 unless it is set; set to less, it shows the log. At 3 TensorFlow
    2.21 still says what it has to say before its log is initialised, so file descriptor 2 leads
    nowhere meanwhile.
    """
    with _importing:
        if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
            with _discarded(_STDERR):
                importlib.import_module("keras")
        else:
            importlib.import_module("keras")


@contextmanager
def _discarded(descriptor: int) -> Iterator[None]:
    """Sends what native code writes to the descriptor to nowhere."""
    kept = os.dup(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(nowhere)
        os.close(kept)
