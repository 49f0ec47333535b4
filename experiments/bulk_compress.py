r"""Compresses or decompresses many pictures, as an Apache Beam pipeline.

    python -m experiments.bulk_compress --input='photos/**/*.jpg' --output=small --quality=40
    python -m experiments.bulk_compress --input='small/**/*.smc' --output=back --decompress
    python -m experiments.bulk_compress --input='gs://B/photos/**' --output=gs://B/small \
        --runner=DataflowRunner --project=P --region=R --temp_location=gs://B/tmp

Outputs lie in the folder of --output as the inputs do below the part of their pattern that is
before the first wildcard. Flags of the codec are those of `smapcomp compress` and `smapcomp
decompress`, flags of the runner Beam's own; what stands behind `--` goes to Beam unseen.

OUTPUT/manifest.jsonl tells what became of each input, OUTPUT/bulk.json how outputs are made. The
same command again does what is missing, damaged or older than its input. docs/bulk.md has more.

Exit status: 0 done; 1 a picture failed or nothing could be done, said in one line; 2 wrong flags;
130 interrupted.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import app, flags

from data.publishing import SHOWN, progress, run_job
from smapcomp.cli import commands, compress, decompress
from smapcomp.cli.commands import Flags, UsageError

FLAGS = flags.FLAGS
EXIT_FAILED = 1
EXIT_USAGE = 2

COMPRESSING = (compress.define_goal, compress.define_codec)
DECOMPRESSING = (decompress.define_decoding,)


def main(arguments: Sequence[str]) -> None:
    run_job("bulk_compress", lambda: bulk_compress(arguments[1:]))


def bulk_compress(beam_arguments: Sequence[str]) -> None:
    """Does what the flags ask for; leaves with exit status 1 if a picture failed.

    Args:
        beam_arguments: Of the runner.

    Raises:
        SmapcompError: Nothing could be done.
    """
    from data import runner
    from experiments.bulk import files, manifest, pipeline, plan, settings
    from experiments.bulk.work import Work

    checked, passed_on = _split(beam_arguments)
    try:
        runner.check_arguments(checked)
        options = runner.pipeline_options(
            [*checked, *passed_on], FLAGS.workers, mode="multi_processing"
        )
        empty = pipeline.build(options)
        work = Work(FLAGS.decompress, _options())
    except (ValueError, UsageError) as error:
        _usage(str(error))
    if FLAGS.decompress:
        suffix = f".{FLAGS.format}"
        made = settings.Settings.of_decompressing(work.options, FLAGS.format)
    else:
        suffix, made = compress.SUFFIX, settings.Settings.of_compressing(work.options)
    folder = FLAGS.output.rstrip("/") or "/"
    manifest_path = FLAGS.manifest or files.join(folder, plan.MANIFEST_FILE)
    to_do = plan.make_plan(FLAGS.input, folder, suffix, made, manifest_path, FLAGS.overwrite)
    for path in to_do.leftovers:
        files.remove(path)
    if to_do.new_settings:
        files.write_text(files.join(folder, settings.FILE), made.dumps())
    files.remove(manifest_path)  # it must not outlive what it describes
    plan_path = plan.plan_path(folder)
    files.write_text(plan_path, plan.dumps(to_do.tasks))
    try:
        with _bar(to_do.tasks):
            counters = pipeline.run(empty, plan_path, work, manifest_path)
    finally:
        files.remove(plan_path)
    rows = manifest.read(manifest_path)
    counts = manifest.checked_counts(rows, to_do.tasks, counters)
    _report(rows, counts, manifest_path)


def _options() -> dict[str, Any]:
    """The options of the work.

    Raises:
        UsageError: Flags don't go together.
        SmapcompError: Options don't.
    """
    wrong, ours = (COMPRESSING, compress), (DECOMPRESSING, decompress)
    if not FLAGS.decompress:
        wrong, ours = ours, wrong
    given = [f"--{name}" for name in _names(wrong[0]) if FLAGS[name].present]
    if given:
        where = "with" if FLAGS.decompress else "without"
        raise UsageError(f"{given[0]} makes no sense {where} --decompress")
    return ours[1].file_options(FLAGS)


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before and behind `--`."""
    arguments = list(arguments)
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _bar(tasks: Sequence):
    """A progress bar of the outputs that are to be made, where looking at them costs nothing."""
    began = time.time()

    def made(path: str) -> bool:
        try:
            return os.stat(path).st_mtime >= began
        except OSError:
            return False

    waiting = {task.target: 1 for task in tasks if not task.there}
    if not waiting or "://" in next(iter(waiting)):
        return contextlib.nullcontext()
    return progress(waiting, "decompress" if FLAGS.decompress else "compress", made)


def _report(rows: Sequence, counts: dict[str, int], path: str) -> None:
    """Says what was read, written, skipped and what failed, and leaves with 1 if anything did."""
    failed = [row for row in rows if row.error is not None]
    for row in failed[:SHOWN]:
        print(f"failed: {row.input}: {row.error}", file=sys.stderr)
    if len(failed) > SHOWN:
        print(f"failed: {len(failed) - SHOWN} more in the manifest", file=sys.stderr)
    done = [row for row in rows if row.error is None]
    sizes = " to ".join(
        f"{sum(getattr(row, name) for row in done) / 1e6:.1f}" for name in ("bytes_in", "bytes_out")
    )
    sums = " + ".join(f"{status} {count}" for status, count in counts.items())
    print(f"read {len(rows)} = {sums}; {sizes} MB; {path}")
    if failed:
        print(f"bulk_compress: {len(failed)} of {len(rows)} failed; see {path}", file=sys.stderr)
        sys.exit(EXIT_FAILED)


def _names(groups: Sequence[Callable[[Flags], None]]) -> list[str]:
    """The flags that these functions define."""
    define = Flags(flags.FlagValues())
    define.group("")
    for define_group in groups:
        define_group(define)
    return [name for names in define.groups.values() for name in names]


def _usage(message: str) -> NoReturn:
    print(f"bulk_compress: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(EXIT_USAGE)


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Defines the job's flags."""
    flags.DEFINE_multi_string(
        "input",
        None,
        "Which files, by a pattern: * stands for any part of a name, **/ for any folders. May be "
        "given more than once.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_string("output", None, "Folder to write.", required=True, flag_values=values)
    flags.DEFINE_bool("decompress", False, "Streams into pictures.", flag_values=values)
    flags.DEFINE_string(
        "manifest", None, "Where to write it; default: OUTPUT/manifest.jsonl.", flag_values=values
    )
    flags.DEFINE_bool("overwrite", False, "Make all outputs anew.", flag_values=values)
    flags.DEFINE_integer(
        "workers",
        os.cpu_count(),
        "Processes of the local runner, of 1 to 2 GiB each.",
        1,
        flag_values=values,
    )
    define = Flags(values)
    define.group("")
    for define_group in (*COMPRESSING, *DECOMPRESSING, commands.define_limits):
        define_group(define)


def parse(arguments: Sequence[str]) -> Sequence[str]:
    """Takes the job's flags; what is left is Beam's. What is wrong is said in one line."""
    FLAGS.set_gnu_getopt()
    try:
        return FLAGS(arguments, known_only=True)
    except flags.Error as error:
        _usage(str(error))


if __name__ == "__main__":
    define_flags()
    flags.adopt_module_key_flags(commands)  # --help tells them too
    app.run(main, flags_parser=parse)
