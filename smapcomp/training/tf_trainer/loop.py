"""Training loop of every stage with TensorFlow, on one device or many.

A run continues from its newest checkpoint, which holds all that changes from step to step. If
batches depend on the number of the step alone, it ends with the weights of a run that was never
stopped.
"""

import contextlib
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import keras
import tensorflow as tf

from smapcomp.training.checkpoints import Checkpoints
from smapcomp.training.errors import Interrupted, WorkerLostError
from smapcomp.training.monitor import RunMonitor, last_checkpoint
from smapcomp.training.probe import Probe
from smapcomp.training.run_plan import RunPlan, finished_message
from smapcomp.training.signals import stop_request
from smapcomp.training.stages.stage import Stage
from smapcomp.training.stages.stage_optimizers import build_slots
from smapcomp.training.tf_trainer.averages import Averages
from smapcomp.training.tf_trainer.curves import (
    StepWindow,
    console_values,
    learning_rates,
    memory,
)
from smapcomp.training.tf_trainer.distribution import (
    distribute,
    is_chief,
    is_multi_worker,
    wait_for_workers,
)
from smapcomp.training.tf_trainer.progress import Progress
from smapcomp.training.tf_trainer.step import PICTURES, STOP, train_step
from smapcomp.training.tf_trainer.summaries import Summaries
from smapcomp.training.tf_trainer.variables import run_variables

Batch = Mapping[str, tf.Tensor]
Batches = Callable[[int, tf.distribute.InputContext | None], Iterable[Batch]]

PROFILED_STEPS = 3
"""Number of steps that a profile traces."""

MIN_LOSS_SCALE = 1.0
"""A gradient that is not finite at a loss scale below this one is not finite at any scale."""


@dataclass(frozen=True)
class StepComponents:
    """Objects that a training step is built from, apart from its stage.

    Attributes:
        optimizers: One optimizer of `layerwise` for each of the stage's groups. Like the stage's
            networks they are made within the strategy's scope.
        strategy: A strategy of `build_strategy`.
        averages: Averages of the trained weights, or `None`.
    """

    optimizers: Mapping[str, keras.Optimizer]
    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)
    averages: Averages | None = None


def train(
    stage: Stage,
    components: StepComponents,
    batches: Batches,
    workdir: str,
    plan: RunPlan,
    probes: Sequence[Probe] = (),
    description: str = "",
    graph: tf.Graph | None = None,
) -> None:
    """Train a stage up to its last step, from the newest checkpoint if there is one.

    Args:
        stage: The stage. Its networks hold the initial weights, and at the end the trained ones:
            the averages, if there are any.
        components: Optimizers, strategy and averages.
        batches: `batches(n, None)` yields the batches from number n on, the first being 0, without
            end. With several replicas it gets an `InputContext` and returns a `tf.data.Dataset` of
            one replica's parts.
        workdir: Folder for `checkpoints/` and the event files in `tensorboard/`. Workers on several
            machines must be able to read the same folder; the chief writes it.
        plan: Length of the run, and when it saves and logs.
        probes: Validations and the like.
        description: Markdown for TensorBoard's text.
        graph: Graph for TensorBoard, or `None`.

    Raises:
        WorkdirError: `workdir` cannot be written, or holds checkpoints of another run.
        DivergedError: A value is NaN or infinite; the message names it and the step.
        WorkerLostError: Another worker has ended.
        Interrupted: SIGTERM or SIGINT came, here or to another worker. The step was finished and
            saved.
        ValueError: Groups and optimizers differ, or no probe has the metric of the best checkpoint.
    """
    optimizers = components.optimizers
    if set(optimizers) != set(stage.groups):
        raise ValueError(f"optimizers for {sorted(optimizers)}, groups {sorted(stage.groups)}")
    chief = is_chief(components.strategy)
    folder = os.path.join(workdir, "checkpoints")
    checkpoints = Checkpoints(folder, plan.checkpoint.keep, plan.fixed, chief)
    with components.strategy.scope():
        build_slots(stage, optimizers)
        variables = run_variables(stage, optimizers, components.averages)
        done = max(checkpoints.steps(), default=0)
        if done:
            checkpoints.restore(done, variables)
    if done < plan.run.steps:
        best = bool(plan.checkpoint.best_metric)
        checkpoints.require_space(variables, best)
        if chief:
            print(checkpoints.describe_size(variables, best), flush=True)
        summaries = Summaries(os.path.join(workdir, "tensorboard") if chief else None)
        try:
            if description:
                summaries.text(done, "config", description)
            if graph is not None:
                summaries.graph(graph)
            with stop_request() as stop, _lost_worker_in_one_line(components.strategy, checkpoints):
                run = TensorFlowRun(
                    stage, components, plan, checkpoints, variables, summaries, probes, workdir
                )
                run.steps(done, batches, stop)
                wait_for_workers(components.strategy)
        finally:
            summaries.close()
    elif chief:
        print(finished_message(workdir, done, plan.run.steps), flush=True)
    if components.averages:
        components.averages.assign()


