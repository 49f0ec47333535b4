"""What the jobs that write records have in common: flags, progress, the manifest, the exit status.

Importing it loads no TensorFlow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from absl import flags

from smapcomp.jobs.beam_job import MAX_PRINTED
from smapcomp.jobs.progress import file_progress


def define_publishing_flags(values: flags.FlagValues, examples_per_shard: int) -> None:
    """Defines --out and how shards are written; `examples_per_shard` is the default."""
    flags.DEFINE_string("out", None, "Folder to write.", required=True, flag_values=values)
    flags.DEFINE_integer(
        "examples_per_shard", examples_per_shard, "About how many.", 1, flag_values=values
    )
    flags.DEFINE_integer(
        "workers", os.cpu_count(), "Threads of the local runner.", 1, flag_values=values
    )
    flags.DEFINE_bool(
        "strict", False, "Publish nothing if any example is at fault.", flag_values=values
    )
    flags.DEFINE_bool(
        "overwrite", False, "Replace records that were prepared differently.", flag_values=values
    )


def publish(write, source, folder: str, values, beam_arguments: Sequence[str]) -> None:
    """Writes the shards of one split and, when all are there, the manifest.

    Args:
      write: `beam.WriteShard`, which knows the source's spec and the settings.
      source: what it reads, opened.
      folder: to write.
      values: with the flags of `define_publishing_flags`.
      beam_arguments: of the runner.

    Raises:
      DataError: the folder can't be written or, with --strict, an example is at fault.
    """
    import tensorflow as tf

    from data.errors import DataError
    from data.preparation import shards
    from data.preparation.beam import run_pipeline
    from data.sources import manifest

    own = getattr(source, "folder", None)
    if own and os.path.realpath(own) == os.path.realpath(folder):
        raise DataError(f"--out={values.out}: is the source itself")
    path = os.path.join(folder, manifest.FILE)
    _make_room(folder, path, write.settings.facts(), values.overwrite)
    stem = write.split or "pictures"
    tasks = shards.plan(folder, stem, len(source), values.examples_per_shard)
    shards.remove_leftovers(folder, stem, {task.file for task in tasks})
    waiting = {task.facts_path: task.last - task.first for task in tasks}
    with file_progress(waiting, write.split or write.spec, tf.io.gfile.exists):
        run_pipeline(tasks, write, beam_arguments, values.workers)
    results = [shards.load_result(task) for task in tasks]
    made = shards.manifest_of(write.spec, write.split, write.settings, source, results)
    _report(made, len(source.ignored))
    at_fault = made.read - made.written - len(source.ignored)
    if values.strict and at_fault:
        raise DataError(f"{folder}: not published: {at_fault} of {len(source)} examples at fault")
    shards.write_text(path, made.dumps())


def _make_room(folder: str, path: str, now: dict, overwrite: bool) -> None:
    """Makes the folder, and takes the manifest of an earlier run away."""
    import tensorflow as tf

    from data.errors import DataError
    from data.sources import manifest

    try:
        tf.io.gfile.makedirs(folder)
        if not manifest.has_manifest(folder):
            return
        before = manifest.load_manifest(folder).settings
        if before != now and not overwrite:
            raise DataError(f"{path}: prepared with {before}, not {now}; --overwrite replaces it")
        tf.io.gfile.remove(path)  # it must not outlive a shard that it describes
    except tf.errors.OpError as error:
        raise DataError(f"{folder}: cannot be written: {error.message}") from None


def _report(made, ignored: int) -> None:
    """Says what was read, written, reported and changed."""
    for kind, entries in (("left out", made.reported), ("notice", made.notices)):
        for where, reason in entries[:MAX_PRINTED]:
            print(f"{kind}: {where}: {reason}", file=sys.stderr)
        if len(entries) > MAX_PRINTED:
            print(f"{kind}: {len(entries) - MAX_PRINTED} more in the manifest", file=sys.stderr)
    total = sum(shard.bytes for shard in made.shards)
    note = f" ({ignored} of them no examples)" if ignored else ""
    print(
        f"read {made.read} = written {made.written} + reported {len(made.reported)}{note}; "
        f"{len(made.shards)} shards, {total / 1e6:.1f} MB"
    )
