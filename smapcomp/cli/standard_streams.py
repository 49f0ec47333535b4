"""The argument `-`, which stands for standard input or standard output."""

import sys
from typing import BinaryIO

from smapcomp.errors import SmapcompError

DASH = "-"
"""Argument that stands for standard input or standard output; the file `-` is `./-`."""


def input_file(argument: str) -> str | BinaryIO:
    """Return the path that an argument is, or standard input for `-`.

    Raises:
        SmapcompError: Standard input is closed or a terminal.
    """
    if argument != DASH:
        return argument
    if sys.stdin is None:
        raise SmapcompError("<stdin>: is closed")
    if sys.stdin.isatty():
        raise SmapcompError("<stdin>: is a terminal; a file or a pipe is needed")
    return sys.stdin.buffer


def output_file(argument: str) -> str | BinaryIO:
    """Return the path that an argument is, or standard output for `-`.

    Raises:
        SmapcompError: Standard output is closed or a terminal.
    """
    if argument != DASH:
        return argument
    if sys.stdout is None:
        raise SmapcompError("<stdout>: is closed")
    if sys.stdout.isatty():
        raise SmapcompError("<stdout>: is a terminal; a file or a pipe is needed")
    return sys.stdout.buffer


def input_name(argument: str) -> str:
    """Return what messages call an input."""
    return "<stdin>" if argument == DASH else argument


def output_name(argument: str) -> str:
    """Return what messages call an output."""
    return "<stdout>" if argument == DASH else argument
