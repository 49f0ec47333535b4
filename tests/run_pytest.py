"""Runs pytest on the files named on the command line; the main program of every Bazel test."""

import sys

import pytest

if __name__ == "__main__":
    # The cache and the bytecode would land in the source tree, which Bazel's sandbox locks.
    options = ["--rootdir=.", "--config-file=pyproject.toml", "-p", "no:cacheprovider"]
    sys.exit(pytest.main([*options, *sys.argv[1:]]))
