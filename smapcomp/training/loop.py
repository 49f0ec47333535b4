"""The training loop of every stage, for TensorFlow and one device.

A run is continued from its newest checkpoint, which holds all that changes from step to step;
with batches that depend on the number of the step alone, it ends with the weights of a run that
was never stopped.
"""

import contextlib
import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from smapcomp.training.checkpoints import Checkpoints
from smapcomp.training.errors import DivergedError, Interrupted
from smapcomp.training.progress import Progress
from smapcomp.training.stages import Stage
from smapcomp.training.summaries import Summaries

Batch = Mapping[str, tf.Tensor]
Validate = Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Plan:
    """How long a run is and what happens when; all in steps.

    Attributes:
        steps: Number of the last step, counted from the run's first start.
        checkpoint_every: Between checkpoints; the last step always has one.
        log_every: Over which the curves' values are averaged.
        validate_every: Between validations; the last step always has one.
        keep: Checkpoints kept.
    """

    steps: int
    checkpoint_every: int = 500
    log_every: int = 50
    validate_every: int = 500
    keep: int = 3

    def __post_init__(self):
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


def train(
    stage: Stage,
    optimizers: Mapping[str, keras.Optimizer],
    batches: Callable[[int], Iterable[Batch]],
    workdir: str,
    plan: Plan,
    validate: Validate | None = None,
) -> None:
    """Trains a stage up to step `plan.steps`, from the newest checkpoint if there is one.

    Args:
        stage: Its models hold the initial weights, and the trained ones at the end.
        optimizers: One for each of the stage's groups.
        batches: `batches(n)` yields the batches from number n, the first being 0, without end.
        workdir: Folder for `checkpoints/` and the event files in `tensorboard/`.
        plan: When to stop, save, log and validate.
        validate: Called without arguments; returns metrics.

    Raises:
        WorkdirError: `workdir` can't be written, or holds checkpoints of something else.
        DivergedError: A value is NaN or infinite; the message names it and the step.
        Interrupted: SIGTERM or SIGINT came. The step was finished and saved.
        ValueError: Groups and optimizers don't match.
    """
    if set(optimizers) != set(stage.groups):
        raise ValueError(f"optimizers for {sorted(optimizers)}, groups {sorted(stage.groups)}")
    checkpoints = Checkpoints(os.path.join(workdir, "checkpoints"), plan.keep)
    for group, optimizer in optimizers.items():
        optimizer.build(stage.variables(group))
    variables = run_variables(stage, optimizers)
    done = max(checkpoints.steps(), default=0)
    if done:
        checkpoints.restore(done, variables)
    if done >= plan.steps:
        return
    summaries = Summaries(os.path.join(workdir, "tensorboard"))
    try:
        with _stop_request() as stop:
            run = _Run(stage, optimizers, plan, checkpoints, variables, summaries, validate)
            run.steps(done, batches, stop)
    finally:
        summaries.close()


def run_variables(
    stage: Stage, optimizers: Mapping[str, keras.Optimizer]
) -> dict[str, keras.Variable]:
    """All that changes from step to step, by the name it has in checkpoints.

    That is the trained networks' variables, moving statistics and seeds of dropout included, and
    the optimizers'. Networks that the stage holds fixed are not part of it.
    """
    found = {}
    for group, roles in stage.groups.items():
        for role in roles:
            found.update(_network_variables(role, stage.models[role]))
        # Names of slots leave out the layer, so they are not unique; the order is fixed.
        for index, variable in enumerate(optimizers[group].variables):
            found[f"optimizer/{group}/{index:04}_{variable.name}"] = variable
    return found


def _network_variables(role: str, model: keras.Model) -> dict[str, keras.Variable]:
    found, seeds = {}, 0
    for variable in model.variables:
        if variable.name == "seed_generator_state":
            # Keras numbers the seeds of dropout through the process, not through the network.
            found[f"{role}/seed_{seeds:02}"] = variable
            seeds += 1
        else:
            found[f"{role}/{variable.path}"] = variable
    return found


