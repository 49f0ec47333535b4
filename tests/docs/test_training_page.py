"""The commands of docs/training.md run as they stand there."""

from pathlib import Path

import pytest

from tests.helpers import doc_runner


@pytest.mark.parametrize("command", doc_runner.tested_in(Path(__file__)), ids=str)
def test_the_command_works_with_tiny_settings(command, runner_of):
    doc_runner.run_command(command, runner_of(command.page))
