"""Length of a run: steps, and epochs that stand for them."""

import math
from fractions import Fraction

import pytest

from smapcomp.training.config import TrainingConfig
from smapcomp.training.config_groups import RunConfig
from smapcomp.training.errors import ConfigError
from smapcomp.training.run_plan import RunPlan, epochs_message, with_steps_of_epochs


def _config(epochs, batch_size=8):
    return TrainingConfig.from_dict(
        {"run": {"epochs": epochs, "seed": 3}, "data": {"batch_size": batch_size}}
    )


@pytest.mark.parametrize(
    ("epochs", "pictures", "batch_size", "steps"),
    [
        (20, 1284, 8, 3210),
        (20.0, 20_210, 16, 25_263),  # 25,262.5
        (1, 3, 8, 1),
        (1.1, 10, 1, 11),  # 1.1 as a binary fraction is a little more
        (0.001, 10, 8, 1),
    ],
)
def test_epochs_are_as_many_steps_as_see_all_their_pictures(epochs, pictures, batch_size, steps):
    config = with_steps_of_epochs(_config(epochs, batch_size), pictures)
    assert (config.run.steps, config.run.epochs, config.run.seed) == (steps, 0, 3)
    seen = Fraction(str(epochs)) * pictures
    assert (steps - 1) * batch_size < seen <= steps * batch_size


def test_steps_stay_as_they_are():
    config = TrainingConfig(run=RunConfig(steps=7))
    assert with_steps_of_epochs(config, 100) is config


def test_the_message_says_how_many_steps_the_epochs_are():
    assert epochs_message(_config(20.0), 1284) == (
        "20 epochs of 1,284 pictures are 3,210 steps of 8"
    )
    assert epochs_message(_config(0.5), 1284).startswith("0.5 epochs of 1,284 pictures are 81 ")


def test_steps_and_epochs_exclude_each_other():
    message = r"config.run.steps 16500 and config.run.epochs 20 are both set; one of them must be 0"
    with pytest.raises(ConfigError, match=message):
        RunConfig(steps=16_500, epochs=20)


@pytest.mark.parametrize("epochs", [-1, math.nan, math.inf])
def test_epochs_that_are_no_length_are_refused(epochs):
    with pytest.raises(ConfigError, match=r"run.epochs \S+ is not allowed; it must be at least 0"):
        RunConfig(epochs=epochs)


def test_a_loop_gets_no_epochs():
    with pytest.raises(ValueError, match="2 epochs have not been converted to steps"):
        RunPlan(RunConfig(epochs=2))
