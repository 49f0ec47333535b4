"""What the jobs that write records have in common: flags, progress, the manifest, the exit status.

Importing it loads no TensorFlow.
"""

from __future__ import annotations

import contextlib
import logging as standard_logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from absl import flags, logging
from tqdm import tqdm

from smapcomp.errors import SmapcompError

EXIT_INTERRUPTED = 130
"""What shells give for SIGINT."""

SHOWN = 20
"""Reports that the console has room for; the manifest has all."""


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


def run_job(name: str, job: Callable[[], None]) -> None:
    """Runs a job; what a user can do something about ends the process with one line.

    The exit status is 1 then, and `EXIT_INTERRUPTED` after SIGINT.
    """
    if not flags.FLAGS["verbosity"].present:
        # Beam tells of every channel that it opens, and repeats what becomes our one line.
        logging.set_verbosity(logging.ERROR)
        standard_logging.getLogger("apache_beam").setLevel(standard_logging.CRITICAL)
    try:
        job()
    except (SmapcompError, OSError) as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; the same command goes on", file=sys.stderr)
        sys.stderr.flush()
        os._exit(EXIT_INTERRUPTED)  # Beam's threads would go on to the end


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

    from data import manifest, shards
    from data.beam import run_pipeline
    from data.errors import DataError

    own = getattr(source, "folder", None)
    if own and os.path.realpath(own) == os.path.realpath(folder):
        raise DataError(f"--out={values.out}: is the source itself")
    path = os.path.join(folder, manifest.FILE)
    _make_room(folder, path, write.settings.facts(), values.overwrite)
    stem = write.split or "pictures"
    tasks = shards.plan(folder, stem, len(source), values.examples_per_shard)
    shards.remove_leftovers(folder, stem, {task.file for task in tasks})
    waiting = {task.facts_path: task.last - task.first for task in tasks}
    with progress(waiting, write.split or write.spec, tf.io.gfile.exists):
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

    from data import manifest
    from data.errors import DataError

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


@contextlib.contextmanager
def progress(
    waiting: Mapping[str, int], name: str, exists: Callable[[str], bool], unit: str = "picture"
) -> Iterator[None]:
    """A bar of the files that are there, whichever workers write them.

    Args:
      waiting: paths, and what each counts.
      name, unit: on the console.
      exists: whether a path does.
    """
    ended = threading.Event()
    left = dict(waiting)

    def watch() -> None:
        with tqdm(total=sum(left.values()), desc=name, unit=unit) as bar:
            last, spent = False, 0.0
            while not last:
                last = ended.wait(max(0.5, 20 * spent))  # many files take long to look at
                began = time.monotonic()
                for path in [path for path in left if exists(path)]:
                    bar.update(left.pop(path))
                spent = time.monotonic() - began

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
