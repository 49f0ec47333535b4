"""Job that turns a source of pictures into TFRecord shards by an Apache Beam pipeline.

    python -m data.prepare --source=ADEChallengeData2016 --out=ade256 --size=256
    python -m data.prepare --source=pictures --out=records --encoding=file
    python -m data.prepare --source=... --out=... -- --runner=FlinkRunner --flink_master=HOST:8081

Arguments after `--` are flags of Beam. Without a runner among them, the local runner is used with
--workers threads. The workers of other runners must see both folders under the same names.

The job writes shards to `OUT/SPLIT/` for each split, or to `OUT/` for a source without splits, and
after the last shard `manifest.json`. The same source and settings give the same bytes. The same
command resumes a run that was interrupted or whose source has changed: shards that are whole and up
to date stay. Files that cannot be used are left out and reported with the reason, on the console
and in the manifest: read = written + reported.

Exit status: 0 after success; 1 if nothing was published, with the reason in one line; 130 after
SIGINT.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import app, flags

from data.preparation.publishing import chosen_splits, define_record_flags, publish
from smapcomp.jobs.beam_job import run_job
from smapcomp.keras_startup import import_keras
from smapcomp.zoo import VARIANTS

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> None:
    """Run the job.

    Args:
        arguments: Name of the program and flags of Beam.
    """
    run_job("prepare", lambda: prepare(arguments[1:]))


def prepare(beam_arguments: Sequence[str]) -> None:
    """Prepare the splits that the flags choose.

    Args:
        beam_arguments: Flags of Beam.

    Raises:
        app.UsageError: Two flags contradict each other.
        DataError: The source or the folder is at fault, or with --strict an example.
    """
    from data.flags import source_spec

    if FLAGS.encoding == "file" and FLAGS.size:
        raise app.UsageError(
            f"--size={FLAGS.size} with --encoding=file, which keeps the files of the pictures; "
            "--encoding=raw stores resized pictures"
        )
    spec = source_spec(FLAGS, FLAGS.source)
    for split, folder in chosen_splits(FLAGS, spec):
        _prepare_split(spec, split, folder, beam_arguments)


def _prepare_split(
    spec: str, split: str | None, folder: str, beam_arguments: Sequence[str]
) -> None:
    from data.preparation.beam import WriteShard
    from data.preparation.labeller import labeller_name
    from data.preparation.shards import RecordSettings, label_kind
    from data.sources.registry import open_source

    labels = {"annotations": True, "none": False, "segmenter": False}.get(FLAGS.labels)
    source = open_source(spec, split, labels=labels, missing_ok=True)
    if FLAGS.labels == "segmenter":
        segmenter = (FLAGS.variant, FLAGS.weights_dir)
        kind = labeller_name(*segmenter)
    else:
        segmenter = None
        kind = label_kind(source)
    settings = RecordSettings(FLAGS.size, FLAGS.encoding, kind)
    write = WriteShard(spec, split, labels, settings, segmenter)
    publish(write, source, folder, FLAGS, beam_arguments)


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Define the flags of the job."""
    from data.flags import define_source_flags

    define_source_flags(values)
    flags.DEFINE_integer(
        "size",
        None,
        "Side in pixels to which pictures are resized; 256 in the papers. By default they keep "
        "their sizes.",
        8,
        flag_values=values,
    )
    flags.DEFINE_enum(
        "labels",
        None,
        ["annotations", "segmenter", "none"],
        "Label maps to store: those of the source, those that the codec's segmenter finds, or "
        "none. By default those of the source if it has any.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "variant",
        "lite",
        sorted(VARIANTS),
        "Set of networks that the segmenter belongs to.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "weights_dir",
        None,
        "Folder of the segmenter's weights. By default the bundled weights.",
        flag_values=values,
    )
    define_record_flags(values, examples_per_shard=256)


if __name__ == "__main__":
    import_keras()
    define_flags()
    app.run(main)
