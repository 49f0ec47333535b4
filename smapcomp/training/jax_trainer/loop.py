"""The loop of `experiments.train_jax`: budgets, checkpoints, curves."""

import json
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from absl import logging

from smapcomp.training.checkpoints import Checkpoints
from smapcomp.training.errors import DivergedError, Interrupted, WorkdirError
from smapcomp.training.jax_trainer.step import StateArray, Training
from smapcomp.training.networks import save_networks
from smapcomp.training.signals import stop_request

KEEP = 2
"""Checkpoints kept: the newest, and one in case that it has gone bad."""

SYNC_EVERY = 10
"""Steps between two looks at what the accelerator has computed; between them it isn't waited for.
A budget of time and a signal are noticed as late as that."""

TIME_SPAN = 1_000_000
"""Positions of a run that only time limits."""

SECONDS = "seconds"


@dataclass(frozen=True)
class Budget:
    """When a run ends: with the one that is used up first.

    Attributes:
        steps: Number of the last step, or None.
        seconds: Of training, compilation and the time between runs not counted, or None.

    Raises:
        ValueError: Neither is given.
    """

    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self):
        if self.steps is None and self.seconds is None:
            raise ValueError("a budget needs steps or seconds")

    @property
    def span(self) -> int:
        """The position at which the run ends, and the learning rates' schedules with it."""
        return self.steps or TIME_SPAN

    def position(self, step: int, seconds: float) -> int:
        """How far the run is after `step` steps and `seconds`, 0..span."""
        by_time = int(seconds / self.seconds * self.span) if self.seconds else 0
        return min(max(step if self.steps else 0, by_time), self.span)


@dataclass(frozen=True)
class Plan:
    """How long a run is and what happens when.

    Attributes:
        budget: When it ends.
        checkpoint_every: Steps between checkpoints; the end always has one.
        validate_every: Steps between validations; the end always has one.
        log_every: Steps over which the curves' values are averaged.
        settings: What of the run may not change while it lasts, JSON-ready.
    """

    budget: Budget
    checkpoint_every: int
    validate_every: int
    log_every: int
    settings: Mapping[str, Any]


def train(
    training: Training,
    pictures: Mapping[str, jax.Array],
    key: jax.Array,
    workdir: str,
    plan: Plan,
    validate: Callable[[], Mapping[str, float]],
) -> None:
    """Trains until the budget is used up, from the newest checkpoint if there is one.

    Batches and everything else random depend on the key and the number of the step alone.

    Args:
        training: What is trained; at the end its networks hold the averaged weights.
        pictures: What its batches are made from.
        key: JAX random key of the run.
        workdir: Folder for `checkpoints/`, `weights/` and `curves.jsonl`, one object a
            line: `step`, `seconds` and either the means of what `run_step` returns or
            `validation/METRIC`.
        plan: When to stop, save, log and validate.
        validate: Metrics of the averaged weights.

    Raises:
        WorkdirError: `workdir` can't be written, or holds checkpoints of something else.
        DivergedError: A value is NaN or infinite; the message names it and the step.
        Interrupted: SIGTERM or SIGINT came. What was done is saved.
    """
    checkpoints = Checkpoints(os.path.join(workdir, "checkpoints"), KEEP, plan.settings)
    checkpoints.require_space(training.arrays(), best=False)
    done = max(checkpoints.steps(), default=0)
    seconds = StateArray(np.float64(0.0))
    if done:
        arrays = training.arrays() | {SECONDS: seconds}
        checkpoints.restore(done, arrays)
        seconds = arrays.pop(SECONDS)
        training.set_arrays(arrays)
        logging.info("continued after step %d", done)
    curves = _Curves(os.path.join(workdir, "curves.jsonl"), done)
    with stop_request() as stop:
        run = _Run(training, workdir, plan, validate, checkpoints, curves, float(seconds.value))
        run.steps(done, pictures, key, stop)


