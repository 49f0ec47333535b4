"""Job that codes the compact image of every picture of a source, to train lossy FineNets on them.

    python -m data.code_compact --source=ADEChallengeData2016 --scale=2 --passes=2 --out=coded_x2

Each picture is down-sampled by --scale, coded whole by AV1 and decoded, --passes times, each time
at a random quality that depends on --seed, the name of the picture and the number of the pass
alone. A record holds the picture, its label map if the source has one, the decoded compact image
and the quality. Records are written, resumed and reported as by `data.prepare`, which has the same
flags for that and for Beam. The same source and settings give the same bytes with the same versions
of Pillow and libaom.

Exit status: 0 after success; 1 if nothing was published, with the reason in one line; 130 after
SIGINT.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import app, flags

from data.coded.settings import QUALITY_RANGES, SPEED, CompactCodingSettings
from data.preparation.publishing import chosen_splits, define_record_flags, publish
from smapcomp.jobs.beam_job import run_job
from smapcomp.keras_startup import import_keras

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> None:
    """Run the job.

    Args:
        arguments: Name of the program and flags of Beam.
    """
    run_job("code_compact", lambda: code_compact(arguments[1:]))


def code_compact(beam_arguments: Sequence[str]) -> None:
    """Code the splits that the flags choose.

    Args:
        beam_arguments: Flags of Beam.

    Raises:
        app.UsageError: The value of a flag is not allowed.
        DataError: The source or the folder is at fault, or with --strict an example.
    """
    from data.coded.compact import CodedSource
    from data.errors import DataError
    from data.flags import source_spec
    from data.preparation.beam import WriteShard
    from data.preparation.shards import RecordSettings, label_kind
    from data.sources.registry import open_source

    try:
        compact = CompactCodingSettings(
            int(FLAGS.scale), FLAGS.passes, FLAGS.seed, _qualities(), FLAGS.speed
        )
    except ValueError as error:
        raise app.UsageError(str(error)) from None
    spec = source_spec(FLAGS, FLAGS.source)
    for split, folder in chosen_splits(FLAGS, spec):
        source = open_source(spec, split, missing_ok=True)
        manifest = getattr(source, "manifest", None)
        if manifest and manifest.settings.get("compact"):
            raise DataError(f"{spec}: the compact images are coded already")
        settings = RecordSettings(None, FLAGS.encoding, label_kind(source), compact)
        write = WriteShard(spec, split, None, settings)
        publish(write, CodedSource(source, compact), folder, FLAGS, beam_arguments)


def _qualities() -> tuple[int, ...]:
    try:
        return tuple(map(int, FLAGS.qualities))
    except ValueError:
        raise app.UsageError(
            f"--qualities={','.join(FLAGS.qualities)}: two whole numbers are needed, 0..100"
        ) from None


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Define the flags of the job."""
    from data.flags import define_source_flags

    define_source_flags(values)
    flags.DEFINE_enum(
        "scale",
        None,
        list(map(str, QUALITY_RANGES)),
        "How many times smaller the sides of a compact image are.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "passes", 1, "Number of times that each picture is coded.", 1, flag_values=values
    )
    ranges = "; ".join(f"{scale}: {low}..{high}" for scale, (low, high) in QUALITY_RANGES.items())
    flags.DEFINE_list(
        "qualities",
        [],
        "Lowest and highest quality, 0..100 on AVIF's scale. By default those of the scale: "
        f"{ranges}.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "speed", SPEED, "Speed of libaom: 0, slow, to 10, fast.", 0, 10, flag_values=values
    )
    flags.DEFINE_integer("seed", 0, "Seed of the qualities.", flag_values=values)
    # An interrupted run loses the shards that were not finished, and coding takes long.
    define_record_flags(values, examples_per_shard=64)


if __name__ == "__main__":
    import_keras()
    define_flags()
    app.run(main)