class TensorFlowRun:
    """The steps of one run; the arguments are those of `train` and what it has made of them."""

    def __init__(
        self,
        stage: Stage,
        components: StepComponents,
        plan: RunPlan,
        checkpoints: Checkpoints,
        variables: Mapping[str, keras.Variable],
        summaries: Summaries,
        probes: Sequence[Probe],
        workdir: str,
    ):
        self.stage = stage
        self.components = components
        self.plan = plan
        self.checkpoints = checkpoints
        self.variables = variables
        self.summaries = summaries
        self.workdir = workdir
        self.monitor = RunMonitor(plan, checkpoints, probes)

    def steps(self, done: int, batches: Batches, stop: threading.Event) -> None:
        """Run the steps after number `done`."""
        plan, components = self.plan, self.components
        last_step, strategy = plan.run.steps, components.strategy
        chief = is_chief(strategy)
        progress = Progress(self.stage.name, done, last_step, quiet=not chief)
        with strategy.scope():
            run_step = train_step(
                self.stage,
                components.optimizers,
                strategy,
                components.averages,
                plan.run.jit_compile,
            )
        window = StepWindow()
        stream = iter(distribute(strategy, lambda context: batches(done, context)))
        for step in range(done + 1, last_step + 1):
            began = time.monotonic()
            with self._profile(step):
                values = run_step(next(stream), stop.is_set())
            stopping, pictures = values.pop(STOP) > 0, values.pop(PICTURES)
            skipped = self._skipped(step, values)
            self.monitor.require_finite(step, {k: v for k, v in values.items() if k not in skipped})
            window.add(values, skipped, pictures, time.monotonic() - began)
            progress.update(step, console_values(values))
            last = step == last_step
            if last or step % plan.log_every == 0:
                means = window.means()
                self.summaries.scalars(
                    step, {**means, **learning_rates(components.optimizers), **memory()}
                )
                progress.line(console_values(means))
                window = StepWindow()
            if self._run_probes(step, last, progress):
                progress.skip()
            if last or step % plan.checkpoint.every == 0 or stopping:
                self.checkpoints.save(step, self.variables)
                self.summaries.flush()
                progress.skip()
            if stopping and not last:
                raise Interrupted(step)

    def _run_probes(self, step: int, last: bool, progress: Progress) -> bool:
        """Run the probes that are due; return whether there are any."""
        strategy, averages = self.components.strategy, self.components.averages
        due = self.monitor.due(step, last, is_chief(strategy))
        if not due:
            return False
        scores: dict[str, float] = {}
        with averages.applied() if averages else contextlib.nullcontext():
            for probe in due:
                # Variables made in the strategy's scope are shared with all workers; what the chief
                # does alone must not wait for the others.
                with contextlib.nullcontext() if probe.chief_only else strategy.scope():
                    scores.update(probe.run(step, self.summaries))
        self.monitor.record(step, due, scores, self.variables)
        self.summaries.scalars(step, scores)
        if scores:
            progress.line({k.removeprefix("validation/"): v for k, v in scores.items()}, "(probes)")
        return True

    def _skipped(self, step: int, values: Mapping[str, float]) -> set[str]:
        """Return the gradient norms that are not finite because of their loss scale.

        The optimizer has skipped the step of their groups.
        """
        skipped = set()
        for group in self.stage.groups:
            norm, scale = f"gradient_norm/{group}", values.get(f"loss_scale/{group}")
            if scale is None or math.isfinite(values[norm]):
                continue
            if scale < MIN_LOSS_SCALE:
                self.monitor.stop_diverged(
                    step, f"{norm} is {values[norm]} whatever the loss scale"
                )
            skipped.add(norm)
        return skipped

    def _profile(self, step: int) -> contextlib.AbstractContextManager:
        first = self.plan.profile_at
        if first is None or not first <= step < first + PROFILED_STEPS:
            return contextlib.nullcontext()
        return self._traced(step, step == first, step == first + PROFILED_STEPS - 1)

    @contextlib.contextmanager
    def _traced(self, step: int, first: bool, last: bool) -> Iterator[None]:
        if first:
            tf.profiler.experimental.start(os.path.join(self.workdir, "tensorboard"))
        with tf.profiler.experimental.Trace("train", step_num=step, _r=1):
            yield
        if last or step == self.plan.run.steps:
            tf.profiler.experimental.stop()


LOST_WORKER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
)


@contextlib.contextmanager
def _lost_worker_in_one_line(
    strategy: tf.distribute.Strategy, checkpoints: Checkpoints
) -> Iterator[None]:
    """Turn the errors of a lost worker into a `WorkerLostError`."""
    try:
        yield
    except LOST_WORKER_ERRORS as error:
        if not is_multi_worker(strategy):
            raise
        found = re.search(r"reported from /job:worker/task:(\d+)", str(error))
        which = f"worker {found[1]}" if found else "another worker"
        raise WorkerLostError(
            f"{which} has ended; start all workers again to continue; "
            f"{last_checkpoint(checkpoints)}"
        ) from None