class _Run:
    def __init__(self, training, workdir, plan, validate, checkpoints, curves, seconds: float):
        self.training = training
        self.weights = os.path.join(workdir, "weights")
        self.plan = plan
        self.validate = validate
        self.checkpoints = checkpoints
        self.curves = curves
        self.used_before = seconds
        self.began: float | None = None
        self.pending: list[Mapping[str, jax.Array]] = []
        self.window: list[Mapping[str, float]] = []

    def used(self) -> float:
        """Seconds of the budget of time that are used up."""
        now = 0.0 if self.began is None else time.monotonic() - self.began
        return self.used_before + now

    def steps(self, step: int, pictures, key, stop: threading.Event) -> None:
        """Runs the steps after number `step`."""
        plan, started = self.plan, time.monotonic()
        while (position := plan.budget.position(step, self.used())) < plan.budget.span:
            step_key = jax.random.fold_in(key, step)
            self.pending.append(self.training.run_step(pictures, step_key, position))
            step += 1
            if self.began is None or step % SYNC_EVERY == 0:
                self._look(step)
            if self.began is None:
                self.began = time.monotonic()
                logging.info("compiled in %.0f s", self.began - started)
            if step % plan.log_every == 0:
                self._log(step)
            if step % plan.validate_every == 0:
                self._validate(step)
            stopping = stop.is_set()
            if step % plan.checkpoint_every == 0 or stopping:
                self._save(step)
            if stopping:
                raise Interrupted(step)
        self._save(step)
        self._validate(step)

    def _look(self, step: int) -> None:
        """Waits for the steps that were given to the accelerator, and checks their values."""
        values = [{k: float(v) for k, v in v.items()} for v in jax.device_get(self.pending)]
        self.pending = []
        self.window += values
        for number, found in enumerate(values, step - len(values) + 1):
            self._require_finite(number, found)

    def _log(self, step: int) -> None:
        self._look(step)
        if self.window:
            means = {k: float(np.mean([v[k] for v in self.window])) for k in self.window[0]}
            self.curves.add(step, self.used(), means)
            self.window = []

    def _validate(self, step: int) -> None:
        self._look(step)
        scores = {f"validation/{name}": value for name, value in self.validate().items()}
        self._require_finite(step, scores)
        self.curves.add(step, self.used(), scores)

    def _save(self, step: int) -> None:
        """Writes a checkpoint, then the averaged weights for later stages and the codec."""
        self._look(step)
        seconds = StateArray(np.float64(self.used()))
        self.checkpoints.save(step, self.training.arrays() | {SECONDS: seconds})
        self.training.put_averages_into_networks()
        try:
            stage = self.training.stage
            save_networks(stage.models, stage.trained_roles(), self.weights)
        except OSError as error:
            raise WorkdirError(f"{self.weights}: can't be written: {error.strerror}") from None

    def _require_finite(self, step: int, values: Mapping[str, float]) -> None:
        wrong = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            good = self.checkpoints.steps()
            rescue = self.checkpoints.path(good[-1]) if good else "none"
            raise DivergedError(f"step {step}: {', '.join(wrong)}; last checkpoint: {rescue}")


class _Curves:
    """A file of JSON lines; those after the step that a run goes on from are dropped."""

    def __init__(self, path: str, done: int):
        self.path = path
        lines = []
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                lines = [line for line in file if line.endswith("}\n")]
        kept = [line for line in lines if json.loads(line)["step"] <= done]
        _write(path, "".join(kept))

    def add(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Appends a line and shows it."""
        values = {name: float(f"{value:.6g}") for name, value in values.items()}
        shown = {k.removeprefix("train/"): v for k, v in values.items() if "gradient_norm" not in k}
        logging.info("step %d, %.0f s: %s", step, seconds, shown)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "seconds": round(seconds, 1), **values}) + "\n")


def _write(path: str, text: str) -> None:
    temporary = f"{path}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        raise WorkdirError(f"{path}: can't be written: {error.strerror}") from None
