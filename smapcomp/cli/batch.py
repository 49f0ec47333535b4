"""Conversion of one file or of many, for the sub-commands `compress` and `decompress`."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from tqdm import tqdm

from smapcomp.cli.command import OUTPUT, Flags, UsageError
from smapcomp.cli.standard_streams import DASH, output_name
from smapcomp.errors import SmapcompError, printable
from smapcomp.jobs.exits import EXIT_FAILED, EXIT_INTERRUPTED, describe_error

Converter = Callable[[str, str], dict[str, Any]]
"""Function that writes the second file from the first and returns JSON-ready facts about it."""


def define_output(define: Flags) -> None:
    """Define the flags that say where outputs are written."""
    define.string(
        OUTPUT,
        "out_dir",
        "folder for the outputs of any number of inputs; it is made if there is none.",
        placeholder="DIR",
    )
    define.boolean(OUTPUT, "overwrite", "replace outputs that exist.")


def run_files(
    values: flags.FlagValues,
    arguments: Sequence[str],
    suffix: str,
    convert: Converter,
    describe: Callable[[dict[str, Any]], str],
) -> int:
    """Convert one file (IN OUT) or many (into `--out_dir`).

    Args:
        values: Values of the flags of `define_output`.
        arguments: Positional arguments.
        suffix: Extension of the outputs in `--out_dir`.
        convert: Converts one file, or raises an exception.
        describe: Returns the line that is printed about the facts of a single file; on standard
            error if standard output is the file.

    Returns:
        The exit status.

    Raises:
        UsageError: The number of arguments is wrong, or two inputs have the same output.
        SmapcompError: A single file could not be converted.
    """
    if values.out_dir is None:
        if len(arguments) != 2:
            got = " ".join(arguments) or "nothing"
            raise UsageError(f"expected IN OUT, or IN... with --out_dir=DIR, got {got}")
        source, target = arguments
        _refuse_same_file(source, target)
        facts = convert(source, target)
        line = describe({**facts, "output": printable(output_name(target))})
        print(line, file=sys.stderr if target == DASH else sys.stdout)
        return 0
    return _run_batch(values, arguments, suffix, convert)


def _refuse_same_file(source: str, target: str) -> None:
    if DASH in (source, target) or not (os.path.exists(source) and os.path.exists(target)):
        return
    if os.path.samefile(source, target):
        raise SmapcompError(f"{target}: the output is the input")


def _run_batch(
    values: flags.FlagValues, arguments: Sequence[str], suffix: str, convert: Converter
) -> int:
    """Convert any number of files and print a summary in JSON; a failure does not stop the rest."""
    if not arguments:
        raise UsageError("expected at least one IN, got nothing")
    if not values.out_dir:
        raise UsageError("--out_dir='' is the name of no folder")
    if DASH in arguments:
        raise UsageError("- with --out_dir; standard input has no name that an output could have")
    targets = _output_paths(arguments, values.out_dir, suffix)
    try:
        os.makedirs(values.out_dir, exist_ok=True)
    except OSError as error:
        raise SmapcompError(f"{values.out_dir}: {error.strerror}") from error
    files: list[dict[str, Any]] = []
    interrupted = False
    with tqdm(total=len(targets), unit="file", disable=None, file=sys.stderr) as bar:
        for source, target in targets.items():
            bar.set_postfix_str(printable(Path(source).name), refresh=False)
            try:
                files.append(_convert_one(source, target, values.overwrite, convert))
            except KeyboardInterrupt:
                interrupted = True
                break
            bar.update()
    counts = {
        status: sum(file["status"] == status for file in files)
        for status in ("done", "kept", "failed")
    }
    not_reached = len(targets) - len(files)
    print(json.dumps({**counts, "not_reached": not_reached, "files": files}, indent=2))
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if counts["failed"] else 0


def _convert_one(source: str, target: str, overwrite: bool, convert: Converter) -> dict[str, Any]:
    """Convert one file unless its output exists; return the facts or the error."""
    facts: dict[str, Any] = {"input": source, "output": target}
    if os.path.exists(target) and not overwrite:
        return {**facts, "status": "kept"}
    began = time.perf_counter()
    try:
        _refuse_same_file(source, target)
        found = convert(source, target)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # A file must not stop the others, whatever exception a library raises for it. Those of
        # libraries in Rust are no subclasses of Exception.
        return {**facts, "status": "failed", "error": describe_error(error)}
    seconds = round(time.perf_counter() - began, 3)
    return {**facts, "status": "done", **found, "seconds": seconds}


def _output_paths(sources: Sequence[str], folder: str, suffix: str) -> dict[str, str]:
    """Return the output of each input.

    Raises:
        UsageError: Two inputs have the same output.
    """
    source_of: dict[str, str] = {}
    for source in sources:
        target = os.path.join(folder, Path(source).stem + suffix)
        other = source_of.setdefault(target, source)
        if other != source:
            raise UsageError(f"{other} and {source} would both become {target}")
    return {source: target for target, source in source_of.items()}
