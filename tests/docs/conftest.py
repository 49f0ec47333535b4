"""Folders in which the commands of the pages run."""

import re

import pytest

from tests.helpers import doc_folder
from tests.helpers.doc_runner import DocRunner

MADE_ELSEWHERE = {
    "docs/training.md": ("runs/lossy_x4/weights", "runs/lossy_x8/weights"),
    "docs/model_card.md": tuple(f"runs/{s}/weights" for s in ("segmentation", "stage2", "stage3")),
}
"""Folders of weights that commands of a page read and that are not made for it."""


@pytest.fixture(scope="module")
def runner_of(tmp_path_factory):
    """Return the runner of a page, in whose folder the earlier commands of the page have run."""
    runners: dict[str, DocRunner] = {}

    def find(page: str) -> DocRunner:
        if page not in runners:
            folder = tmp_path_factory.mktemp(re.sub(r"\W", "_", page))
            doc_folder.make_folder(folder)
            doc_folder.add_bundled_weights(folder, *MADE_ELSEWHERE.get(page, ()))
            runners[page] = DocRunner(folder)
        return runners[page]

    yield find
    for runner in runners.values():
        runner.close()
