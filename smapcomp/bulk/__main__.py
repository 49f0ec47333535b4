r"""Compress or decompress many pictures by an Apache Beam pipeline.

    python -m smapcomp.bulk --input='photos/**/*.jpg' --output=small --quality=40
    python -m smapcomp.bulk --input='small/**/*.smc' --output=back --decompress
    python -m smapcomp.bulk --input='gs://B/photos/**' --output=gs://B/small \
        --runner=DataflowRunner --project=P --region=R --temp_location=gs://B/tmp

Outputs lie in the folder --output as the inputs do below the part of their pattern before the first
wildcard. Flags of the codec are those of `smapcomp compress` and `smapcomp decompress`. Flags of
the runner are Beam's; everything behind `--` is passed to Beam unchecked.

OUTPUT/manifest.jsonl tells what became of each input, OUTPUT/bulk.json how the outputs were made.
The same command again makes what is missing, damaged or older than its input. See docs/bulk.md.

Exit status: 0, success; 1, a picture failed or the run could not start; 2, a flag is wrong; 130,
interrupted. An error is one line on standard error.
"""

import contextlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import app, flags

from smapcomp.cli import command, compress, decompress
from smapcomp.cli.command import Flags, UsageError
from smapcomp.codec.options import CompressOptions, DecodeOptions, option_table
from smapcomp.errors import printable
from smapcomp.files import SUFFIX
from smapcomp.jobs.beam_job import MAX_PRINTED, run_job
from smapcomp.jobs.exits import EXIT_USAGE, console_output, fail
from smapcomp.jobs.progress import file_progress

if TYPE_CHECKING:
    from smapcomp.bulk.manifest import ManifestEntry
    from smapcomp.bulk.plan import Task

FLAGS = flags.FLAGS
NAME = "bulk"


def main(arguments: Sequence[str]) -> None:
    """Run the job; the arguments behind the first are Beam's."""
    run_job(NAME, lambda: convert_files(arguments[1:]))


def convert_files(beam_arguments: Sequence[str]) -> None:
    """Convert the files that the flags name and print a summary.

    The process ends with exit status 1 if a picture failed, and with 2 if flags are wrong.

    Args:
        beam_arguments: Arguments of the runner.

    Raises:
        SmapcompError: The run could not start, or the pipeline failed.
    """
    # Beam takes a second to load; --help does not need it.
    from smapcomp.bulk import files, manifest, pipeline, plan
    from smapcomp.bulk.converter import FileConverter
    from smapcomp.bulk.settings import SETTINGS_FILE, OutputSettings
    from smapcomp.jobs import beam_options

    checked, unchecked = _split_at_dashes(beam_arguments)
    try:
        beam_options.check_arguments(checked)
        options = beam_options.pipeline_options(
            [*checked, *unchecked], FLAGS.workers, mode="multi_processing"
        )
        _refuse_empty_flags()
        empty_pipeline = pipeline.make_pipeline(options)
        converter = FileConverter(FLAGS.decompress, _file_options())
    except (ValueError, UsageError) as error:
        fail(NAME, error, EXIT_USAGE)
    if FLAGS.decompress:
        suffix = f".{FLAGS.format}"
        settings = OutputSettings.for_decompression(converter.options, FLAGS.format)
    else:
        suffix = SUFFIX
        settings = OutputSettings.for_compression(converter.options)
    folder = FLAGS.output.rstrip("/") or "/"
    manifest_path = FLAGS.manifest or files.join(folder, plan.MANIFEST_FILE)
    if files.exists(manifest_path):
        manifest.read_manifest(manifest_path)  # Only a manifest may be replaced.
    todo = plan.make_plan(FLAGS.input, folder, suffix, settings, manifest_path, FLAGS.overwrite)
    for path in todo.leftovers:
        files.remove(path)
    if todo.new_settings:
        files.write_text(files.join(folder, SETTINGS_FILE), settings.to_json())
    # The old manifest describes outputs that this run may replace.
    files.remove(manifest_path)
    plan_path = plan.plan_path(folder)
    files.write_text(plan_path, plan.tasks_to_json(todo.tasks))
    try:
        with _progress_bar(todo.tasks):
            counters = pipeline.run_pipeline(empty_pipeline, plan_path, converter, manifest_path)
    finally:
        files.remove(plan_path)
    entries = manifest.read_manifest(manifest_path)
    counts = manifest.count_statuses(entries, todo.tasks, counters)
    _report(entries, counts, manifest_path)


