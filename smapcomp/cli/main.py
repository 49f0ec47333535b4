"""Main function of the command `smapcomp`, which runs a sub-command.

Exit status: 0, success; 1, an input, a stream or an output is at fault; 2, the command line is
wrong; 130, interrupted; 141, the reader of the output ended early. An error is one line on standard
error. Output files appear whole or not at all.
"""

import logging
import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from absl import flags

import smapcomp
from smapcomp.cli import compare, compress, decompress, info
from smapcomp.cli.command import Command, Flags, UsageError
from smapcomp.cli.standard_streams import input_name
from smapcomp.errors import SmapcompError, StreamError
from smapcomp.jobs.exits import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    console_output,
    describe_error,
    one_line,
)

COMMANDS = {
    "compress": compress.COMMAND,
    "decompress": decompress.COMMAND,
    "info": info.COMMAND,
    "compare": compare.COMMAND,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Args:
        argv: The words of the command line, the program's name first; `None` for `sys.argv`.

    Raises:
        SystemExit: Standard output or standard error cannot be written.
    """
    with console_output("smapcomp"):
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    words = list(sys.argv if argv is None else argv)[1:]
    if not words:
        print(_usage(), file=sys.stderr)
        return EXIT_USAGE
    name, *rest = words
    if name in ("--help", "-h", "help"):
        print(_usage())
        return 0
    if name == "--version":
        print(f"smapcomp {smapcomp.__version__}")
        return 0
    command = COMMANDS.get(name)
    if command is None:
        return _usage_error("smapcomp", f"unknown command {name!r}; known: {', '.join(COMMANDS)}")
    values = flags.FlagValues()
    values.set_gnu_getopt()
    define = Flags(values)
    command.define_flags(define)
    if {"--help", "-h"} & set(rest):
        print(_command_help(name, command, define))
        return 0
    try:
        arguments = values([name, *rest])[1:]
    except flags.Error as error:
        return _usage_error(f"smapcomp {name}", one_line(error))
    low, high = command.arguments
    if not low <= len(arguments) <= high:
        got = " ".join(arguments) or "nothing"
        return _usage_error(f"smapcomp {name}", f"expected {command.usages[0]}, got {got}")
    with _notices_on_stderr():
        return _run(name, command, values, arguments)


def _run(name: str, command: Command, values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Run a sub-command and report an expected error in one line."""
    try:
        return command.run(values, arguments)
    except UsageError as error:
        return _usage_error(f"smapcomp {name}", one_line(error))
    except StreamError as error:
        return _failure(f"{input_name(arguments[0])}: {one_line(error)}")
    except BrokenPipeError:
        raise  # The reader of the output has ended.
    except (SmapcompError, OSError) as error:
        return _failure(one_line(error))
    except MemoryError:
        return _failure("not enough memory; --max_pixels limits the size of a picture")
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:
        return _failure(f"{describe_error(error)} ({_place(error)}; please report this)")


def _place(error: BaseException) -> str:
    """Return file and line in which an exception was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{os.path.basename(frame.filename)}, line {frame.lineno}"


def _usage() -> str:
    lines = [
        "usage: smapcomp COMMAND ARGUMENTS [FLAGS]",
        "",
        _wrap("Compresses pictures with neural networks that encoder and decoder share.", ""),
        "",
    ]
    for name, command in COMMANDS.items():
        lines += [f"  {name} {command.usages[0]}", _wrap(command.summary, "      ")]
    lines += ["", "Examples:", *(f"  {c.examples[0]}" for c in COMMANDS.values())]
    lines += [
        "",
        "smapcomp COMMAND --help lists the flags, smapcomp --version prints the version.",
    ]
    return "\n".join(lines)


def _command_help(name: str, command: Command, define: Flags) -> str:
    calls = [f"smapcomp {name} {usage} [FLAGS]" for usage in command.usages]
    lines = ["usage: " + "\n       ".join(calls), "", _wrap(command.summary, "")]
    lines += ["", "Examples:", *(f"  {example}" for example in command.examples)]
    for title, names in define.groups.items():
        lines += ["", f"{title}:"]
        for flag_name in names:
            flag = define.values[flag_name]
            value = _placeholder(flag, define)
            lines.append(f"  --{flag_name}" + (f"={value}" if value else ""))
            # absl repeats the allowed words in front of the description.
            text = flag.help.removeprefix(f"<{value}>: ")
            if flag.default is not None and not flag.boolean:
                text += f" Default: {flag.default}."
            lines.append(_wrap(text, "      "))
    return "\n".join(lines)


def _placeholder(flag: flags.Flag, define: Flags) -> str:
    """Return what stands for a flag's value in the help; the empty string for a switch."""
    if flag.boolean:
        return ""
    words = getattr(flag.parser, "enum_values", None)
    if words:
        return "|".join(words)
    if isinstance(flag.parser, flags.IntegerParser):
        return "N"
    if isinstance(flag.parser, flags.FloatParser):
        return "X"
    return define.placeholders.get(flag.name) or flag.name.split("_")[-1].upper()


def _wrap(text: str, indent: str) -> str:
    width = min(100, shutil.get_terminal_size().columns)
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)


def _usage_error(where: str, message: str) -> int:
    print(f"{where}: {message} (see {where} --help)", file=sys.stderr)
    return EXIT_USAGE


def _failure(message: str) -> int:
    print(f"smapcomp: {message}", file=sys.stderr)
    return EXIT_FAILED


@contextmanager
def _notices_on_stderr() -> Iterator[None]:
    """Print the package's notices as lines on standard error."""
    logger = logging.getLogger("smapcomp")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("smapcomp: %(message)s"))
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
