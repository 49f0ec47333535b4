"""Several replicas and several processes, each in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from smapcomp.errors import SmapcompError
from smapcomp.training.distribution import build_strategy

ROOT = Path(__file__).parents[1]
STAGES = ("adversarial", "segmentation", "stage3")
ENVIRONMENT = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}


@pytest.fixture(scope="module")
def results():
    command = [sys.executable, "-m", "tests.replicas_case", *STAGES]
    done = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("stage", STAGES)
def test_two_replicas_take_the_steps_of_one_with_the_same_global_batch(results, stage):
    one, two = results[stage]
    assert len(one["values"]) == 2
    for got, expected in zip(two["values"], one["values"], strict=True):
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            # Sums in another order; measured: 2e-7.
            assert got[name] == pytest.approx(value, rel=2e-6, abs=1e-7), name
    for got, expected in zip(two["variables"], one["variables"], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stage", STAGES)
def test_two_replicas_validate_a_short_last_batch_as_one_does(results, stage):
    one, two = (result["validation"] for result in results[stage])
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name
    if stage == "segmentation":
        assert {"validation/mean_iou_sharp", "validation/pixel_accuracy_upsampled"} <= one.keys()


def test_strategies_that_are_unknown_or_lack_what_they_need_are_refused(monkeypatch):
    with pytest.raises(SmapcompError, match="'two' is unknown; allowed: default, mirrored, multi"):
        build_strategy("two")
    for text in ("", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"index": 1}}'):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(SmapcompError, match=r"TF_CONFIG is .*; strategy multiworker needs"):
            build_strategy("multiworker")
