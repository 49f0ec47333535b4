"""The examples in docstrings, which run and give what they show."""

import doctest
import importlib

import pytest

from tests.helpers.paths import ROOT

PACKAGES = ("smapcomp", "data", "experiments", "evaluation", "tools")
PUBLIC = ("smapcomp", "smapcomp.codec.api", "smapcomp.codec.options", "smapcomp.metrics")
"""Modules that users call, which must have examples."""


def modules_with_examples() -> list[str]:
    """Return the names of the modules that have a docstring with an example."""
    names = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                names.append(name.removesuffix(".__init__"))
    return names


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_give_what_they_show(name):
    module = importlib.import_module(name)
    failed, tried = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert tried > 0, f"{name} has examples that doctest does not find"
    assert failed == 0


def test_what_users_call_has_examples():
    assert set(PUBLIC) <= set(modules_with_examples())
