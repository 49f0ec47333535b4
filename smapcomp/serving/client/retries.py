"""Repetition of calls while a server is unavailable."""

import random
import time
from collections.abc import Callable
from typing import Any

from smapcomp.errors import ServerTimeoutError, ServerUnavailableError
from smapcomp.serving.client.server_options import ServerOptions

FIRST_WAIT = 0.1
"""Longest wait in seconds before the first repetition; it doubles with each repetition."""

LONGEST_WAIT = 5.0
"""Longest wait in seconds before any repetition."""


def call_with_retries(
    call: Callable[[float], Any],
    options: ServerOptions,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Any:
    """Return the result of a call, which is repeated while it raises `ServerUnavailableError`.

    No other error leads to a repetition: a call that took too long would take as long again. A wait
    is random, between a half and all of its longest time, so that clients do not call all at once
    when the server is available again.

    Args:
        call: Makes the call, given the seconds that are left to it.
        options: Number of repetitions, and the time for all of them.
        sleep: Waits for so many seconds.
        clock: Returns a time in seconds.

    Raises:
        ServerUnavailableError: The server is still unavailable at the last repetition.
        ServerTimeoutError: The call ran out of time.
    """
    end = clock() + options.timeout
    for attempt in range(options.retries + 1):
        try:
            return call(max(end - clock(), 0.001))
        except ServerUnavailableError:
            wait = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * random.uniform(0.5, 1)
            if attempt == options.retries or clock() + wait >= end:
                raise
        sleep(wait)
    raise AssertionError


def timeout_error(options: ServerOptions) -> ServerTimeoutError:
    """Return the error for a call that has no answer in time."""
    return ServerTimeoutError(f"{options.address}: no answer within {options.timeout:g} seconds")
