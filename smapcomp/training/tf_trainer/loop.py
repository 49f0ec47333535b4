"""The training loop of every stage, on one device or many.

A run is continued from its newest checkpoint, which holds all that changes from step to step;
with batches that depend on the number of the step alone, it ends with the weights of a run that
was never stopped.
"""

import contextlib
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from smapcomp.training.checkpoints import Checkpoints
from smapcomp.training.errors import DivergedError, Interrupted, WorkerLostError
from smapcomp.training.signals import stop_request
from smapcomp.training.stages.stage import Stage
from smapcomp.training.state import build_optimizers, run_variables
from smapcomp.training.tf_trainer.averages import Averages
from smapcomp.training.tf_trainer.curves import Window, learning_rates, memory, shown
from smapcomp.training.tf_trainer.distribution import distribute, is_chief, is_multi_worker, meet
from smapcomp.training.tf_trainer.progress import Progress
from smapcomp.training.tf_trainer.step import PICTURES, STOP, train_step
from smapcomp.training.tf_trainer.summaries import Summaries

Batch = Mapping[str, tf.Tensor]
Batches = Callable[[int, tf.distribute.InputContext | None], Iterable[Batch]]

PROFILED_STEPS = 3
MIN_LOSS_SCALE = 1.0
"""A loss scale below it has not found too large a gradient but one that is no number."""


@dataclass(frozen=True)
class Probe:
    """What looks at a run now and then; after the last step always.

    Attributes:
        every: In steps.
        run: `run(step, summaries)` writes what it likes and returns curves' values, which are
            written too. It sees the averaged weights, if the run has averages.
        chief_only: Whether the chief does it alone; else every worker must, at the same time.
    """

    every: int
    run: Callable[[int, Summaries], Mapping[str, float]]
    chief_only: bool = False

    def __post_init__(self):
        _require_positive("every", self.every)


@dataclass(frozen=True)
class Plan:
    """How long a run is and what happens when; all in steps.

    Attributes:
        steps: Number of the last step, counted from the run's first start.
        checkpoint_every: Between checkpoints; the last step always has one.
        log_every: Over which the curves' values are averaged.
        keep: Checkpoints kept.
        best_metric: Curve of a probe, such as "validation/psnr", by which the best checkpoint is
            kept; None for none.
        best_is: "max" or "min".
        profile_at: Step from which on a few are traced for TensorBoard's profiler; None for none.
    """

    steps: int
    checkpoint_every: int = 500
    log_every: int = 50
    keep: int = 3
    best_metric: str | None = None
    best_is: str = "max"
    profile_at: int | None = None

    def __post_init__(self):
        for name in ("steps", "checkpoint_every", "log_every", "keep"):
            _require_positive(name, getattr(self, name))
        if self.best_is not in ("max", "min"):
            raise ValueError(f"best_is must be 'max' or 'min', got {self.best_is!r}")


def _require_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


@dataclass(frozen=True)
class Setup:
    """How a stage is trained, apart from its data and its length.

    Attributes:
        optimizers: One for each of the stage's groups, of `layerwise`; made, like the stage's
            networks, within the strategy's scope.
        strategy: Of `build_strategy`.
        averages: Of the trained weights, or None.
        jit_compile: Whether steps are compiled with XLA.
        settings: What may not change when the run is continued; JSON-ready.
    """

    optimizers: Mapping[str, keras.Optimizer]
    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)
    averages: Averages | None = None
    jit_compile: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


