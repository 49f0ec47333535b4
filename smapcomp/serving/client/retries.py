"""Repeating calls while a server is unavailable."""

import random
import time
from collections.abc import Callable
from typing import Any

from smapcomp.errors import ServerTimeoutError, ServerUnavailableError
from smapcomp.serving.client.server_options import ServerOptions

FIRST_WAIT = 0.1
LONGEST_WAIT = 5.0
"""Seconds; each wait is twice the one before, and of each between a half and all is waited, so that
clients whose server comes back don't all call at once."""


def with_retries(
    call: Callable[[float], Any],
    options: ServerOptions,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Any:
    """What a call gives, made again while it raises `ServerUnavailableError`.

    Nothing else is repeated: a call that took too long would take as long again.

    Args:
        call: Takes the seconds that are left to it.
        options: How often, and how long in all.
        sleep, clock: As those of `time`.

    Raises:
        ServerUnavailableError: It was, to the last.
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


def too_late(options: ServerOptions) -> ServerTimeoutError:
    """The error of a call without an answer in time."""
    return ServerTimeoutError(f"{options.address}: no answer within {options.timeout:g} seconds")
