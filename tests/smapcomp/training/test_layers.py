"""Layers within `smapcomp.training`."""

import ast

import pytest

from tests.helpers.paths import ROOT

FOLDER = ROOT / "smapcomp" / "training"

ALLOWED = {
    "": set(),
    "stages": {""},
    "tf_trainer": {"", "stages"},
    "jax_trainer": {"", "stages"},
    "probes": {"", "stages", "tf_trainer"},
}
"""Folders from which the modules of a folder may import, besides their own."""


def _imported_folders(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("smapcomp.training"):
            for name in node.names:
                module = f"{node.module}.{name.name}".removeprefix("smapcomp.training.")
                first = module.split(".")[0]
                yield first if (FOLDER / first).is_dir() else ""


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_from_those_below_it(folder):
    for path in (FOLDER / folder).glob("*.py"):
        assert set(_imported_folders(path)) - {folder} <= ALLOWED[folder], path
