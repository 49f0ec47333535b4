"""What fuzzing found worth keeping still ends in an error of the package or in what it says."""

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, run, seeds

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_of_a_target_ends_as_it_should(name):
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs
    for path in inputs:
        run(name, path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_valid_inputs(name):
    for seed in seeds(name):
        TARGETS[name](seed)
