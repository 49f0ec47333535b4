"""Job that measures the speed of data sources, and how much time of a training step they take.

    python -m tools.data_benchmark --source=photos --source=photos_records --split=training

For each source, the first table has pictures per second as `data.load` yields them, and as batches
for stage 1 of the lite networks (shuffled, cropped, mirrored). The second table compares training
steps of that stage with batches of each source and with one batch that is in memory: the difference
is the source's share of a step. Sources are measured in turns and each figure is the median of
--rounds, because machines are noisy; compare figures of one call only.

Exit status: 0 after success; 1 if a source is at fault, with the reason in one line.
"""

from __future__ import annotations

import itertools
import statistics
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


def rate_measurement(
    dataset: Iterable, pictures: int, pictures_per_element: int
) -> Callable[[], float]:
    """Return a function that measures the pictures per second of an endless dataset.

    Args:
        dataset: Endless examples or batches.
        pictures: Number of pictures of a measurement.
        pictures_per_element: Number of pictures in an element of the dataset.
    """
    stream = iter(dataset)
    next(stream)  # the first element starts the pipeline

    def measure() -> float:
        count = max(pictures // pictures_per_element, 1)
        start = time.perf_counter()
        for _ in range(count):
            next(stream)
        return count * pictures_per_element / (time.perf_counter() - start)

    return measure


def seconds_per_step(step: Callable, batches: Iterator, steps: int) -> float:
    """Return the mean time of a training step, including the wait for its batch.

    Args:
        step: A step of `train_step`, which has ended when it returns.
        batches: Endless batches.
        steps: Number of steps of the measurement.
    """
    start = time.perf_counter()
    for _ in range(steps):
        step(next(batches))
    return (time.perf_counter() - start) / steps


def build_step() -> Callable:
    """Return a compiled step of stage 1 of the lite networks with random weights."""
    from smapcomp.training import recipes
    from smapcomp.training.config import TrainingConfig
    from smapcomp.training.config_groups import ModelConfig
    from smapcomp.training.stages.networks import build_stage
    from smapcomp.training.stages.stage_optimizers import build_slots, stage_optimizers
    from smapcomp.training.tf_trainer.step import train_step

    config = TrainingConfig(
        model=ModelConfig("stage1", "lite", precision=FLAGS.precision),
        loss=recipes.loss_config("stage1", "lite"),
        optimizer=recipes.optimizer_config("stage1", "lite"),
    )
    stage = build_stage(config, random_weights=True)
    optimizers = stage_optimizers(stage, config.optimizer, steps=1)
    build_slots(stage, optimizers)
    return train_step(stage, optimizers)


def benchmark() -> None:
    """Print the tables that the flags ask for.

    Raises:
        SmapcompError: A source is at fault.
    """
    from data import clear_errors
    from data.batches import pipeline
    from data.flags import source_spec

    specs = [source_spec(FLAGS, source) for source in FLAGS.source]
    options = {"batch_size": FLAGS.batch_size, "size": FLAGS.size, "fit": FLAGS.fit}
    with clear_errors():
        batches = {s: pipeline.training_batches(s, FLAGS.split, **options) for s in specs}
        _print_rates(specs, batches)
        if FLAGS.steps:
            _print_shares(batches)


def _print_rates(specs: list[str], batches: dict[str, tf.data.Dataset]) -> None:
    from data import load

    reading = {
        spec: rate_measurement(
            load(spec, FLAGS.split, labels=True, shuffle_seed=0), FLAGS.pictures, 1
        )
        for spec in specs
    }
    batching = {
        spec: rate_measurement(batches[spec], FLAGS.pictures, FLAGS.batch_size) for spec in specs
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


def _print_shares(batches: dict[str, tf.data.Dataset]) -> None:
    step = build_step()
    streams = {spec: iter(dataset) for spec, dataset in batches.items()}
    in_memory = itertools.repeat(next(next(iter(streams.values()))))
    step(next(in_memory))  # compiles
    shares: dict[str, list[float]] = {spec: [] for spec in streams}
    seconds_in_memory: list[float] = []
    for _ in tqdm(range(FLAGS.rounds), desc="training"):
        for spec, stream in streams.items():
            seconds_in_memory.append(seconds_per_step(step, in_memory, FLAGS.steps))
            seconds = seconds_per_step(step, stream, FLAGS.steps)
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
        "pictures", 400, "Pictures of a measurement of a source.", 1, flag_values=values
    )
    flags.DEFINE_integer(
        "steps", 20, "Training steps of a measurement; 0 for none.", 0, flag_values=values
    )
    flags.DEFINE_integer("rounds", 5, "Measurements of a figure.", 1, flag_values=values)


if __name__ == "__main__":
    import_keras()
    define_flags()
    app.run(main)
