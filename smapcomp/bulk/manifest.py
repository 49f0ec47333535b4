"""What became of every input: JSON lines, in the order of the inputs."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence

from smapcomp.bulk import files
from smapcomp.bulk.plan import Task
from smapcomp.errors import SmapcompError

WRITTEN, SKIPPED, FAILED = STATUSES = ("written", "skipped", "failed")


@dataclasses.dataclass(frozen=True)
class Row:
    """One input.

    Attributes:
        input, output: Paths.
        status: "written"; "skipped", it was there already; "failed".
        width, height: Of the picture; None if it failed.
        bytes_in, bytes_out: Of the two files; `bytes_out` is None if it failed.
        bpp: Bits per pixel of the stream, be it input or output; None if it failed.
        seconds: From reading to writing; None if it was skipped.
        notices: What was changed on the way, such as 16 bits that became 8.
        error: Why it failed, else None.
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


def write(path: str, rows: Iterable[Row]) -> None:
    """Writes the manifest, whole or not at all."""
    with files.written(path) as file:
        for row in sorted(rows, key=lambda row: row.input):
            file.write(f"{json.dumps(dataclasses.asdict(row))}\n".encode())


def read(path: str) -> list[Row]:
    """Reads a manifest.

    Raises:
        SmapcompError: There is none, or it is something else.
    """
    try:
        rows = [json.loads(line) for line in files.read_text(path).splitlines()]
        return [Row(**{**row, "notices": tuple(row["notices"])}) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SmapcompError(f"{path}: not a manifest of smapcomp.bulk: {error}") from None


def checked_counts(
    rows: Sequence[Row], tasks: Sequence[Task], counters: dict[str, int]
) -> dict[str, int]:
    """How many inputs have each status, once all that counted them agree.

    Args:
        rows: Of the manifest.
        tasks: What was to be done.
        counters: The pipeline's own, "read" and each of `STATUSES`; empty from a runner that has
            none.

    Raises:
        SmapcompError: They don't: a picture was lost or came twice.
    """
    found = Counter(row.status for row in rows)
    counts = {status: found[status] for status in STATUSES}
    if [row.input for row in rows] != [task.source for task in tasks]:
        raise SmapcompError(f"{len(tasks)} inputs, but {len(rows)} lines in the manifest: {counts}")
    wanted = {"read": len(tasks), **counts}
    if counters and {name: counters.get(name, 0) for name in wanted} != wanted:
        raise SmapcompError(f"the manifest has {wanted}, but the runner counted {counters}")
    return counts
