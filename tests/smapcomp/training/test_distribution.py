"""Training on several replicas and in several processes, which run outside the test's process."""

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
"""Stages on small networks that train; "adversarial" is stage 1 with a discriminator."""

SMALL_STAGES = ("stage1", "stage2")
"""Further stages on small networks, which are validated."""

LITE_STAGES = ("segmentation", "stage3", "lossy")
"""Stages on the package's lite networks, all of which they contain."""

ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}

BOUND = 120
"""Longest time of a wait in seconds; a worker needs about ten to notice that another has ended."""


def _replicas_case(*arguments):
    case = Forked("tests.helpers.replicas_case", *arguments, **ENVIRONMENT)
    out, errors = case.end(600)
    assert case.status == 0, errors[-2000:]
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def results():
    return _replicas_case("train", *STAGES)


@pytest.fixture(scope="module")
def validations():
    """Scores of one replica and of two, by networks and stage."""
    found = {"small": _replicas_case("validate_small", *SMALL_STAGES)}
    return found | {"lite": _replicas_case("validate_lite", *LITE_STAGES)}


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


@pytest.mark.parametrize(
    ("networks", "stage"),
    [("small", stage) for stage in SMALL_STAGES] + [("lite", stage) for stage in LITE_STAGES],
)
def test_a_replica_without_examples_runs_no_network_on_an_empty_batch_and_changes_no_score(
    validations, networks, stage
):
    one, two = validations[networks][stage]
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


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
    """Yield the processes of one run; none of them outlives the test."""
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
    """Return exit status and last line of a process that must end."""
    out, errors = process.end(BOUND)
    lines = out.splitlines()
    assert lines, errors[-2000:]
    return process.status, lines[-1]


def _wait_for(path):
    until = time.monotonic() + BOUND
    while not path.exists():
        assert time.monotonic() < until, f"no {path}"
        time.sleep(0.05)


def test_workers_end_together_when_one_is_killed_or_stopped_and_continue_from_there(
    tmp_path,
):
    checkpoints = tmp_path / "run/checkpoints"
    with _workers(tmp_path / "run", 10**6) as (chief, other):
        _wait_for(checkpoints / "step-00000010.npz")
        other.kill()
        status, message = _end(chief)
    assert status == 1
    newest = max(checkpoints.glob("step-*.npz"))
    # The name depends on whether its silence or its closed connection is noticed first.
    message = re.fullmatch(r"error: (worker 1|another worker) has ended; (.*)", message)[2]
    assert message == f"start all workers again to continue; last checkpoint: {newest}"
    # The same command continues. Whichever worker is told to stop, both stop.
    killed = int(newest.stem.removeprefix("step-"))
    with _workers(tmp_path / "run", 10**6) as (chief, other):
        _wait_for(checkpoints / f"step-{killed + 10:08}.npz")
        other.terminate()
        ends = [_end(chief), _end(other)]
    stopped = max(int(path.stem.removeprefix("step-")) for path in checkpoints.glob("step-*.npz"))
    assert stopped >= killed + 10
    assert ends == [(75, f"stopped after {stopped}")] * 2
    # Each of the two starts has one event file, which worker 0 has written.
    written = [path.read_bytes() for path in (tmp_path / "run/tensorboard").glob("events*")]
    assert [b"network/conv/kernel" in events for events in written] == [True] * 2
    # A single process that was never stopped has the same weights.
    with _workers(tmp_path / "alone", stopped, count=1) as (alone,):
        assert _end(alone) == (0, "done, chief True")
    name = f"checkpoints/step-{stopped:08}.npz"
    with np.load(tmp_path / "run" / name) as run, np.load(tmp_path / "alone" / name) as expected:
        assert run.files == expected.files
        for key in set(run.files) - {"settings"}:
            np.testing.assert_allclose(run[key], expected[key], rtol=1e-4, atol=1e-6, err_msg=key)
