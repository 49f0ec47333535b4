r"""Compress or decompress many pictures, as an Apache Beam pipeline.

    python -m smapcomp.bulk --input='photos/**/*.jpg' --output=small --quality=40
    python -m smapcomp.bulk --input='small/**/*.smc' --output=back --decompress
    python -m smapcomp.bulk --input='gs://B/photos/**' --output=gs://B/small \
        --runner=DataflowRunner --project=P --region=R --temp_location=gs://B/tmp

Outputs lie in the folder of --output as the inputs lie below the part of their pattern that is
before the first wildcard. Flags of the codec are those of `smapcomp compress` and `smapcomp
decompress`, flags of the runner are Beam's; everything behind `--` is passed to Beam unchecked.

OUTPUT/manifest.jsonl says what became of each input, OUTPUT/bulk.json how outputs are made. The
same command again makes what is missing, damaged or older than its input. docs/bulk.md has more.

Exit status: 0 done; 1 a picture failed or nothing could be done, said in one line; 2 wrong flags;
130 interrupted.
"""

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from absl import app, flags

from smapcomp.cli import command, compress, decompress
from smapcomp.cli.command import Flags, UsageError
from smapcomp.codec.options import CompressOptions, DecodeOptions, option_table
from smapcomp.files import SUFFIX
from smapcomp.jobs.beam_job import MAX_PRINTED, run_job
from smapcomp.jobs.exits import EXIT_USAGE, fail
from smapcomp.jobs.progress import file_progress

FLAGS = flags.FLAGS
NAME = "bulk"


def main(arguments: Sequence[str]) -> None:
    """Run the job with Beam's arguments."""
    run_job(NAME, lambda: bulk(arguments[1:]))


def bulk(beam_arguments: Sequence[str]) -> None:
    """Do what the flags ask for; end the process with exit status 1 if a picture failed.

    Args:
        beam_arguments: Arguments of the runner.

    Raises:
        SmapcompError: Nothing could be done.
    """
    # Beam takes a second to load; --help does not need it.
    from smapcomp.bulk import files, manifest, pipeline, plan, settings
    from smapcomp.bulk.work import Work
    from smapcomp.jobs import beam_options

    checked, unchecked = _split(beam_arguments)
    try:
        beam_options.check_arguments(checked)
        options = beam_options.pipeline_options(
            [*checked, *unchecked], FLAGS.workers, mode="multi_processing"
        )
        empty = pipeline.build(options)
        work = Work(FLAGS.decompress, _file_options())
    except (ValueError, UsageError) as error:
        fail(NAME, error, EXIT_USAGE)
    if FLAGS.decompress:
        suffix = f".{FLAGS.format}"
        made = settings.OutputSettings.of_decompressing(work.options, FLAGS.format)
    else:
        suffix, made = SUFFIX, settings.OutputSettings.of_compressing(work.options)
    folder = FLAGS.output.rstrip("/") or "/"
    manifest_path = FLAGS.manifest or files.join(folder, plan.MANIFEST_FILE)
    to_do = plan.make_plan(FLAGS.input, folder, suffix, made, manifest_path, FLAGS.overwrite)
    for path in to_do.leftovers:
        files.remove(path)
    if to_do.new_settings:
        files.write_text(files.join(folder, settings.FILE), made.dumps())
    files.remove(manifest_path)  # it must not outlive the outputs that it describes
    plan_path = plan.plan_path(folder)
    files.write_text(plan_path, plan.dumps(to_do.tasks))
    try:
        with _progress_bar(to_do.tasks):
            counters = pipeline.run(empty, plan_path, work, manifest_path)
    finally:
        files.remove(plan_path)
    rows = manifest.read(manifest_path)
    counts = manifest.checked_counts(rows, to_do.tasks, counters)
    _report(rows, counts, manifest_path)


def _file_options() -> dict[str, Any]:
    """Return the options of `compress_file` or `decompress_file`.

    Raises:
        UsageError: Two flags contradict each other.
        SmapcompError: An option is not allowed.
    """
    compressing, decompressing = (
        set(option_table(CompressOptions)),
        set(option_table(DecodeOptions)),
    )
    foreign = decompressing - compressing | {"format"}
    if FLAGS.decompress:
        foreign = compressing - decompressing | {"keep_metadata"}
    given = [f"--{name}" for name in sorted(foreign) if FLAGS[name].present]
    if given:
        where = "with" if FLAGS.decompress else "without"
        raise UsageError(f"{given[0]} has no meaning {where} --decompress")
    if FLAGS.decompress:
        return command.option_values(FLAGS, DecodeOptions)
    return compress.file_options(FLAGS)


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before and behind `--`."""
    arguments = list(arguments)
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _progress_bar(tasks: Sequence) -> contextlib.AbstractContextManager[None]:
    """Return a progress bar of the outputs, if they lie in a local folder."""
    began = time.time()

    def made(path: str) -> bool:
        try:
            return os.stat(path).st_mtime >= began
        except OSError:
            return False

    waiting = {task.target: 1 for task in tasks if not task.there}
    if not waiting or "://" in next(iter(waiting)):
        return contextlib.nullcontext()
    return file_progress(waiting, "decompress" if FLAGS.decompress else "compress", made)


def _report(rows: Sequence, counts: dict[str, int], path: str) -> None:
    """Print what was read, written and skipped and what failed; exit with 1 if anything failed."""
    failed = [row for row in rows if row.error is not None]
    for row in failed[:MAX_PRINTED]:
        print(f"failed: {row.input}: {row.error}", file=sys.stderr)
    if len(failed) > MAX_PRINTED:
        print(f"failed: {len(failed) - MAX_PRINTED} more in the manifest", file=sys.stderr)
    done = [row for row in rows if row.error is None]
    sizes = " to ".join(
        f"{sum(getattr(row, name) for row in done) / 1e6:.1f}" for name in ("bytes_in", "bytes_out")
    )
    sums = " + ".join(f"{status} {count}" for status, count in counts.items())
    print(f"read {len(rows)} = {sums}; {sizes} MB; {path}")
    if failed:
        fail(NAME, f"{len(failed)} of {len(rows)} failed; see {path}")


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Define the job's flags."""
    flags.DEFINE_multi_string(
        "input",
        None,
        "Pattern of input files: * stands for any part of a name, **/ for any folders. May be "
        "given more than once.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_string("output", None, "Folder to write.", required=True, flag_values=values)
    flags.DEFINE_bool("decompress", False, "Decompress streams into pictures.", flag_values=values)
    flags.DEFINE_string(
        "manifest",
        None,
        "The manifest's path; default: OUTPUT/manifest.jsonl.",
        flag_values=values,
    )
    flags.DEFINE_bool("overwrite", False, "Replace outputs that exist.", flag_values=values)
    flags.DEFINE_integer(
        "workers",
        os.cpu_count(),
        "Processes of the local runner, of 1 to 2 GiB each.",
        1,
        flag_values=values,
    )
    define = Flags(values)
    compress.define_options(define)
    decompress.define_options(define, leave_out=option_table(CompressOptions))


def parse(arguments: Sequence[str]) -> Sequence[str]:
    """Parse the job's flags and return the rest, which is Beam's; an error is one line."""
    FLAGS.set_gnu_getopt()
    try:
        return FLAGS(arguments, known_only=True)
    except flags.Error as error:
        fail(NAME, error, EXIT_USAGE)


if __name__ == "__main__":
    define_flags()
    flags.adopt_module_key_flags(command)  # --help lists them, too
    app.run(main, flags_parser=parse)