def _refuse_empty_flags() -> None:
    """Check that the flags with paths have values.

    Raises:
        UsageError: One is the empty string, as that of an unset shell variable is.
    """
    for name in ("input", "output", "manifest"):
        value = FLAGS[name].value
        if value == "" or (isinstance(value, list) and "" in value):
            raise UsageError(f"--{name}='' is the name of no file and no folder")


def _file_options() -> dict[str, Any]:
    """Return the options of `compress_file` or `decompress_file`.

    Raises:
        UsageError: Two flags contradict each other.
        SmapcompError: An option is not allowed.
    """
    compress_names = set(option_table(CompressOptions)) | set(compress.READING_FLAGS)
    decompress_names = set(option_table(DecodeOptions)) | {"format"}
    if FLAGS.decompress:
        meaningless = compress_names - decompress_names
    else:
        meaningless = decompress_names - compress_names
    present = [name for name in sorted(meaningless) if FLAGS[name].present]
    if present:
        where = "with" if FLAGS.decompress else "without"
        raise UsageError(f"--{present[0]} has no meaning {where} --decompress")
    if FLAGS.decompress:
        return command.option_values(FLAGS, DecodeOptions)
    return compress.file_options(FLAGS)


def _split_at_dashes(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before and behind `--`."""
    arguments = list(arguments)
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _progress_bar(tasks: "Sequence[Task]") -> contextlib.AbstractContextManager[None]:
    """Return a progress bar of the outputs; outputs that are not local have none."""
    # Beam takes a second to load; --help does not need it.
    from smapcomp.bulk import files

    began = time.time()

    def is_written(path: str) -> bool:
        try:
            return os.stat(path).st_mtime >= began
        except OSError:
            return False

    waiting = {task.target: 1 for task in tasks if not task.up_to_date}
    if not waiting or not files.is_local(next(iter(waiting))):
        return contextlib.nullcontext()
    return file_progress(waiting, "decompress" if FLAGS.decompress else "compress", is_written)


def _report(entries: "Sequence[ManifestEntry]", counts: Mapping[str, int], path: str) -> None:
    """Print the counts and the failures; exit with status 1 if there are failures."""
    failed = [entry for entry in entries if entry.error is not None]
    for entry in failed[:MAX_PRINTED]:
        print(f"failed: {printable(entry.input)}: {entry.error}", file=sys.stderr)
    if len(failed) > MAX_PRINTED:
        print(f"failed: {len(failed) - MAX_PRINTED} more in the manifest", file=sys.stderr)
    done = [entry for entry in entries if entry.error is None]
    bytes_in = sum(entry.bytes_in or 0 for entry in done)
    bytes_out = sum(entry.bytes_out or 0 for entry in done)
    sums = " + ".join(f"{status} {count}" for status, count in counts.items())
    sizes = f"{bytes_in / 1e6:.1f} to {bytes_out / 1e6:.1f} MB"
    print(f"read {len(entries)} = {sums}; {sizes}; {printable(path)}")
    if failed:
        fail(NAME, f"{len(failed)} of {len(entries)} failed; see {path}")


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Define the job's flags."""
    flags.DEFINE_multi_string(
        "input",
        None,
        "pattern of the input files: * stands for any part of a name, **/ for any folders or none. "
        "The flag can be repeated.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_string("output", None, "folder of the outputs.", required=True, flag_values=values)
    flags.DEFINE_bool("decompress", False, "decompress streams into pictures.", flag_values=values)
    flags.DEFINE_string(
        "manifest",
        None,
        "path of the manifest; OUTPUT/manifest.jsonl by default.",
        flag_values=values,
    )
    flags.DEFINE_bool("overwrite", False, "replace outputs that exist.", flag_values=values)
    flags.DEFINE_integer(
        "workers",
        os.cpu_count(),
        "number of processes of the local runner.",
        1,
        flag_values=values,
    )
    define = Flags(values)
    compress.define_options(define)
    decompress.define_options(define, leave_out=tuple(option_table(CompressOptions)))


def parse(arguments: Sequence[str]) -> Sequence[str]:
    """Parse the job's flags and return the other arguments, which are Beam's.

    A wrong flag ends the process with one line on standard error and exit status 2.
    """
    FLAGS.set_gnu_getopt()
    try:
        return FLAGS(arguments, known_only=True)
    except flags.Error as error:
        fail(NAME, error, EXIT_USAGE)


if __name__ == "__main__":
    define_flags()
    flags.adopt_module_key_flags(command)  # so that --help lists them
    with console_output(NAME):
        app.run(main, flags_parser=parse)
