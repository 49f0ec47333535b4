"""Run pytest on the files that the command line names; the main program of every Bazel test."""

import sys

import pytest

if __name__ == "__main__":
    # Bazel's sandbox locks the source tree, where the cache would be written.
    options = ["--rootdir=.", "--config-file=pyproject.toml", "-p", "no:cacheprovider"]
    options += ["-m", "not slow"]
    status = pytest.main([*options, *sys.argv[1:]])
    all_slow = status == pytest.ExitCode.NO_TESTS_COLLECTED and len(sys.argv) == 2
    sys.exit(0 if all_slow else status)
