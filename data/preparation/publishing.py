"""Publication of records: the flags of the jobs that write them, progress, report and manifest.

Importing the module loads no TensorFlow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from smapcomp.jobs.beam_job import MAX_PRINTED
from smapcomp.jobs.progress import file_progress

if TYPE_CHECKING:
    from data.preparation.beam import WriteShard
    from data.sources.base import Source
    from data.sources.manifest import Manifest


def define_record_flags(values: flags.FlagValues, examples_per_shard: int) -> None:
    """Define the flags of a job that writes records: where to and how.

    Args:
        values: The flags to which they are added.
        examples_per_shard: Default of --examples_per_shard.
    """
    from data.sources.records import ENCODINGS  # loads TensorFlow

    flags.DEFINE_string("out", None, "Folder to write.", required=True, flag_values=values)
    flags.DEFINE_enum(
        "encoding",
        ENCODINGS[0],
        list(ENCODINGS),
        "raw: samples, fastest to read. file: a JPEG or PNG file of the picture and PNG files of "
        "the rest, smallest.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "examples_per_shard",
        examples_per_shard,
        "Most examples of a shard.",
        1,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "workers", os.cpu_count(), "Number of threads of the local runner.", 1, flag_values=values
    )
    flags.DEFINE_bool(
        "strict", False, "Publish nothing if any example is at fault.", flag_values=values
    )
    flags.DEFINE_bool(
        "overwrite", False, "Replace records that were prepared differently.", flag_values=values
    )


def chosen_splits(values: flags.FlagValues, spec: str) -> list[tuple[str | None, str]]:
    """Return the splits that a job writes, each with its folder.

    Args:
        values: Flags of `define_source_flags` and `define_record_flags`.
        spec: The source.

    Returns:
        The split of --split or all splits of the source, `None` for a source without splits; the
        folder of each is the sub-folder of --out with its name, or --out itself.

    Raises:
        DataError: There is no such source.
    """
    from data.sources.registry import source_splits  # loads TensorFlow

    splits = [values.split] if values.split else source_splits(spec)
    return [(split, os.path.join(values.out, split or "")) for split in splits]


def publish(
    write: WriteShard,
    source: Source,
    folder: str,
    values: flags.FlagValues,
    beam_arguments: Sequence[str],
) -> None:
    """Write the shards of one split and, after the last one, the manifest.

    Args:
        write: Writes a shard; it knows the spec of the source and the settings.
        source: The same source, opened.
        folder: Folder to write.
        values: Flags of `define_record_flags`.
        beam_arguments: Flags of Beam.

    Raises:
        DataError: The folder cannot be written or is the source itself, no example could be used,
            or with --strict an example is at fault.
    """
    import tensorflow as tf

    from data.errors import DataError
    from data.preparation import shards
    from data.preparation.beam import run_pipeline
    from data.sources import manifest

    source_folder = getattr(source, "folder", None)
    if source_folder and os.path.realpath(source_folder) == os.path.realpath(folder):
        raise DataError(f"--out={values.out}: is the source itself")
    path = os.path.join(folder, manifest.FILE)
    _make_room(folder, path, write.settings.to_json(), values.overwrite)
    stem = write.split or "pictures"
    tasks = shards.plan_shards(folder, stem, len(source), values.examples_per_shard)
    shards.remove_leftovers(folder, stem, {task.file for task in tasks})
    waiting = {task.result_path: task.last - task.first for task in tasks}
    with file_progress(waiting, write.split or write.spec, tf.io.gfile.exists):
        run_pipeline(tasks, write, beam_arguments, values.workers)
    results = [shards.load_result(task) for task in tasks]
    finished = shards.build_manifest(write.spec, write.split, write.settings, source, results)
    _print_report(finished, len(source.ignored))
    at_fault = finished.read - finished.written - len(source.ignored)
    if values.strict and at_fault:
        raise DataError(f"{folder}: not published: {at_fault} of {len(source)} examples at fault")
    shards.write_text(path, finished.dumps())


def _make_room(folder: str, path: str, settings: dict, overwrite: bool) -> None:
    """Create the folder and remove the manifest of an earlier run."""
    import tensorflow as tf

    from data.errors import DataError
    from data.sources import manifest

    try:
        tf.io.gfile.makedirs(folder)
        if not manifest.has_manifest(folder):
            return
        previous = manifest.load_manifest(folder).settings
        if previous != settings and not overwrite:
            raise DataError(
                f"{path}: prepared with {previous}, not {settings}; --overwrite replaces it"
            )
        tf.io.gfile.remove(path)  # it must not outlive a shard that it describes
    except tf.errors.OpError as error:
        raise DataError(f"{folder}: cannot be written: {error.message}") from None


def _print_report(finished: Manifest, ignored: int) -> None:
    """Print what was read, written, left out and changed."""
    for kind, entries in (("left out", finished.reported), ("notice", finished.notices)):
        for location, reason in entries[:MAX_PRINTED]:
            print(f"{kind}: {location}: {reason}", file=sys.stderr)
        if len(entries) > MAX_PRINTED:
            print(f"{kind}: {len(entries) - MAX_PRINTED} more in the manifest", file=sys.stderr)
    total = sum(shard.bytes for shard in finished.shards)
    note = f" ({ignored} of them no examples)" if ignored else ""
    print(
        f"read {finished.read} = written {finished.written} + reported {len(finished.reported)}"
        f"{note}; {len(finished.shards)} shards, {total / 1e6:.1f} MB"
    )
