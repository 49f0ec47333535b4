r"""Codes the compact image of every picture of a source, for the training of lossy FineNets.

    python -m data.code_compact --source=ADEChallengeData2016 --scale=2 --passes=2 --out=coded_x2

Each picture is down-sampled by --scale, coded whole by AV1 and decoded, --passes times, each at a
random quality that depends on --seed, the picture's name and the pass alone. The records hold
picture, labels if the source has any, decoded compact image and quality; they are written,
continued and reported as by `data.prepare`, whose flags for that and for Beam's runners these are.
The same source and settings give the same bytes, with the same versions of Pillow and libaom.

Exit status: 0 done; 1 nothing was published, with the reason in one line; 130 interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from absl import app, flags

from data.preparation.publishing import define_publishing_flags, publish
from smapcomp.jobs.beam_job import run_job
from smapcomp.keras_startup import import_keras

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> None:
    run_job("code_compact", lambda: code_compact(arguments[1:]))


def code_compact(beam_arguments: Sequence[str]) -> None:
    """Codes what the flags ask for.

    Raises:
      DataError: a source or folder is not what it should be or, with --strict, a file is at fault.
    """
    from data.coded.compact import CodedSource
    from data.coded.settings import CompactSettings
    from data.errors import DataError
    from data.flags import source_spec
    from data.preparation import shards
    from data.preparation.beam import WriteShard
    from data.sources import registry as sources

    try:
        compact = CompactSettings(
            int(FLAGS.scale), FLAGS.passes, FLAGS.seed, _qualities(), FLAGS.speed
        )
    except ValueError as error:
        raise app.UsageError(str(error)) from None
    spec = source_spec(FLAGS, FLAGS.source)
    for split in [FLAGS.split] if FLAGS.split else sources.source_splits(spec):
        source = sources.open_source(spec, split, missing_ok=True)
        prepared = getattr(source, "manifest", None)
        if prepared and prepared.settings.get("compact"):
            raise DataError(f"{spec}: its pictures are coded already")
        kind = shards.label_kind(source)
        settings = shards.Settings(None, FLAGS.encoding, kind, compact)
        publish(
            WriteShard(spec, split, None, settings),
            CodedSource(source, compact),
            os.path.join(FLAGS.out, split or ""),
            FLAGS,
            beam_arguments,
        )


def _qualities() -> tuple[int, ...]:
    try:
        return tuple(map(int, FLAGS.qualities))
    except ValueError:
        raise app.UsageError(f"--qualities={','.join(FLAGS.qualities)}: no numbers") from None


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Defines the job's flags."""
    from data.coded.settings import QUALITIES, SPEED
    from data.flags import define_source_flags

    define_source_flags(values)
    flags.DEFINE_enum(
        "scale",
        None,
        list(map(str, QUALITIES)),
        "By which compact images are smaller.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "passes", 1, "How often each picture is coded.", lower_bound=1, flag_values=values
    )
    flags.DEFINE_list(
        "qualities",
        [],
        "Lowest and highest, 0..100 on AVIF's scale; default: by scale, "
        + "; ".join(f"{scale}: {low}..{high}" for scale, (low, high) in QUALITIES.items()),
        flag_values=values,
    )
    flags.DEFINE_integer("speed", SPEED, "Of libaom.", 0, 10, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of the qualities.", flag_values=values)
    flags.DEFINE_enum(
        "encoding",
        "raw",
        ["raw", "file"],
        "raw: samples, fastest to read; file: JPEG or PNG of the pictures, PNG of the rest.",
        flag_values=values,
    )
    # A shard is what an interrupted run loses.
    define_publishing_flags(values, examples_per_shard=64)


if __name__ == "__main__":
    import_keras()
    define_flags()
    app.run(main)
