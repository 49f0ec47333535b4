"""One file to another, or many into a folder."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from tqdm import tqdm

from smapcomp import image_io
from smapcomp.cli.commands import (
    MAX_STREAM_BYTES_EXTRA,
    MAX_STREAM_BYTES_PER_PIXEL,
    Flags,
    UsageError,
)
from smapcomp.errors import SmapcompError

Work = Callable[[str, str], dict[str, Any]]
"""Makes the second file of the first and returns facts about it, ready for JSON."""

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def define_output(define: Flags) -> None:
    """Flags of where to write."""
    define.string("out_dir", "folder for the outputs of any number of inputs; made if absent.")
    define.boolean("overwrite", "replace outputs that exist.")


def run_files(
    values: flags.FlagValues,
    arguments: Sequence[str],
    suffix: str,
    work: Work,
    sentence: Callable[[dict[str, Any]], str],
) -> int:
    """Does the work on one file, IN OUT, or on many into `--out_dir`.

    Args:
        values: With the flags of `define_output`.
        arguments: The positional ones.
        suffix: Of files in the folder.
        work: What is done; its errors are `SmapcompError` and `OSError`.
        sentence: What to print of one file's facts.

    Returns:
        The exit status.
    """
    if values.out_dir is None:
        if len(arguments) != 2:
            got = " ".join(arguments) or "nothing"
            raise UsageError(f"wants IN OUT, or IN... with --out_dir=DIR, got {got}")
        source, target = arguments
        refuse_same_file(source, target)
        print(sentence(work(source, target)))
        return 0
    return _run_batch(values, arguments, suffix, work)


def refuse_same_file(source: str, target: str) -> None:
    """Raises a `SmapcompError` if the output is the input."""
    if os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target):
        raise SmapcompError(f"{target}: is the input")


def _run_batch(values, arguments: Sequence[str], suffix: str, work: Work) -> int:
    """Any number of files; one that fails does not stop the rest. Prints a summary in JSON."""
    if not arguments:
        raise UsageError("wants at least one IN, got nothing")
    targets = _targets(arguments, values.out_dir, suffix)
    try:
        os.makedirs(values.out_dir, exist_ok=True)
    except OSError as error:
        raise SmapcompError(f"{values.out_dir}: {error.strerror}") from error
    files: list[dict[str, Any]] = []
    interrupted = False
    with tqdm(total=len(targets), unit="file", disable=None, file=sys.stderr) as bar:
        for source, target in targets.items():
            bar.set_postfix_str(Path(source).name, refresh=False)
            try:
                files.append(_one_of_many(source, target, values.overwrite, work))
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


def _one_of_many(source: str, target: str, overwrite: bool, work: Work) -> dict[str, Any]:
    facts: dict[str, Any] = {"input": source, "output": target}
    if os.path.exists(target) and not overwrite:
        return {**facts, "status": "kept"}
    began = time.perf_counter()
    try:
        refuse_same_file(source, target)
        found = work(source, target)
    except (SmapcompError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return {**facts, "status": "failed", "error": reason}
    seconds = round(time.perf_counter() - began, 3)
    return {**facts, "status": "done", **found, "seconds": seconds}


def _targets(sources: Sequence[str], folder: str, suffix: str) -> dict[str, str]:
    """Where each input goes.

    Raises:
        UsageError: Two would go to the same file.
    """
    targets: dict[str, str] = {}
    for source in sources:
        target = os.path.join(folder, Path(source).stem + suffix)
        other = next((s for s, t in targets.items() if t == target), None)
        if other is not None and other != source:
            raise UsageError(f"{other} and {source} would both become {target}")
        targets[source] = target
    return targets


def read_stream(path: str, max_pixels: int) -> bytes:
    """The bytes of a stream's file, no more than a picture of that size can have."""
    limit = max_pixels * MAX_STREAM_BYTES_PER_PIXEL + MAX_STREAM_BYTES_EXTRA
    return image_io.read_file(path, limit)
