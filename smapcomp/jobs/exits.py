"""How the project's commands end: exit statuses, and errors said in one line."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from absl import app

from smapcomp.errors import SmapcompError, one_line

EXIT_FAILED = 1
"""The input, the output or the work is at fault."""

EXIT_USAGE = 2
"""The command line is wrong."""

EXIT_RESUMABLE = 75
"""Stopped by a signal after saving; the same command continues (EX_TEMPFAIL of sysexits.h)."""

EXIT_INTERRUPTED = 130
"""Stopped by SIGINT, the status that shells report for it."""


def fail(name: str, message: BaseException | str, status: int = EXIT_FAILED) -> NoReturn:
    """Print one line on standard error and end the process.

    Args:
        name: Name of the command.
        message: What went wrong.
        status: Exit status.
    """
    print(f"{name}: {one_line(message)}", file=sys.stderr)
    sys.exit(status)


@contextmanager
def errors_in_one_line(name: str) -> Iterator[None]:
    """Turn expected errors of a job into one line on standard error and an exit status.

    A `SmapcompError` or `OSError` ends the process with `EXIT_FAILED`, SIGINT with
    `EXIT_INTERRUPTED`.

    Args:
        name: Name of the command.
    """
    try:
        yield
    except (SmapcompError, OSError) as error:
        fail(name, error)
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; the same command continues", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


def refuse_arguments(arguments: Sequence[str]) -> None:
    """Check that a command line has flags only.

    Args:
        arguments: The command line without its flags; the first is the program's name.

    Raises:
        app.UsageError: There are other arguments.
    """
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
