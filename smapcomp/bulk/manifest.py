"""The manifest: what became of each input, in JSON lines in the order of the inputs."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from smapcomp.bulk import files
from smapcomp.bulk.plan import Task
from smapcomp.errors import SmapcompError

WRITTEN, SKIPPED, FAILED = STATUSES = ("written", "skipped", "failed")
"""Results of a task; a task is skipped if its output exists already."""


@dataclasses.dataclass(frozen=True)
class ManifestEntry:
    """What became of one input.

    Attributes:
        input: Path of the input.
        output: Path of the output.
        status: One of `STATUSES`.
        width: Width of the picture in pixels; `None` if the task failed.
        height: Height of the picture in pixels; `None` if the task failed.
        bytes_in: Size of the input in bytes.
        bytes_out: Size of the output in bytes; `None` if the task failed.
        bpp: Bits per pixel of the stream, which is the output, or the input in decompression;
            `None` if the task failed.
        seconds: Duration from reading to writing; `None` if the task was skipped.
        notices: Changes that were made to the picture, such as 16 bits that became 8.
        error: Reason of the failure; `None` if the task did not fail.
    """

    input: str
    output: str
    status: str
    width: int | None = None
    height: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    bpp: float | None = None
    seconds: float | None = None
    notices: tuple[str, ...] = ()
    error: str | None = None


def write_manifest(path: str, entries: Iterable[ManifestEntry]) -> None:
    """Write the manifest, whole or not at all."""
    with files.open_for_writing(path) as file:
        for entry in sorted(entries, key=lambda entry: entry.input):
            file.write(f"{json.dumps(dataclasses.asdict(entry))}\n".encode())


def read_manifest(path: str) -> list[ManifestEntry]:
    """Read a manifest.

    Raises:
        SmapcompError: There is no such file, or it is not a manifest.
    """
    try:
        entries = [json.loads(line) for line in files.read_text(path).splitlines()]
        return [ManifestEntry(**{**entry, "notices": tuple(entry["notices"])}) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SmapcompError(f"{path}: not a manifest of smapcomp.bulk: {error}") from None


def count_statuses(
    entries: Sequence[ManifestEntry], tasks: Sequence[Task], counters: Mapping[str, int]
) -> dict[str, int]:
    """Count the entries of each status and check that no picture was lost or worked on twice.

    Args:
        entries: Entries of the manifest.
        tasks: Tasks of the plan.
        counters: Counters of the pipeline, "read" and each of `STATUSES`; empty if the runner has
            none.

    Returns:
        Number of entries by status.

    Raises:
        SmapcompError: Plan, manifest and counters disagree.
    """
    found = Counter(entry.status for entry in entries)
    counts = {status: found[status] for status in STATUSES}
    if [entry.input for entry in entries] != [task.source for task in tasks]:
        raise SmapcompError(
            f"the plan has {len(tasks)} inputs, but the manifest {len(entries)} lines: {counts}"
        )
    expected = {"read": len(tasks), **counts}
    if counters and {name: counters.get(name, 0) for name in expected} != expected:
        raise SmapcompError(f"the manifest has {expected}, but the runner counted {dict(counters)}")
    return counts
