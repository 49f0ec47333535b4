"""Several replicas and several processes, each in processes of their own."""

import contextlib
import json
import re
import time

import numpy as np
import pytest

from smapcomp.errors import SmapcompError
from smapcomp.training.tf_trainer.distribution import build_strategy
from tests.helpers.forked import Forked
from tests.helpers.ports import free_ports

STAGES = ("adversarial", "segmentation")
ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}

BOUND = 120
"""Seconds that nothing here may take; a worker notices after about ten that another is gone."""


@pytest.fixture(scope="module")
def results():
    case = Forked("tests.helpers.replicas_case", *STAGES, **ENVIRONMENT)
    out, errors = case.end(300)
    assert case.status == 0, errors[-2000:]
    return json.loads(out.splitlines()[-1])


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


@contextlib.contextmanager
def _workers(workdir, steps, count=2):
    """Processes of one run; none of them outlives the test."""
    addresses = [f"localhost:{port}" for port in free_ports(count)]
    running = []
    try:
        for index in range(count):
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": {"worker": addresses}, "task": task})
            environment = ENVIRONMENT | ({"TF_CONFIG": config} if count > 1 else {})
            running.append(
                Forked("tests.helpers.worker_case", str(workdir), str(steps), **environment)
            )
        yield running
    finally:
        for process in running:
            process.kill()
            process.end(BOUND)


def _end(process):
    """Exit status and last line of a process that must come to an end."""
    out, errors = process.end(BOUND)
    lines = out.splitlines()
    assert lines, errors[-2000:]
    return process.status, lines[-1]


def _wait_for(path):
    until = time.monotonic() + BOUND
    while not path.exists():
        assert time.monotonic() < until, f"no {path}"
        time.sleep(0.05)


def test_workers_end_together_when_one_is_killed_or_stopped_and_go_on_from_the_checkpoint(tmp_path):
    checkpoints = tmp_path / "run/checkpoints"
    with _workers(tmp_path / "run", 10**6) as (chief, other):
        _wait_for(checkpoints / "step-00000010.npz")
        other.kill()
        status, message = _end(chief)
    assert status == 1
    newest = max(checkpoints.glob("step-*.npz"))
    # Which one depends on whether its silence or its closed connection is noticed first.
    message = re.fullmatch(r"error: (worker 1|another worker) is gone; (.*)", message)[2]
    assert message == f"start all of them again to go on; last checkpoint: {newest}"
    # The same command goes on; whichever of the workers is told to stop, both do.
    killed = int(newest.stem.removeprefix("step-"))
    with _workers(tmp_path / "run", 10**6) as (chief, other):
        _wait_for(checkpoints / f"step-{killed + 10:08}.npz")
        other.terminate()
        ends = [_end(chief), _end(other)]
    stopped = max(int(path.stem.removeprefix("step-")) for path in checkpoints.glob("step-*.npz"))
    assert stopped >= killed + 10
    assert ends == [(75, f"stopped after {stopped}")] * 2
    # One process that was never stopped has the same weights.
    with _workers(tmp_path / "alone", stopped, count=1) as (alone,):
        assert _end(alone) == (0, "done, chief True")
    name = f"checkpoints/step-{stopped:08}.npz"
    with np.load(tmp_path / "run" / name) as run, np.load(tmp_path / "alone" / name) as expected:
        assert run.files == expected.files
        for key in set(run.files) - {"settings"}:
            np.testing.assert_allclose(run[key], expected[key], rtol=1e-4, atol=1e-6, err_msg=key)
