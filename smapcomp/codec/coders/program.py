"""Runs the programs of coders that come as programs."""

import shutil
import subprocess
from pathlib import Path

from smapcomp.errors import MissingCoderError


def run_program(program: str, arguments: list[str | Path], install: str, timeout: float) -> None:
    """Runs a program to its end.

    Args:
      program: its name, looked up on PATH.
      arguments: its arguments.
      install: how to get it, for the message when it is not there.
      timeout: seconds after which it is stopped; a damaged file must not hold a decoder for ever.

    Raises:
      MissingCoderError: if it is not on PATH.
      subprocess.SubprocessError, OSError: if it fails or takes too long.
    """
    found = shutil.which(program)
    if found is None:
        raise MissingCoderError(f"program {program!r} is not on PATH; {install}")
    subprocess.run([found, *map(str, arguments)], check=True, capture_output=True, timeout=timeout)
