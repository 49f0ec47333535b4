"""Run pytest on the files that the command line names; the main program of every Bazel test."""

import sys

import pytest

if __name__ == "__main__":
    # Bazel's sandbox locks the source tree, where the cache would be written.
    options = ["--rootdir=.", "--config-file=pyproject.toml", "-p", "no:cacheprovider"]
    sys.exit(pytest.main([*options, *sys.argv[1:]]))
