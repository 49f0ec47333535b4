"""Job that measures the speed of data sources, and how much time of a training step they take.

    python -m tools.data_benchmark --source=photos --source=photos_records --split=training

For each source, the first table has pictures per second as `data.load` yields them, and as batches
for stage 1 of the lite networks (shuffled, cropped, mirrored). The second table compares training
steps of that stage with batches of each source and with one batch that is in memory: the difference
is the source's share of a step. Sources are measured in turns and each figure is the median of
--rounds, because machines are noisy; compare figures of one call only.

The job says first how long it will take, and ends after about --seconds, a minute by default. Where
that is too short for --pictures and --steps, each measurement ends sooner. --seconds=0 sets no
limit.

Exit status: 0 after success; 1 if a source is at fault, with the reason in one line.
"""

from __future__ import annotations

import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from absl import app, flags
from tqdm import tqdm

from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.keras_startup import import_keras

if TYPE_CHECKING:
    import tensorflow as tf

FLAGS = flags.FLAGS

PRECISIONS = ("float32", "bfloat16")
"""Number formats in which a step can be measured."""


def seconds_per_call(action: Callable, calls: int, limit: float = math.inf) -> float:
    """Return the mean time of a call.

    Args:
        action: What is measured.
        calls: Most calls.
        limit: Seconds after which no further call begins.
    """
    start = now = time.perf_counter()
    done = 0
    while done < calls and (not done or now - start < limit):
        action()
        done += 1
        if done == calls or limit < math.inf:
            now = time.perf_counter()
    return (now - start) / done


