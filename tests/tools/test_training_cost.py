"""The estimate of a training's cost: what it prints, and its arithmetic."""

import os
import subprocess
import sys

import pytest

from experiments.configs import lossy_lite
from smapcomp.training.config import TrainingConfig
from smapcomp.training.tf_trainer.measured_step import MeasuredStep
from tests.helpers.paths import ROOT
from tools import gpu_times

SMALL = ("--config=experiments/configs/lossy_lite.py:1", "--config.data.coded=x1.npz")
SMALL += ("--config.data.batch_size=1", "--config.data.size=32")


def _run(*flags):
    command = [sys.executable, "-m", "tools.training_cost", *flags]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


def test_hours_are_operations_divided_by_the_rates_that_are_reached():
    # At a quarter of the peak, 78 TFLOP take a second in bfloat16, 39 TFLOP another one in TF32.
    flops = {"bfloat16": 78 * 10**12, "float32": 39 * 10**12}
    table = gpu_times.gpu_table(5400, flops, ["t4", "a100"], 0.25).splitlines()
    assert table[2] == "| t4 | 16 GB | has no bfloat16 |  |  |"
    assert table[3] == "| a100 | 80 GB | bfloat16 312, tf32 156 | 2,000 | 3 |"


@pytest.mark.parametrize(
    ("gpu", "precision", "peak"),
    [
        ("t4", "float32", ("float32", 8.1)),
        ("a100", "float32", ("tf32", 156)),
        ("h100", "float16", ("float16", 989.4)),
        ("v100", "bfloat16", None),
    ],
)
def test_float32_networks_use_tf32_where_the_gpu_has_it(gpu, precision, peak):
    assert gpu_times.GPUS[gpu].peak(precision) == peak


def test_the_default_utilisation_is_that_of_the_run_that_was_measured():
    config = lossy_lite.get_config("1")
    config.data.coded = "x1.npz"
    config.data.batch_size = 64
    config.model.precision = "bfloat16"
    cost = MeasuredStep.from_config(TrainingConfig.from_dict(config.to_dict())).cost()
    # docs/training.md: 5.5 ms a step on an H200.
    at_peak = gpu_times.step_seconds(cost.flops, gpu_times.GPUS["h200"], 1.0)
    assert at_peak / 5.5e-3 == pytest.approx(gpu_times.UTILISATION, rel=0.05)


def test_a_configuration_is_estimated_without_data_and_without_messages():
    epochs = ("--config.run.epochs=2", "--pictures=100")
    done = _run(*SMALL, *epochs, "--gpu=h200", "--utilisation=0.25")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "2 epochs of 100 pictures are 200 steps of 1"
    assert lines[1] == "lossy, lite, float32: 200 steps of 1 picture of 32×32"
    assert lines[2].endswith(" in float32).")
    assert "ESTIMATE at 25 % of the GPU's peak, not measured:" in lines
    assert lines[-1].startswith("| h200 | 141 GB | tf32 494.7 | ")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--config.run.epochs=2",), "config.run.epochs 2.0 needs --pictures\n"),
        (("--config.run.steps=0", "--config.run.seconds=60"), "config.run.steps 0; hours need "),
        (("--config.run.steps=3", "--config.run.epochs=2"), "config.run.steps 3 and config.run."),
        (("--gpu=h300",), "flag --gpu=h300: value should be one of <a100|h100|h200|"),
        (("--utilisation=0",), "flag --utilisation=0: 0.0 is not a number in "),
        (("--config.data.sice=32",), "the configuration has no field 'sice'."),
    ],
)
def test_a_wrong_command_line_is_one_line(flags, message):
    done = _run(*SMALL, *flags)
    assert done.returncode == 2
    assert done.stderr.startswith(f"training_cost: {message}")
    assert done.stderr.count("\n") == 1
