"""The argument `-`, which stands for standard input or standard output."""

import sys
from typing import BinaryIO, TextIO

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
    return _binary(sys.stdin, input_name(argument))


def output_file(argument: str) -> str | BinaryIO:
    """Return the path that an argument is, or standard output for `-`.

    Raises:
        SmapcompError: Standard output is closed or a terminal.
    """
    if argument != DASH:
        return argument
    return _binary(sys.stdout, output_name(argument))


def _binary(stream: TextIO | None, name: str) -> BinaryIO:
    if stream is None:
        raise SmapcompError(f"{name}: is closed")
    if stream.isatty():
        raise SmapcompError(f"{name}: is a terminal; a file or a pipe is needed")
    return stream.buffer


def input_name(argument: str) -> str:
    """Return what messages call an input."""
    return "<stdin>" if argument == DASH else argument


def output_name(argument: str) -> str:
    """Return what messages call an output."""
    return "<stdout>" if argument == DASH else argument