def rate_measurement(
    dataset: Iterable, pictures: int, pictures_per_element: int, limit: float = math.inf
) -> Callable[[], float]:
    """Return a function that measures the pictures per second of an endless dataset.

    Args:
        dataset: Endless examples or batches.
        pictures: Most pictures of a measurement.
        pictures_per_element: Number of pictures in an element of the dataset.
        limit: Seconds after which a measurement ends with the element that it is at.
    """
    stream = iter(dataset)
    next(stream)  # the first element starts the pipeline
    count = max(pictures // pictures_per_element, 1)
    return lambda: pictures_per_element / seconds_per_call(lambda: next(stream), count, limit)


def seconds_per_step(
    step: Callable, batches: Iterator, steps: int, limit: float = math.inf
) -> float:
    """Return the mean time of a training step, including the wait for its batch.

    Args:
        step: A step of `train_step`, which has ended when it returns.
        batches: Endless batches.
        steps: Most steps of the measurement.
        limit: Seconds after which no further step begins.
    """
    return seconds_per_call(lambda: step(next(batches)), steps, limit)


class TimeBudget:
    """Seconds that the job may take, from which the limits of its measurements follow.

    Args:
        seconds: Seconds from now; 0 for no limit.
    """

    def __init__(self, seconds: float):
        self._end = time.monotonic() + seconds if seconds else math.inf

    def share(self, measurements: int, fraction: float = 1.0) -> float:
        """Return the seconds of each of several measurements.

        Args:
            measurements: Number of measurements that are to come.
            fraction: Part of the time left that they may take together.
        """
        left = max(self._end - time.monotonic(), 0.0)
        return left * fraction / measurements


def build_step() -> Callable:
    """Return a compiled step of stage 1 of the lite networks with random weights."""
    from smapcomp.training import recipes
    from smapcomp.training.config import TrainingConfig
    from smapcomp.training.config_groups import ModelConfig
    from smapcomp.training.tf_trainer.measured_step import MeasuredStep

    config = TrainingConfig(
        model=ModelConfig("stage1", "lite", precision=FLAGS.precision),
        loss=recipes.loss_config("stage1", "lite"),
        optimizer=recipes.optimizer_config("stage1", "lite"),
    )
    return MeasuredStep.from_config(config).compiled()


def benchmark() -> None:
    """Print the tables that the flags ask for.

    Raises:
        SmapcompError: A source is at fault.
    """
    from data import clear_errors
    from data.batches import pipeline
    from data.flags import source_spec

    budget = TimeBudget(FLAGS.seconds)
    specs = [source_spec(FLAGS, source) for source in FLAGS.source]
    options = {"batch_size": FLAGS.batch_size, "size": FLAGS.size, "fit": FLAGS.fit}
    with clear_errors():
        batches = {s: pipeline.training_batches(s, FLAGS.split, **options) for s in specs}
        print(_announcement(len(specs)), file=sys.stderr)
        _print_rates(specs, batches, budget)
        if FLAGS.steps:
            _print_shares(batches, budget)


def _announcement(sources: int) -> str:
    """Return how long the job will take, in words."""
    counts = ((sources, "source"), (FLAGS.rounds, "round"))
    count = ", ".join(f"{number} {unit}{'s' if number > 1 else ''}" for number, unit in counts)
    if FLAGS.seconds:
        return f"{count}: at most about {FLAGS.seconds:.0f} s (--seconds)"
    steps = f" and {FLAGS.steps} training steps twice" if FLAGS.steps else ""
    return (
        f"{count}: no limit of time (--seconds=0); each round reads {FLAGS.pictures} pictures twice"
        f"{steps} for each source"
    )


def _print_rates(specs: list[str], batches: dict[str, tf.data.Dataset], budget: TimeBudget) -> None:
    from data import load

    # Half of the time is left for the training steps and their compilation.
    fraction = 0.4 if FLAGS.steps else 0.9
    limit = budget.share(2 * len(specs) * FLAGS.rounds, fraction)
    reading = {
        spec: rate_measurement(
            load(spec, FLAGS.split, labels=True, shuffle_seed=0), FLAGS.pictures, 1, limit
        )
        for spec in specs
    }
    batching = {
        spec: rate_measurement(batches[spec], FLAGS.pictures, FLAGS.batch_size, limit)
        for spec in specs
    }
    rates: dict[str, tuple[list[float], list[float]]] = {spec: ([], []) for spec in specs}
    # In turns, so that other work on the machine slows all sources alike.
    for spec, _ in tqdm(list(itertools.product(specs, range(FLAGS.rounds))), desc="sources"):
        rates[spec][0].append(reading[spec]())
        rates[spec][1].append(batching[spec]())
    print("| source | examples/s | ratio | training pictures/s | ratio |\n|---|---|---|---|---|")
    first = [statistics.median(values) for values in rates[specs[0]]]
    for spec in specs:
        examples, pictures = (statistics.median(values) for values in rates[spec])
        ratios = examples / first[0], pictures / first[1]
        print(f"| {spec} | {examples:.0f} | {ratios[0]:.2f} | {pictures:.0f} | {ratios[1]:.2f} |")


def _print_shares(batches: dict[str, tf.data.Dataset], budget: TimeBudget) -> None:
    step = build_step()
    streams = {spec: iter(dataset) for spec, dataset in batches.items()}
    in_memory = itertools.repeat(next(next(iter(streams.values()))))
    step(next(in_memory))  # compiles
    limit = budget.share(2 * len(batches) * FLAGS.rounds)
    shares: dict[str, list[float]] = {spec: [] for spec in streams}
    seconds_in_memory: list[float] = []
    for _ in tqdm(range(FLAGS.rounds), desc="training"):
        for spec, stream in streams.items():
            seconds_in_memory.append(seconds_per_step(step, in_memory, FLAGS.steps, limit))
            seconds = seconds_per_step(step, stream, FLAGS.steps, limit)
            shares[spec].append(1.0 - seconds_in_memory[-1] / seconds)
    print(
        f"\nA step of {FLAGS.batch_size} x {FLAGS.size} x {FLAGS.size} on a batch in memory takes "
        f"{1000 * statistics.median(seconds_in_memory):.0f} ms.\n"
    )
    print("| source | source's share of a step |\n|---|---|")
    for spec, values in shares.items():
        print(f"| {spec} | {statistics.median(values):.1%} |")


def main(arguments: Sequence[str]) -> None:
    """Run the job."""
    refuse_arguments(arguments)
    import_keras()
    with errors_in_one_line("data_benchmark"):
        benchmark()


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Define the flags of the job."""
    from data.flags import define_source_flags

    define_source_flags(values, several=True)
    flags.DEFINE_integer("batch_size", 8, "Pictures in a batch.", 1, flag_values=values)
    flags.DEFINE_integer(
        "size",
        128,
        "Side of the pictures in pixels; 128 in stages 1 and 3 of the lite networks.",
        16,
        flag_values=values,
    )
    flags.DEFINE_enum(
        "fit",
        "crop",
        ["crop", "resize"],
        "crop: random windows; resize: whole pictures.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "precision",
        PRECISIONS[0],
        list(PRECISIONS),
        "Number format in which networks compute.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "pictures", 400, "Most pictures of a measurement of a source.", 1, flag_values=values
    )
    flags.DEFINE_integer(
        "steps", 20, "Most training steps of a measurement; 0 for none.", 0, flag_values=values
    )
    flags.DEFINE_float(
        "seconds",
        60.0,
        "About the most seconds that the job takes; 0 for no limit.",
        0.0,
        flag_values=values,
    )
    flags.DEFINE_integer("rounds", 5, "Measurements of a figure.", 1, flag_values=values)


if __name__ == "__main__":
    import_keras()
    define_flags()
    app.run(main)
