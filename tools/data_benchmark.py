"""Measures how fast sources deliver, and what that costs a training step.

    python -m tools.data_benchmark --source=photos --source=photos_records --split=training

For each source: pictures per second as `data.load` yields them, and as batches of a lite network's
stage 1 (shuffled, cropped, flipped). Then steps of that stage, fed by each source's batches and,
in turns, by one batch that is there already: the difference is the pipeline's share of a step.
Machines are noisy: every figure is the median of --rounds, and the figures of one call go together.

Exit status: 0 done; 1 a source is at fault, said in one line.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags
from tqdm import tqdm

from smapcomp.errors import SmapcompError
from smapcomp.keras_startup import import_keras

FLAGS = flags.FLAGS


def rate(dataset, pictures: int, each: int) -> Callable[[], float]:
    """Makes a measurement of an endless dataset's pictures per second.

    Args:
      dataset: yields examples or batches.
      pictures: how many a measurement takes.
      each: pictures in an element.
    """
    stream = iter(dataset)
    next(stream)  # the first one starts the pipeline

    def measure() -> float:
        count = max(pictures // each, 1)
        began = time.perf_counter()
        for _ in range(count):
            next(stream)
        return count * each / (time.perf_counter() - began)

    return measure


def seconds_a_step(step: Callable, batches: Iterator, steps: int) -> float:
    """Mean time of a training step, the wait for its batch included."""
    began = time.perf_counter()
    for _ in range(steps):
        step(next(batches))  # returns numbers: it has ended then
    return (time.perf_counter() - began) / steps


def lite_step() -> Callable:
    """The compiled step of the lite networks' stage 1, with weights as initialised."""
    from smapcomp.training import networks
    from smapcomp.training.layerwise import Rules
    from smapcomp.training.optimizers import build_optimizer
    from smapcomp.training.settings import OptimizerSettings
    from smapcomp.training.state import build_optimizers
    from smapcomp.training.tf_trainer.step import train_step

    precision = "bfloat16" if FLAGS.bfloat16 else "float32"
    settings = networks.StageSettings("stage1", void_share=0.5, precision=precision)
    stage = networks.build_stage(settings, random_weights=True)
    optimizers = {
        group: build_optimizer(OptimizerSettings(clip_norm=1.0), 1, Rules())
        for group in stage.groups
    }
    build_optimizers(stage, optimizers)
    return train_step(stage, optimizers)


def benchmark() -> None:
    """Measures what the flags ask for and prints two tables.

    Raises:
      SmapcompError: a source is not what it should be.
    """
    from data import clear_errors
    from data.batches import pipeline
    from data.flags import source_spec

    specs = [source_spec(FLAGS, source) for source in FLAGS.source]
    size = {"batch_size": FLAGS.batch_size, "size": FLAGS.size, "fit": FLAGS.fit}
    with clear_errors():
        batches = {s: pipeline.training_batches(s, FLAGS.split, **size) for s in specs}
        _print_rates(specs, batches)
        if FLAGS.steps:
            _print_shares(batches)


def _print_rates(specs: list[str], batches: dict) -> None:
    from data import load

    reading = {
        spec: rate(load(spec, FLAGS.split, labels=True, shuffle_seed=0), FLAGS.pictures, 1)
        for spec in specs
    }
    feeding = {spec: rate(batches[spec], FLAGS.pictures, FLAGS.batch_size) for spec in specs}
    found = {spec: ([], []) for spec in specs}
    # In turns, so that whatever else the machine does meets all alike.
    for spec, _ in tqdm(list(itertools.product(specs, range(FLAGS.rounds))), desc="sources"):
        found[spec][0].append(reading[spec]())
        found[spec][1].append(feeding[spec]())
    print("| source | examples/s | ratio | training pictures/s | ratio |\n|---|---|---|---|---|")
    first = [statistics.median(values) for values in found[specs[0]]]
    for spec in specs:
        read, fed = (statistics.median(values) for values in found[spec])
        ratios = read / first[0], fed / first[1]
        print(f"| {spec} | {read:.0f} | {ratios[0]:.2f} | {fed:.0f} | {ratios[1]:.2f} |")


def _print_shares(batches: dict) -> None:
    step = lite_step()
    streams = {spec: iter(dataset) for spec, dataset in batches.items()}
    ready = itertools.repeat(next(next(iter(streams.values()))))
    step(next(ready))  # compiles
    shares = {spec: [] for spec in streams}
    alone = []
    for _ in tqdm(range(FLAGS.rounds), desc="training"):
        for spec, stream in streams.items():
            without = seconds_a_step(step, ready, FLAGS.steps)
            fed = seconds_a_step(step, stream, FLAGS.steps)
            alone.append(without)
            shares[spec].append(1.0 - without / fed)
    print(
        f"\nA step of {FLAGS.batch_size} x {FLAGS.size} x {FLAGS.size} on a ready batch takes "
        f"{1000 * statistics.median(alone):.0f} ms.\n"
    )
    print("| source | pipeline's share of a step |\n|---|---|")
    for spec, found in shares.items():
        print(f"| {spec} | {statistics.median(found):.1%} |")


def main(arguments: Sequence[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    import_keras()
    try:
        benchmark()
    except (SmapcompError, OSError) as error:
        print(f"benchmark: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Defines the job's flags."""
    from data.flags import define_source_flags

    define_source_flags(values, many=True)
    flags.DEFINE_integer("batch_size", 8, "Pictures in a step.", 1, flag_values=values)
    flags.DEFINE_integer(
        "size", 128, "Side of the pictures; lite's stages 1 and 3: 128.", 16, flag_values=values
    )
    flags.DEFINE_enum(
        "fit", "crop", ["crop", "resize"], "How pictures are brought to it.", flag_values=values
    )
    flags.DEFINE_bool("bfloat16", False, "Steps in bfloat16.", flag_values=values)
    flags.DEFINE_integer("pictures", 400, "In one measurement of a source.", 1, flag_values=values)
    flags.DEFINE_integer(
        "steps", 20, "In one measurement of steps; 0: none.", 0, flag_values=values
    )
    flags.DEFINE_integer("rounds", 5, "Measurements.", 1, flag_values=values)


if __name__ == "__main__":
    import_keras()
    define_flags()
    app.run(main)