def train(
    stage: Stage,
    setup: Setup,
    batches: Batches,
    workdir: str,
    plan: Plan,
    probes: Sequence[Probe] = (),
    description: str = "",
) -> None:
    """Trains a stage up to step `plan.steps`, from the newest checkpoint if there is one.

    Args:
        stage: Its models hold the initial weights, and the trained ones at the end: the averages,
            if there are any.
        setup: What steps are made with.
        batches: `batches(n, None)` yields the batches from number n, the first being 0, without
            end. With several replicas it is given an `InputContext` and returns a
            `tf.data.Dataset` of one replica's parts of them.
        workdir: Folder for `checkpoints/` and the event files in `tensorboard/`. Workers on
            several machines need the same one, to read; the chief writes.
        plan: When to stop, save and log.
        probes: Validations and the like.
        description: Markdown, for TensorBoard's text.

    Raises:
        WorkdirError: `workdir` can't be written, or holds checkpoints of something else.
        DivergedError: A value is NaN or infinite; the message names it and the step.
        WorkerLostError: Another worker has ended.
        Interrupted: SIGTERM or SIGINT came, here or to another worker. The step was finished and
            saved.
        ValueError: Groups and optimizers don't match, or no probe gives `plan.best_metric`.
    """
    optimizers = setup.optimizers
    if set(optimizers) != set(stage.groups):
        raise ValueError(f"optimizers for {sorted(optimizers)}, groups {sorted(stage.groups)}")
    chief = is_chief(setup.strategy)
    folder = os.path.join(workdir, "checkpoints")
    checkpoints = Checkpoints(folder, plan.keep, setup.settings, chief)
    with setup.strategy.scope():
        build_optimizers(stage, optimizers)
        variables = run_variables(stage, optimizers, setup.averages)
        done = max(checkpoints.steps(), default=0)
        if done:
            checkpoints.restore(done, variables)
    if done < plan.steps:
        checkpoints.require_space(variables, plan.best_metric is not None)
        summaries = Summaries(os.path.join(workdir, "tensorboard") if chief else None)
        try:
            if description:
                summaries.text(done, "config", description)
            with stop_request() as stop, _worker_lost(setup.strategy, checkpoints):
                run = _Run(stage, setup, plan, checkpoints, variables, summaries, probes, workdir)
                run.steps(done, batches, stop)
                meet(setup.strategy)
        finally:
            summaries.close()
    if setup.averages:
        setup.averages.assign()