def train_step(stage: Stage, optimizers: Mapping[str, keras.Optimizer]) -> Callable[[Batch], dict]:
    """Compiles one step: every group's update, all computed from the weights before it.

    Returns:
        Function of a batch to scalars by the names of their curves: `loss/GROUP`,
        `gradient_norm/GROUP` (before clipping) and `train/METRIC`.
    """
    variables = {group: stage.variables(group) for group in stage.groups}

    @tf.function
    def step(batch):
        with tf.GradientTape(persistent=True) as tape:
            totals, metrics = stage.losses(batch, training=True)
        values = {f"train/{name}": value for name, value in metrics.items()}
        gradients = {}
        for group, total in totals.items():
            gradients[group] = tape.gradient(total, variables[group])
            values[f"loss/{group}"] = total
            values[f"gradient_norm/{group}"] = tf.linalg.global_norm(gradients[group])
        for group, gradient in gradients.items():
            optimizers[group].apply(gradient, variables[group])
        return {name: tf.cast(value, tf.float32) for name, value in values.items()}

    return step


def mean_metrics(stage: Stage, batches: Iterable[Batch]) -> Validate:
    """A validation: the means of the stage's metrics over batches, weighted by their sizes."""

    @tf.function
    def evaluate(batch):
        return stage.losses(batch, training=False)[1]

    def validate() -> dict[str, float]:
        sums, count = {}, 0
        for batch in batches:
            size = int(batch["image"].shape[0])
            for name, value in evaluate(batch).items():
                sums[name] = sums.get(name, 0.0) + size * float(value)
            count += size
        return {name: value / count for name, value in sums.items()}

    return validate


@dataclass(frozen=True)
class _Run:
    stage: Stage
    optimizers: Mapping[str, keras.Optimizer]
    plan: Plan
    checkpoints: Checkpoints
    variables: Mapping[str, keras.Variable]
    summaries: Summaries
    validate: Validate | None

    def steps(self, done: int, batches: Callable[[int], Iterable], stop: threading.Event) -> None:
        """Runs the steps after number `done`."""
        plan = self.plan
        progress = Progress(self.stage.name, done, plan.steps)
        compiled = train_step(self.stage, self.optimizers)
        window = []
        stream = iter(batches(done))
        for step in range(done + 1, plan.steps + 1):
            values = {name: float(value) for name, value in compiled(next(stream)).items()}
            self._require_finite(step, values)
            window.append(values)
            progress.update(step, _shown(values))
            last = step == plan.steps
            if last or step % plan.log_every == 0:
                means = {name: float(np.mean([v[name] for v in window])) for name in values}
                self._log(step, means)
                progress.line(_shown(means))
                window = []
            if self.validate and (last or step % plan.validate_every == 0):
                scores = self.validate()
                self._require_finite(step, scores)
                self.summaries.scalars(step, {f"validation/{k}": v for k, v in scores.items()})
                progress.line(scores, "(validation)")
                progress.skip()
            if last or step % plan.checkpoint_every == 0 or stop.is_set():
                self.checkpoints.save(step, self.variables)
                self.summaries.flush()
                progress.skip()
            if stop.is_set() and not last:
                raise Interrupted(step)

    def _log(self, step: int, values: Mapping[str, float]) -> None:
        rates = {
            f"learning_rate/{group}": float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            for group, optimizer in self.optimizers.items()
        }
        self.summaries.scalars(step, {**values, **rates})

    def _require_finite(self, step: int, values: Mapping[str, float]) -> None:
        wrong = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            good = self.checkpoints.steps()
            rescue = self.checkpoints.path(good[-1]) if good else "none"
            raise DivergedError(f"step {step}: {', '.join(wrong)}; last checkpoint: {rescue}")


def _shown(values: Mapping[str, float]) -> dict[str, float]:
    """What of a step's values the console has room for: the losses and the metrics."""
    return {k.removeprefix("train/"): v for k, v in values.items() if "gradient_norm/" not in k}


@contextlib.contextmanager
def _stop_request() -> Iterator[threading.Event]:
    """An event that the first SIGTERM or SIGINT sets; a second one ends the process at once."""
    event, previous = threading.Event(), {}

    def request(number, _):
        event.set()
        signal.signal(number, previous[number])

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            previous[number] = signal.signal(number, request)
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
