"""The plan of a run: which file becomes which, and which outputs exist already."""

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence

from apache_beam.io.filesystem import FileMetadata

from smapcomp.bulk import files
from smapcomp.bulk.settings import SETTINGS_FILE, OutputSettings
from smapcomp.errors import SmapcompError

MANIFEST_FILE = "manifest.jsonl"
"""Name of the manifest in the folder of the outputs."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One file to make from another.

    Attributes:
        source: Path of the input.
        target: Path of the output.
        bytes_in: Size of the input in bytes.
        up_to_date: Whether the output exists and is up to date, judged by names and times.
    """

    source: str
    target: str
    bytes_in: int
    up_to_date: bool


@dataclasses.dataclass(frozen=True)
class BulkPlan:
    """The work of one run.

    Attributes:
        tasks: Tasks in the order of their sources.
        new_settings: Whether the folder's settings must be written before any output.
        leftovers: Temporary files of runs that were killed.
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
) -> BulkPlan:
    """Find out what is to be done; nothing is changed.

    An output is up to date if it is no older than its input and no older than the folder's
    settings. So an output that was made with other settings does not count as done.

    Args:
        patterns: Patterns of the inputs, as `files.find_files` takes them.
        folder: Folder of the outputs. They lie in it as the inputs do below the part of their
            pattern before the first wildcard.
        suffix: Extension of the outputs.
        settings: Settings of the outputs.
        manifest: Path of the manifest, which is never an input.
        overwrite: Whether to make all outputs again, whatever the folder's settings are and
            whoever wrote the files that are there.

    Raises:
        SmapcompError: No file matches, two inputs have the same output, an output is its own input,
            or the folder has outputs of other settings or of unknown origin.
    """
    settings_path = files.join(folder, SETTINGS_FILE)
    outputs = {file.path: file for file in files.list_folder(folder)}
    pairs = _match_inputs(patterns, folder, suffix)
    sources_of: dict[str, set[str]] = {}
    for source, (_, target) in pairs.items():
        sources_of.setdefault(files.identity(target), set()).add(files.identity(source))
    reserved = (settings_path, manifest, plan_path(folder))
    own_files = {*sources_of, *map(files.identity, reserved)}
    shortened = set(map(files.shorten_name, own_files))

    def is_leftover(path: str) -> bool:
        return files.is_temporary_of(files.identity(path), shortened)

    for source in list(pairs):
        name = files.identity(source)
        if sources_of.get(name) == {name}:
            raise SmapcompError(f"{source}: would be its own output; give another --output")
        if name in own_files or is_leftover(name):
            del pairs[source]
    _check_pairs(pairs, patterns)
    settings_file = outputs.get(settings_path)
    existing = None
    if settings_file is not None:
        existing = OutputSettings.from_json(files.read_text(settings_path), settings_path)
    if not overwrite:
        present = sorted(target for _, target in pairs.values() if target in outputs)
        _check_settings(settings_path, existing, settings, present)
    keeps_settings = settings_file is not None and not overwrite
    tasks = [
        Task(
            source,
            target,
            file.size_in_bytes,
            not overwrite and _is_up_to_date(outputs.get(target), file, settings_file),
        )
        for source, (file, target) in sorted(pairs.items())
    ]
    return BulkPlan(tuple(tasks), not keeps_settings, tuple(filter(is_leftover, outputs)))


def plan_path(folder: str) -> str:
    """Return the path of the file that has the tasks while a run lasts."""
    return files.join(folder, ".bulk_plan.jsonl")


def tasks_to_json(tasks: Iterable[Task]) -> str:
    """Return the tasks as JSON lines."""
    return "".join(f"{json.dumps(dataclasses.asdict(task))}\n" for task in tasks)


def tasks_from_json(text: str) -> list[Task]:
    """Return the tasks that `tasks_to_json` wrote."""
    return [Task(**json.loads(line)) for line in text.splitlines()]


def _match_inputs(
    patterns: Sequence[str], folder: str, suffix: str
) -> dict[str, tuple[FileMetadata, str]]:
    """Return metadata and output of each input; the first pattern that matches it counts."""
    pairs: dict[str, tuple[FileMetadata, str]] = {}
    for pattern in patterns:
        if os.path.isdir(pattern):
            raise SmapcompError(
                f"--input={pattern}: is a folder; all files in it are '{files.join(pattern, '**')}'"
            )
        root, found = files.find_files(pattern)
        if not found:
            raise SmapcompError(f"--input={pattern}: matches no file")
        for file in found:
            stem = os.path.splitext(file.path.removeprefix(root))[0]
            pairs.setdefault(file.path, (file, files.join(folder, stem + suffix)))
    return pairs


def _check_pairs(pairs: dict[str, tuple[FileMetadata, str]], patterns: Sequence[str]) -> None:
    if not pairs:
        raise SmapcompError(f"--input={', '.join(patterns)}: matches nothing but outputs")
    source_of: dict[str, str] = {}
    for source, (_, target) in sorted(pairs.items()):
        other = source_of.setdefault(target, source)
        if other != source:
            raise SmapcompError(
                f"{other} and {source} would both become {target}; give them an --output each"
            )


def _check_settings(
    path: str,
    existing: OutputSettings | None,
    requested: OutputSettings,
    present: Sequence[str],
) -> None:
    """Check that the outputs in the folder may be kept or added to.

    Args:
        path: Path of the settings.
        existing: Settings of the folder, if it has any.
        requested: Settings of this run.
        present: Outputs of this run that exist.

    Raises:
        SmapcompError: The settings differ, or outputs exist and the folder has no settings.
    """
    if existing and existing != requested:
        raise SmapcompError(
            f"{path}: {existing.describe_difference(requested)}; --overwrite makes all outputs "
            "again, another --output keeps these"
        )
    if not existing and present:
        raise SmapcompError(
            f"{present[0]}: exists, and no {SETTINGS_FILE} says how it was made; --overwrite "
            "replaces it"
        )


def _is_up_to_date(
    target: FileMetadata | None, source: FileMetadata, settings: FileMetadata | None
) -> bool:
    if target is None or settings is None or not target.size_in_bytes:
        return False
    newest = max(source.last_updated_in_seconds, settings.last_updated_in_seconds)
    return target.last_updated_in_seconds >= newest
