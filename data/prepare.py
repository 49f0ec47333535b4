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

import contextlib
import logging as standard_logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence

from absl import app, flags, logging
from tqdm import tqdm

from smapcomp.errors import SmapcompError
from smapcomp.quiet import import_keras
from smapcomp.zoo import VARIANTS

FLAGS = flags.FLAGS

EXIT_INTERRUPTED = 130
"""What shells give for SIGINT."""

SHOWN = 20
"""Reports that the console has room for; the manifest has all."""


def main(arguments: Sequence[str]) -> None:
    import_keras()
    if not flags.FLAGS["verbosity"].present:
        # Beam tells of every channel that it opens, and repeats what becomes our one line.
        logging.set_verbosity(logging.ERROR)
        standard_logging.getLogger("apache_beam").setLevel(standard_logging.CRITICAL)
    try:
        prepare(arguments[1:])
    except (SmapcompError, OSError) as error:
        print(f"prepare: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nprepare: interrupted; the same command goes on", file=sys.stderr)
        sys.stderr.flush()
        os._exit(EXIT_INTERRUPTED)  # Beam's threads would go on to the end


def prepare(beam_arguments: Sequence[str]) -> None:
    """Prepares what the flags ask for.

    Raises:
      DataError: a source or folder is not what it should be or, with --strict, a file is at fault.
    """
    from data import sources
    from data.flags import source_spec

    if FLAGS.encoding == "file" and FLAGS.size:
        raise app.UsageError("--size resizes, so that there are no files to keep: --encoding=raw")
    spec = source_spec(FLAGS, FLAGS.source)
    splits = [FLAGS.split] if FLAGS.split else sources.source_splits(spec)
    for split in splits:
        _prepare_split(spec, split, os.path.join(FLAGS.out, split or ""), beam_arguments)


def _prepare_split(
    spec: str, split: str | None, folder: str, beam_arguments: Sequence[str]
) -> None:
    from data import manifest, shards
    from data.beam import WriteShard, run_pipeline
    from data.errors import DataError
    from data.sources import open_source

    labels = {"annotations": True, "none": False, "segmenter": False}.get(FLAGS.labels)
    source = open_source(spec, split, labels=labels, missing_ok=True)
    settings = shards.Settings(FLAGS.size, FLAGS.encoding, _label_kind(source))
    own = getattr(source, "folder", None)
    if own and os.path.realpath(own) == os.path.realpath(folder):
        raise DataError(f"--out={FLAGS.out}: is the source itself")
    path = os.path.join(folder, manifest.FILE)
    _make_room(folder, path, settings)
    stem = split or "pictures"
    tasks = shards.plan(folder, stem, len(source), FLAGS.examples_per_shard)
    shards.remove_leftovers(folder, stem, {task.file for task in tasks})
    segmenter = (FLAGS.variant, FLAGS.weights_dir) if FLAGS.labels == "segmenter" else None
    write = WriteShard(spec, split, labels, settings, segmenter)
    with _progress(tasks, split or spec):
        run_pipeline(tasks, write, beam_arguments, FLAGS.workers)
    results = [shards.load_result(task) for task in tasks]
    made = shards.manifest_of(spec, split, settings, source, results)
    _report(made, len(source.ignored))
    at_fault = made.read - made.written - len(source.ignored)
    if FLAGS.strict and at_fault:
        raise DataError(f"{folder}: not published: {at_fault} of {len(source)} examples at fault")
    shards.write_text(path, made.dumps())


def _label_kind(source) -> str:
    """What the manifest says of the labels."""
    from data.labeller import labeller_name

    if FLAGS.labels == "segmenter":
        return labeller_name(FLAGS.variant, FLAGS.weights_dir)
    if not source.labelled:
        return "none"
    prepared = getattr(source, "manifest", None)
    return prepared.settings["labels"] if prepared else "annotations"


def _make_room(folder: str, path: str, settings) -> None:
    """Makes the folder, and takes the manifest of an earlier run away."""
    import tensorflow as tf

    from data import manifest
    from data.errors import DataError

    try:
        tf.io.gfile.makedirs(folder)
        if not manifest.has_manifest(folder):
            return
        before, now = manifest.load_manifest(folder).settings, vars(settings)
        if before != now and not FLAGS.overwrite:
            raise DataError(f"{path}: prepared with {before}, not {now}; --overwrite replaces it")
        tf.io.gfile.remove(path)  # it must not outlive a shard that it describes
    except tf.errors.OpError as error:
        raise DataError(f"{folder}: cannot be written: {error.message}") from None


@contextlib.contextmanager
def _progress(tasks: Sequence, name: str) -> Iterator[None]:
    """A bar of the shards that are there, whichever workers write them."""
    import tensorflow as tf

    ended = threading.Event()
    waiting = {task.facts_path: task.last - task.first for task in tasks}

    def watch() -> None:
        with tqdm(total=sum(waiting.values()), desc=name, unit="picture") as bar:
            last = False
            while not last:
                last = ended.wait(0.5)
                for path in [path for path in waiting if tf.io.gfile.exists(path)]:
                    bar.update(waiting.pop(path))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _report(made, ignored: int) -> None:
    """Says what was read, written, reported and changed."""
    for kind, entries in (("left out", made.reported), ("notice", made.notices)):
        for where, reason in entries[:SHOWN]:
            print(f"{kind}: {where}: {reason}", file=sys.stderr)
        if len(entries) > SHOWN:
            print(f"{kind}: {len(entries) - SHOWN} more in the manifest", file=sys.stderr)
    total = sum(shard.bytes for shard in made.shards)
    note = f" ({ignored} of them no examples)" if ignored else ""
    print(
        f"read {made.read} = written {made.written} + reported {len(made.reported)}{note}; "
        f"{len(made.shards)} shards, {total / 1e6:.1f} MB"
    )


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Defines the job's flags."""
    from data.flags import define_source_flags

    define_source_flags(values)
    flags.DEFINE_string("out", None, "Folder to write.", required=True, flag_values=values)
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
    flags.DEFINE_integer("examples_per_shard", 256, "About how many.", 1, flag_values=values)
    flags.DEFINE_integer(
        "workers", os.cpu_count(), "Threads of the local runner.", 1, flag_values=values
    )
    flags.DEFINE_bool(
        "strict", False, "Publish nothing if any example is at fault.", flag_values=values
    )
    flags.DEFINE_bool(
        "overwrite", False, "Replace records that were prepared differently.", flag_values=values
    )


if __name__ == "__main__":
    import_keras()
    define_flags()
    app.run(main)
