"""What there is to do: which file becomes which, and which are there already."""

import dataclasses
import itertools
import json
import os
import re
from collections.abc import Iterable, Sequence

from apache_beam.io.filesystem import FileMetadata

from smapcomp.bulk import files
from smapcomp.bulk.settings import FILE as SETTINGS_FILE
from smapcomp.bulk.settings import OutputSettings
from smapcomp.errors import SmapcompError

MANIFEST_FILE = "manifest.jsonl"


@dataclasses.dataclass(frozen=True)
class Task:
    """One file to make of another.

    Attributes:
        source, target: Their paths.
        bytes_in: Of the source.
        there: Whether the target is there and up to date, as far as names and times tell.
    """

    source: str
    target: str
    bytes_in: int
    there: bool


@dataclasses.dataclass(frozen=True)
class WorkList:
    """What one run does.

    Attributes:
        tasks: In the order of their sources.
        new_settings: Whether the folder's settings are to be written before any work.
        leftovers: What killed runs were writing.
    """

    tasks: tuple[Task, ...]
    new_settings: bool
    leftovers: tuple[str, ...]


def make_plan(
    patterns: Sequence[str],
    folder: str,
    suffix: str,
    settings: OutputSettings,
    manifest: str,
    overwrite: bool = False,
) -> WorkList:
    """Finds out what there is to do, and changes nothing.

    A target is up to date if it is no older than its source and no older than the folder's
    settings, so that what was made with other settings is not taken for done.

    Args:
        patterns: Of the inputs, in Beam's syntax; `**/` stands for no folder too.
        folder: Of the outputs, which lie in it as the inputs do below the part of their pattern
            that is before the first wildcard.
        suffix: Of the outputs.
        settings: How outputs are made.
        manifest: Path of the manifest, which is no input.
        overwrite: Make all outputs anew, also of other settings or of another program.

    Raises:
        SmapcompError: Nothing matches, two inputs would become one file, an output is its input,
            or the folder holds outputs of other settings or of an unknown origin.
    """
    settings_path = files.join(folder, SETTINGS_FILE)
    outputs = {file.path: file for file in files.files_that_match(files.join(folder, "**"))}
    pairs = _pairs(patterns, folder, suffix)
    made_of = {}
    for source, (_, target) in pairs.items():
        made_of.setdefault(files.identity(target), set()).add(files.identity(source))
    reserved = (settings_path, manifest, plan_path(folder))
    own = {*made_of, *map(files.identity, reserved)}
    temporary_of = set(map(files.shortened, own))

    def is_leftover(path: str) -> bool:
        return files.is_temporary_of(files.identity(path), temporary_of)

    for source in list(pairs):
        name = files.identity(source)
        if made_of.get(name) == {name}:
            raise SmapcompError(f"{source}: would be its own output; give another --output")
        if name in own or is_leftover(name):
            del pairs[source]
    _check_pairs(pairs, patterns)
    before = outputs.get(settings_path)
    known = OutputSettings.loads(files.read_text(settings_path), settings_path) if before else None
    kept = known is not None and not overwrite
    if not overwrite:
        present = sorted(target for _, target in pairs.values() if target in outputs)
        _check_settings(settings_path, known, settings, present)
    tasks = [
        Task(source, target, file.size_in_bytes, kept and _fresh(outputs.get(target), file, before))
        for source, (file, target) in sorted(pairs.items())
    ]
    return WorkList(tuple(tasks), not kept, tuple(filter(is_leftover, outputs)))


def plan_path(folder: str) -> str:
    """Where the list of tasks lies while a run goes on."""
    return files.join(folder, ".bulk_plan.jsonl")


def dumps(tasks: Iterable[Task]) -> str:
    """JSON, a line for each task."""
    return "".join(f"{json.dumps(dataclasses.asdict(task))}\n" for task in tasks)


def loads(text: str) -> list[Task]:
    """What `dumps` wrote."""
    return [Task(**json.loads(line)) for line in text.splitlines()]


def fixed_part(pattern: str) -> str:
    """The folder of a pattern before its first wildcard, with the slash; "" of none."""
    before = re.match(r"[^*?[]*", pattern)[0]
    return before[: before.rfind("/") + 1]


def with_and_without_folders(pattern: str) -> list[str]:
    """The pattern, and with each `**/` left out: to Beam, that needs at least one folder."""
    parts = pattern.split("**/")
    gaps = itertools.product(("**/", ""), repeat=len(parts) - 1)
    return ["".join(itertools.chain(*zip(parts, (*gap, ""), strict=True))) for gap in gaps]


def _pairs(
    patterns: Sequence[str], folder: str, suffix: str
) -> dict[str, tuple[FileMetadata, str]]:
    """Source to its metadata and its target; of two patterns that match it the first counts."""
    pairs: dict[str, tuple[FileMetadata, str]] = {}
    for pattern in patterns:
        if os.path.isdir(pattern):
            raise SmapcompError(
                f"--input={pattern}: is a folder; for what is in it: '{files.join(pattern, '**')}'"
            )
        beginning = fixed_part(pattern)
        matches = map(files.files_that_match, with_and_without_folders(pattern))
        found = list(itertools.chain(*matches))
        if not found:
            raise SmapcompError(f"--input={pattern}: matches no file")
        for file in found:
            stem = os.path.splitext(file.path.removeprefix(beginning))[0]
            pairs.setdefault(file.path, (file, files.join(folder, stem + suffix)))
    return pairs


def _check_pairs(pairs: dict[str, tuple[FileMetadata, str]], patterns: Sequence[str]) -> None:
    if not pairs:
        raise SmapcompError(f"--input={', '.join(patterns)}: matches nothing but outputs")
    taken: dict[str, str] = {}
    for source, (_, target) in sorted(pairs.items()):
        other = taken.setdefault(target, source)
        if other != source:
            raise SmapcompError(
                f"{other} and {source} would both become {target}; give them an --output each"
            )


def _check_settings(
    path: str, known: OutputSettings | None, settings: OutputSettings, present: Sequence[str]
) -> None:
    """Raises a `SmapcompError` if the outputs that are there are not of these settings."""
    if known and known != settings:
        raise SmapcompError(
            f"{path}: {known.difference(settings)}; --overwrite makes all outputs anew, another "
            "--output keeps these"
        )
    if not known and present:
        raise SmapcompError(
            f"{present[0]}: exists, and no {SETTINGS_FILE} says how it was made; --overwrite "
            "replaces it"
        )


def _fresh(target: FileMetadata | None, source: FileMetadata, settings: FileMetadata) -> bool:
    if target is None or not target.size_in_bytes:
        return False
    needed = max(source.last_updated_in_seconds, settings.last_updated_in_seconds)
    return target.last_updated_in_seconds >= needed
