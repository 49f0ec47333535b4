"""The command `smapcomp`."""

from smapcomp.cli.main import main

__all__ = ["main"]
