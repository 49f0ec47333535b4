"""Training loop of every stage with JAX: limits of steps and time, checkpoints, curves, probes."""

import os
import threading
import time
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from absl import logging

from smapcomp.training.checkpoints import Checkpoints
from smapcomp.training.errors import Interrupted, WorkdirError
from smapcomp.training.jax_trainer.curves import CurveFile
from smapcomp.training.jax_trainer.step import StateArray, StepRunner
from smapcomp.training.monitor import RunMonitor
from smapcomp.training.probe import Probe
from smapcomp.training.run_plan import RunPlan, finished_message
from smapcomp.training.signals import stop_request
from smapcomp.training.stages.networks import save_networks

SYNC_EVERY = 10
"""Steps after which the loop waits for the accelerator's results. Signals, the time limit and
values that are not finite are noticed with this delay."""

SECONDS_KEY = "seconds"
"""Name, in checkpoints, of the seconds of training so far."""


def train(
    runner: StepRunner,
    pictures: Mapping[str, jax.Array],
    key: jax.Array,
    workdir: str,
    plan: RunPlan,
    probes: Sequence[Probe] = (),
) -> None:
    """Train a stage to the end of its run, from the newest checkpoint if there is one.

    Batches and everything else random depend on the key and the number of the step alone.

    Args:
        runner: The stage in training. At the end its networks hold the trained weights: the
            averages, if there are any.
        pictures: Pictures that its batches are made from.
        key: JAX random key of the run.
        workdir: Folder for `checkpoints/`, `weights/` with the networks as they are at each
            checkpoint, and `curves.jsonl` (see `CurveFile`).
        plan: Length of the run, and when it saves and logs.
        probes: Validations and the like. They get no picture writer.

    Raises:
        WorkdirError: `workdir` cannot be written, or holds checkpoints of another run.
        DivergedError: A value is NaN or infinite; the message names it and the step.
        Interrupted: SIGTERM or SIGINT came. The step was finished and saved.
        ValueError: No probe has the metric of the best checkpoint.
    """
    folder = os.path.join(workdir, "checkpoints")
    checkpoints = Checkpoints(folder, plan.checkpoint.keep, plan.fixed)
    done = max(checkpoints.steps(), default=0)
    seconds = StateArray(np.float64(0.0))
    if done:
        arrays = runner.arrays() | {SECONDS_KEY: seconds}
        checkpoints.restore(done, arrays)
        seconds = arrays.pop(SECONDS_KEY)
        runner.set_arrays(arrays)
        logging.info("continued after step %d", done)
    run = JaxRun(runner, workdir, plan, probes, checkpoints, float(seconds.value))
    if run.has_ended(done):
        run.save_weights()
        print(finished_message(workdir, done, plan.run.steps), flush=True)
        return
    best = bool(plan.checkpoint.best_metric)
    checkpoints.require_space(runner.arrays(), best)
    print(checkpoints.describe_size(runner.arrays(), best), flush=True)
    curves = CurveFile(os.path.join(workdir, "curves.jsonl"), done)
    with stop_request() as stop:
        run.steps(done, pictures, key, curves, stop)


class JaxRun:
    """The steps of one run.

    Args:
        runner: The stage in training.
        workdir: Folder of the run.
        plan: Length of the run, and when it saves and logs.
        probes: Validations and the like.
        checkpoints: Checkpoints of the run.
        seconds: Seconds of training before this process, without compilation.
    """

    def __init__(
        self,
        runner: StepRunner,
        workdir: str,
        plan: RunPlan,
        probes: Sequence[Probe],
        checkpoints: Checkpoints,
        seconds: float,
    ):
        self.runner = runner
        self.weights_folder = os.path.join(workdir, "weights")
        self.plan = plan
        self.checkpoints = checkpoints
        self.monitor = RunMonitor(plan, checkpoints, probes)
        self._seconds_before = seconds
        self._first_step_ended: float | None = None
        # Values of steps that the accelerator may still be computing, and of those since the last
        # line of the curves.
        self._pending: list[Mapping[str, jax.Array]] = []
        self._window: list[Mapping[str, float]] = []

    def seconds(self) -> float:
        """Return the seconds of training so far, without compilation."""
        began = self._first_step_ended
        return self._seconds_before + (0.0 if began is None else time.monotonic() - began)

    def has_ended(self, step: int) -> bool:
        """Return whether a step is the last one."""
        return self.plan.run.position(step, self.seconds()) >= self.plan.run.span

    def steps(
        self,
        done: int,
        pictures: Mapping[str, jax.Array],
        key: jax.Array,
        curves: CurveFile,
        stop: threading.Event,
    ) -> None:
        """Run the steps after number `done`."""
        plan, step, started, last = self.plan, done, time.monotonic(), False
        while not last:
            position = plan.run.position(step, self.seconds())
            step_key = jax.random.fold_in(key, step)
            self._pending.append(self.runner.run_step(pictures, step_key, position))
            step += 1
            first = self._first_step_ended is None
            if first or step % SYNC_EVERY == 0:
                self._wait_for_results(step)
            if first:
                self._first_step_ended = time.monotonic()
                logging.info("compiled in %.0f s", self._first_step_ended - started)
            last = self.has_ended(step)
            if last or step % plan.log_every == 0:
                self._log(step, curves)
            if last:  # A probe that fails must not lose the trained networks.
                self._save(step)
            self._run_probes(step, last, curves)
            stopping = stop.is_set() and not last
            if stopping or (step % plan.checkpoint.every == 0 and not last):
                self._save(step)
            if stopping:
                raise Interrupted(step)

    def _wait_for_results(self, step: int) -> None:
        """Wait for the values of all steps up to this one, and check them."""
        values = [{k: float(v) for k, v in v.items()} for v in jax.device_get(self._pending)]
        self._pending = []
        self._window += values
        for number, found in enumerate(values, step - len(values) + 1):
            self.monitor.require_finite(number, found)

    def _log(self, step: int, curves: CurveFile) -> None:
        self._wait_for_results(step)
        window, self._window = self._window, []
        means = {name: float(np.mean([v[name] for v in window])) for name in window[0]}
        curves.add(step, self.seconds(), means)

    def _run_probes(self, step: int, last: bool, curves: CurveFile) -> None:
        due = self.monitor.due(step, last)
        if not due:
            return
        self._wait_for_results(step)
        scores: dict[str, float] = {}
        for probe in due:
            scores.update(probe.run(step, None))
        self.monitor.record(step, due, scores, self._variables())
        curves.add(step, self.seconds(), scores)

    def _variables(self) -> dict[str, StateArray]:
        seconds = StateArray(np.float64(self.seconds()))
        return self.runner.arrays() | {SECONDS_KEY: seconds}

    def _save(self, step: int) -> None:
        """Write a checkpoint, then the networks for later stages and the codec."""
        self._wait_for_results(step)
        self.checkpoints.save(step, self._variables())
        self.save_weights()

    def save_weights(self) -> None:
        """Write the networks, with the averages of their weights if there are any.

        Raises:
            WorkdirError: A file cannot be written.
        """
        self.runner.assign_networks()
        stage = self.runner.stage
        try:
            save_networks(stage.models, stage.trained_roles(), self.weights_folder)
        except OSError as error:
            raise WorkdirError(
                f"{self.weights_folder}: cannot be written: {error.strerror}"
            ) from None