@dataclass(frozen=True)
class _Run:
    stage: Stage
    setup: Setup
    plan: Plan
    checkpoints: Checkpoints
    variables: Mapping[str, keras.Variable]
    summaries: Summaries
    probes: Sequence[Probe]
    workdir: str
    ran: set[int] = field(default_factory=set)
    curves: set[str] = field(default_factory=set)

    def steps(self, done: int, batches: Batches, stop: threading.Event) -> None:
        """Runs the steps after number `done`."""
        plan, setup = self.plan, self.setup
        chief = is_chief(setup.strategy)
        progress = Progress(self.stage.name, done, plan.steps, quiet=not chief)
        with setup.strategy.scope():
            step_of = train_step(
                self.stage, setup.optimizers, setup.strategy, setup.averages, setup.jit_compile
            )
        window = Window()
        stream = iter(distribute(setup.strategy, lambda context: batches(done, context)))
        for step in range(done + 1, plan.steps + 1):
            began = time.monotonic()
            with self._profile(step):
                values = step_of(next(stream), stop.is_set())
            stopping, pictures = values.pop(STOP) > 0, values.pop(PICTURES)
            skipped = self._skipped(step, values)
            self._require_finite(step, {k: v for k, v in values.items() if k not in skipped})
            window.add(values, skipped, pictures, time.monotonic() - began)
            progress.update(step, shown(values))
            last = step == plan.steps
            if last or step % plan.log_every == 0:
                means = window.means()
                self.summaries.scalars(
                    step, {**means, **learning_rates(setup.optimizers), **memory()}
                )
                progress.line(shown(means))
                window = Window()
            if self._probe(step, last, progress):
                progress.skip()
            if last or step % plan.checkpoint_every == 0 or stopping:
                self.checkpoints.save(step, self.variables)
                self.summaries.flush()
                progress.skip()
            if stopping and not last:
                raise Interrupted(step)

    def _probe(self, step: int, last: bool, progress: Progress) -> bool:
        """Runs the probes that are due, and keeps the checkpoint if it is the best so far."""
        chief = is_chief(self.setup.strategy)
        due = [p for p in self.probes if last or step % p.every == 0]
        due = [p for p in due if chief or not p.chief_only]
        if not due:
            return False
        scores = {}
        averages = self.setup.averages
        with averages.applied() if averages else _nothing():
            for probe in due:
                # What the chief does alone must not wait for the others, as variables made in the
                # strategy's scope do.
                with _nothing() if probe.chief_only else self.setup.strategy.scope():
                    scores.update(probe.run(step, self.summaries))
                self.ran.add(id(probe))
        self._require_finite(step, scores)
        self.summaries.scalars(step, scores)
        if scores:
            progress.line({k.removeprefix("validation/"): v for k, v in scores.items()}, "(probes)")
        self._require_best_metric(scores)
        self._keep_best(step, scores)
        return True

    def _require_best_metric(self, scores: Mapping[str, float]) -> None:
        """Says that the curve does not exist as soon as every probe has run."""
        self.curves.update(scores)
        metric = self.plan.best_metric
        if metric and len(self.ran) == len(self.probes) and metric not in self.curves:
            known = ", ".join(sorted(self.curves))
            raise ValueError(
                f"best_metric {metric!r} is no curve of a validation; allowed: {known}"
            )

    def _keep_best(self, step: int, scores: Mapping[str, float]) -> None:
        metric = self.plan.best_metric
        if metric not in scores or not self.checkpoints.writer:
            return
        best, sign = self.checkpoints.best_score(), 1 if self.plan.best_is == "max" else -1
        if best is None or sign * scores[metric] > sign * best:
            self.checkpoints.save_best(step, self.variables, scores[metric])

    def _skipped(self, step: int, values: Mapping[str, float]) -> set[str]:
        """Gradient norms that are no number because of their loss scale: the step left them out."""
        skipped = set()
        for group in self.stage.groups:
            norm, scale = f"gradient_norm/{group}", values.get(f"loss_scale/{group}")
            if scale is None or math.isfinite(values[norm]):
                continue
            if scale < MIN_LOSS_SCALE:
                self._diverged(step, f"{norm} is {values[norm]} whatever the loss scale")
            skipped.add(norm)
        return skipped

    def _require_finite(self, step: int, values: Mapping[str, float]) -> None:
        wrong = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            self._diverged(step, ", ".join(wrong))

    def _diverged(self, step: int, what: str) -> None:
        raise DivergedError(f"step {step}: {what}; {_rescue(self.checkpoints)}")

    def _profile(self, step: int) -> contextlib.AbstractContextManager:
        first = self.plan.profile_at
        if first is None or not first <= step < first + PROFILED_STEPS:
            return _nothing()
        return self._traced(step, step == first, step == first + PROFILED_STEPS - 1)

    @contextlib.contextmanager
    def _traced(self, step: int, first: bool, last: bool) -> Iterator[None]:
        if first:
            tf.profiler.experimental.start(os.path.join(self.workdir, "tensorboard"))
        with tf.profiler.experimental.Trace("train", step_num=step, _r=1):
            yield
        if last or step == self.plan.steps:
            tf.profiler.experimental.stop()


def _rescue(checkpoints: Checkpoints) -> str:
    good = checkpoints.steps()
    return f"last checkpoint: {checkpoints.path(good[-1]) if good else 'none'}"


@contextlib.contextmanager
def _nothing() -> Iterator[None]:
    yield


LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)


@contextlib.contextmanager
def _worker_lost(strategy: tf.distribute.Strategy, checkpoints: Checkpoints) -> Iterator[None]:
    """Says in one line that another worker has gone."""
    try:
        yield
    except LOST as error:
        if not is_multi_worker(strategy):
            raise
        found = re.search(r"reported from /job:worker/task:(\d+)", str(error))
        which = f"worker {found[1]}" if found else "another worker"
        raise WorkerLostError(
            f"{which} is gone; start all of them again to go on; {_rescue(checkpoints)}"
        ) from None
