"""`run.epochs` in the training job: on the command line, in a run, and after a restart."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

from experiments import train
from tests.helpers import light_networks
from tests.helpers.paths import ROOT
from tests.helpers.pictures import write_labelled_pictures
from tests.helpers.training_configs import full_names

FIELDS = {
    "batch_size": 2,
    "size": 32,
    "fit": "resize",
    "cache_mib": 0,
    "pictures": 1,
    "codec_pictures": 0,
    "schedule": "cosine",
    "steps": 0,
}


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """Replace the real networks by networks of one layer each."""
    networks = importlib.import_module("smapcomp.training.stages.networks")
    for build in light_networks.BUILDERS:
        monkeypatch.setattr(networks, build.__name__, build)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Five pictures for training and two for validation."""
    root = tmp_path_factory.mktemp("pictures")
    write_labelled_pictures(root, "training", 5)
    write_labelled_pictures(root, "validation", 2)
    return root


def _run(source, workdir, **changes):
    config = importlib.import_module("experiments.configs.stage1_lite").get_config()
    fields = full_names(FIELDS | {"source": str(source)} | changes)
    config.update_from_flattened_dict(fields)
    train.train(config, str(workdir))


def _failure(capsys, *arguments, status, **changes):
    with pytest.raises(SystemExit) as caught:
        _run(*arguments, **changes)
    assert caught.value.code == status
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def _arrays(workdir, step):
    with np.load(workdir / f"checkpoints/step-{step:08}.npz") as arrays:
        return dict(arrays)


def _require_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_epochs_train_the_weights_and_rates_of_as_many_steps(source, tmp_path, capsys):
    _run(source, tmp_path / "epochs", epochs=1.0)
    assert "1 epoch of 5 pictures are 3 steps of 2\n" in capsys.readouterr().out
    _run(source, tmp_path / "steps", steps=3)
    assert "epoch" not in capsys.readouterr().out
    # The rate falls along a cosine over the run, so that another length gives other weights.
    _require_equal(_arrays(tmp_path / "epochs", 3), _arrays(tmp_path / "steps", 3))


def test_a_run_continues_for_more_epochs_and_is_finished_for_as_many(source, tmp_path, capsys):
    rate = {"schedule": "constant"}
    _run(source, tmp_path / "run", epochs=1.0, **rate)
    before = _arrays(tmp_path / "run", 3)
    capsys.readouterr()
    _run(source, tmp_path / "run", epochs=1.0, **rate)
    assert "this run has finished, with 3 of 3 steps; nothing was" in capsys.readouterr().out
    _require_equal(_arrays(tmp_path / "run", 3), before)
    _run(source, tmp_path / "run", epochs=1.8, **rate)
    _run(source, tmp_path / "whole", steps=5, **rate)
    _require_equal(_arrays(tmp_path / "run", 5), _arrays(tmp_path / "whole", 5))


def test_steps_and_epochs_together_are_one_line_with_both_values(source, tmp_path, capsys):
    message = _failure(capsys, source, tmp_path, status=train.EXIT_USAGE, steps=9, epochs=2.0)
    assert message.startswith("train: config.run.steps 9 and config.run.epochs 2.0 are both set")


def test_pictures_that_cannot_be_counted_are_one_line(source, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("data.open_source", lambda *_, **__: object(), raising=False)
    message = _failure(capsys, source, tmp_path, status=train.EXIT_FAILED, epochs=2.0)
    assert message == (
        f"train: {source}: its training pictures cannot be counted, which config.run.epochs 2.0 "
        "needs; set config.run.steps instead\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "length"),
    [
        ([], (16_500, 0)),
        (["--config.run.epochs=20"], (0, 20)),
        (["--config.run.epochs=0"], (16_500, 0)),
        (["--config.run.steps=7"], (7, 0)),
        (["--config.run.steps=0", "--config.run.epochs=0.5"], (0, 0.5)),
        (["--config.run.steps=7", "--config.run.epochs=20"], (7, 20)),
    ],
)
def test_one_flag_replaces_the_length_of_the_configuration(given, length):
    command = [sys.executable, "-c", PRINT_LENGTH, "--workdir=unused"]
    command += ["--config=experiments/configs/stage1_lite.py", *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert tuple(map(float, done.stdout.split())) == length


PRINT_LENGTH = """
import sys
from experiments import config_flag, train
train.parse(sys.argv)
run = config_flag.config_of(train.CONFIG).run
print(run.steps, run.epochs)
"""
