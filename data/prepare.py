"""Turns any source of pictures into TFRecord shards, as an Apache Beam pipeline.

    python -m data.prepare --source=ADEChallengeData2016 --out=ade256 --size=256
    python -m data.prepare --source=pictures --out=records --encoding=file
    python -m data.prepare --source=... --out=... -- --runner=FlinkRunner --flink_master=HOST:8081

What stands behind `--` are Beam's own flags; without a runner among them the local one is used,
with --workers threads. Other runners' workers must see both folders under the same names.

Writes `OUT/SPLIT/` for each split, or `OUT/` where the source has none: shards and, when all are
there, `manifest.json`. The same source and settings give the same bytes. A run that was
interrupted, or whose source has changed, goes on when the same command is given again: shards that
are whole and up to date stay. Files that can't be used are left out and reported with their
reasons, on the console and in the manifest: read = written + reported.

Exit status: 0 done; 1 nothing was published, with the reason in one line; 130 interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from absl import app, flags

from data.preparation.publishing import define_publishing_flags, publish
from smapcomp.jobs.beam_job import run_job
from smapcomp.keras_startup import import_keras
from smapcomp.zoo import VARIANTS

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> None:
    run_job("prepare", lambda: prepare(arguments[1:]))


def prepare(beam_arguments: Sequence[str]) -> None:
    """Prepares what the flags ask for.

    Raises:
      DataError: a source or folder is not what it should be or, with --strict, a file is at fault.
    """
    from data.flags import source_spec
    from data.sources import registry as sources

    if FLAGS.encoding == "file" and FLAGS.size:
        raise app.UsageError("--size resizes, so that there are no files to keep: --encoding=raw")
    spec = source_spec(FLAGS, FLAGS.source)
    splits = [FLAGS.split] if FLAGS.split else sources.source_splits(spec)
    for split in splits:
        _prepare_split(spec, split, os.path.join(FLAGS.out, split or ""), beam_arguments)


def _prepare_split(
    spec: str, split: str | None, folder: str, beam_arguments: Sequence[str]
) -> None:
    from data.preparation import shards
    from data.preparation.beam import WriteShard
    from data.sources.registry import open_source

    labels = {"annotations": True, "none": False, "segmenter": False}.get(FLAGS.labels)
    source = open_source(spec, split, labels=labels, missing_ok=True)
    settings = shards.Settings(FLAGS.size, FLAGS.encoding, _label_kind(source))
    segmenter = (FLAGS.variant, FLAGS.weights_dir) if FLAGS.labels == "segmenter" else None
    write = WriteShard(spec, split, labels, settings, segmenter)
    publish(write, source, folder, FLAGS, beam_arguments)


def _label_kind(source) -> str:
    """What the manifest says of the labels."""
    from data.preparation.labeller import labeller_name
    from data.preparation.shards import label_kind

    if FLAGS.labels == "segmenter":
        return labeller_name(FLAGS.variant, FLAGS.weights_dir)
    return label_kind(source)


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Defines the job's flags."""
    from data.flags import define_source_flags

    define_source_flags(values)
    flags.DEFINE_integer(
        "size",
        None,
        "Side to resize to, as the papers do to 256; default: as they are.",
        8,
        flag_values=values,
    )
    flags.DEFINE_enum(
        "encoding",
        "raw",
        ["raw", "file"],
        "raw: samples, fastest to read, H x W x 4 bytes a picture; file: JPEG or PNG, smallest.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "labels",
        None,
        ["annotations", "segmenter", "none"],
        "The source's; the codec's own segmenter's, computed once; or none. Default: the source's "
        "where it has any.",
        flag_values=values,
    )
    flags.DEFINE_enum("variant", "lite", sorted(VARIANTS), "Of the segmenter.", flag_values=values)
    flags.DEFINE_string(
        "weights_dir", None, "Of the segmenter; default: those in the box.", flag_values=values
    )
    define_publishing_flags(values, examples_per_shard=256)


if __name__ == "__main__":
    import_keras()
    define_flags()
    app.run(main)
