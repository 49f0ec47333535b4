"""How the project's commands end and print: exit statuses, errors in one line, broken pipes."""

import os
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

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

EXIT_BROKEN_PIPE = 141
"""The reader of the output has ended, the status that shells report for SIGPIPE."""


def describe_error(error: BaseException) -> str:
    """Return a message in one line, which for an unexpected exception begins with its class."""
    if isinstance(error, (SmapcompError, OSError)):
        return one_line(error)
    name, message = type(error).__name__, one_line(error)
    return name if message == name else f"{name}: {message}"


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
def console_output(name: str) -> Iterator[None]:
    r"""Print what the console cannot show as escapes, and end without a trace if it is gone.

    Characters that the encoding of standard output lacks become escapes such as `\xe4`. If the
    reader of a pipe has ended (`smapcomp --help | head -1`), the process ends silently with exit
    status 141, as shells report it for SIGPIPE. If standard output cannot be written for another
    reason, such as a full disk, one line says so and the exit status is 1.

    Args:
        name: Name of the command, for the error.

    Raises:
        SystemExit: Standard output or standard error cannot be written.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            # Python's own attempt at exit would print a trace.
            _flush(sys.stdout)
            _flush(sys.stderr)
    except OSError as error:
        # Another pipe, such as that to a program, may be the broken one.
        reader_ended = isinstance(error, BrokenPipeError) and _has_broken_output()
        _discard_the_rest()
        if reader_ended:
            sys.exit(EXIT_BROKEN_PIPE)
        with suppress(OSError):
            print(f"{name}: {describe_error(error)}", file=sys.stderr, flush=True)
        sys.exit(EXIT_FAILED)


def _flush(stream: Any) -> None:
    if stream is None:  # It was closed before the process started.
        return
    with suppress(ValueError):  # It was closed by this process.
        stream.flush()


def _has_broken_output() -> bool:
    """Return whether standard output or standard error is a pipe without a reader."""
    if not hasattr(select, "poll"):  # Windows cannot tell.
        return True
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            poll.register(stream.fileno(), select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _discard_the_rest() -> None:
    """Connect the outputs that cannot be written to the null device."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            try:
                stream.flush()
            except OSError:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
                stream.flush()


@contextmanager
def errors_in_one_line(name: str) -> Iterator[None]:
    """Turn expected errors of a job into one line on standard error and an exit status.

    A `SmapcompError` or `OSError` ends the process with `EXIT_FAILED`, SIGINT with
    `EXIT_INTERRUPTED`. Output is printed as in `console_output`.

    Args:
        name: Name of the command.
    """
    with console_output(name):
        try:
            yield
        except BrokenPipeError:
            raise  # The reader of the output has ended.
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
