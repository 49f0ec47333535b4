"""Signals that ask a run to stop."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def stop_request() -> Iterator[threading.Event]:
    """Yield an event that the first SIGTERM or SIGINT sets.

    A second signal ends the process at once. Outside the main thread, where Python allows no signal
    handlers, the event is never set.
    """
    event = threading.Event()
    previous: dict[int, Any] = {}

    def request(number, _):
        event.set()
        signal.signal(number, previous[number])

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            previous[number] = signal.signal(number, request)
    try:
        yield event
    finally:
        for caught, handler in previous.items():
            signal.signal(caught, handler)
