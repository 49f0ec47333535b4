"""Writes shards of records: each from a range of a source's examples, whole or not at all.

What a shard holds depends on its examples and the settings alone, not on which worker writes it
or when. Beside each shard lies what is known of it (`.json`), by which a later run recognises a
shard that needs no second writing.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import os
import re
import secrets
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from data.batches import transforms
from data.coded.settings import CompactSettings
from data.errors import DataError, clear_errors
from data.sources.base import Source
from data.sources.manifest import Manifest, Shard, Statistics, file_sha256
from data.sources.records import encode_record
from smapcomp.ade20k import label_counts

Labeller = Callable[[np.ndarray], np.ndarray]
"""Image, uint8 [H, W, 3], to its label map, uint8 [H, W]."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How examples become records; see `manifest.Manifest.settings`.

    Attributes:
      compact: how their compact images are made; None for none.
    """

    size: int | None
    encoding: str
    labels: str
    compact: CompactSettings | None = None

    def facts(self) -> dict:
        """As the manifest has them, JSON-ready; `compact` only where there is one."""
        facts = json.loads(json.dumps(dataclasses.asdict(self)))
        return {key: value for key, value in facts.items() if key != "compact" or value}


@dataclasses.dataclass(frozen=True)
class Task:
    """One shard to write.

    Attributes:
      folder, file: where.
      first, last: numbers of its examples, `last` not included.
    """

    folder: str
    file: str
    first: int
    last: int

    @property
    def path(self) -> str:
        """Of the shard."""
        return os.path.join(self.folder, self.file)

    @property
    def facts_path(self) -> str:
        """Of what is known of it."""
        return os.path.splitext(self.path)[0] + ".json"


@dataclasses.dataclass(frozen=True)
class Result:
    """A written shard.

    Attributes:
      stamp: of its examples and the settings.
      shard: the file; without offsets if no example of the range could be used.
      statistics: of its examples; None if there are none.
      reported, notices: as in `manifest.Manifest`.
    """

    stamp: str
    shard: Shard
    statistics: Statistics | None
    reported: tuple[tuple[str, str], ...]
    notices: tuple[tuple[str, str], ...]


def label_kind(source: Source) -> str:
    """What the settings say of a source's own labels."""
    if not source.labelled:
        return "none"
    prepared = getattr(source, "manifest", None)
    return prepared.settings["labels"] if prepared else "annotations"


def plan(folder: str, stem: str, examples: int, examples_per_shard: int) -> list[Task]:
    """The shards of a source, each with about as many examples as the others."""
    count = -(-examples // examples_per_shard)
    bounds = [examples * number // count for number in range(count + 1)]
    return [
        Task(folder, f"{stem}-{number:05}-of-{count:05}.tfrecord", first, last)
        for number, (first, last) in enumerate(itertools.pairwise(bounds))
    ]


def write_shard(
    task: Task, source: Source, settings: Settings, labeller: Labeller | None = None
) -> Result:
    """Writes a shard unless it is there already.

    Args:
      task: which.
      source: of the examples; what can't be read of them is reported.
      settings: how they become records.
      labeller: makes the label maps; None takes the source's, if it has any.

    Raises:
      DataError: the folder can't be written.
    """
    stamp = _stamp(task, source, settings)
    found = _finished(task, stamp)
    if found:
        return found
    temporary = f"{task.path}.{secrets.token_hex(4)}.tmp"
    try:
        result = _write(task, temporary, stamp, source, settings, labeller)
        _write_text(task.facts_path, json.dumps(dataclasses.asdict(result)))
    except tf.errors.OpError as error:
        raise DataError(f"{task.path}: cannot be written: {error.message}") from None
    finally:
        if tf.io.gfile.exists(temporary):
            tf.io.gfile.remove(temporary)
    return result


def load_result(task: Task) -> Result:
    """What a worker wrote of its shard."""
    with tf.io.gfile.GFile(task.facts_path) as file:
        facts = json.loads(file.read())
    statistics = facts["statistics"]
    if statistics:
        statistics = Statistics(**{key: _tuple_of(value) for key, value in statistics.items()})
    return Result(
        stamp=facts["stamp"],
        shard=Shard(**{key: _tuple_of(value) for key, value in facts["shard"].items()}),
        statistics=statistics,
        reported=tuple(map(tuple, facts["reported"])),
        notices=tuple(map(tuple, facts["notices"])),
    )


def manifest_of(
    spec: str, split: str | None, settings: Settings, source: Source, results: list[Result]
) -> Manifest:
    """What a folder's manifest says, from its shards in their order.

    Raises:
      DataError: none of the examples could be used.
    """
    reported = [entry for result in results for entry in result.reported]
    written = [result for result in results if result.statistics]
    if not written:
        raise DataError(f"{spec}: none of {len(source)} pictures can be used; {reported[0]}")
    return Manifest(
        source=spec,
        split=split,
        settings=settings.facts(),
        read=len(source) + len(source.ignored),
        reported=(*reported, *source.ignored),
        notices=tuple(entry for result in results for entry in result.notices),
        statistics=Statistics.sum([result.statistics for result in written]),
        shards=tuple(result.shard for result in written),
    )


def remove_leftovers(folder: str, stem: str, keep: set[str]) -> None:
    """Removes shards of earlier runs and what a killed run was writing.

    Args:
      folder: of shards; no other file in it is touched.
      stem: that their names begin with.
      keep: names of shards that stay.
    """
    kept = keep | {os.path.splitext(name)[0] + ".json" for name in keep}
    ours = re.compile(re.escape(stem) + r"-\d{5}-of-\d{5}\.(json|tfrecord)(\.\w+\.tmp)?")
    for name in tf.io.gfile.listdir(folder):
        if ours.fullmatch(name) and name not in kept:
            tf.io.gfile.remove(os.path.join(folder, name))


def write_text(path: str, text: str) -> None:
    """Writes a file whole or not at all.

    Raises:
      DataError: it can't be written.
    """
    try:
        _write_text(path, text)
    except tf.errors.OpError as error:
        raise DataError(f"{path}: cannot be written: {error.message}") from None


def _write_text(path: str, text: str) -> None:
    temporary = f"{path}.{secrets.token_hex(4)}.tmp"
    with tf.io.gfile.GFile(temporary, "w") as file:
        file.write(text)
    tf.io.gfile.rename(temporary, path, overwrite=True)


def _stamp(task: Task, source: Source, settings: Settings) -> str:
    digest = hashlib.sha256(json.dumps(settings.facts()).encode())
    for index in range(task.first, task.last):
        digest.update(f"\n{source.stamp(index)}".encode())
    return digest.hexdigest()


def _finished(task: Task, stamp: str) -> Result | None:
    """The result of an earlier run, if its shard still is what it was."""
    if not (tf.io.gfile.exists(task.path) and tf.io.gfile.exists(task.facts_path)):
        return None
    result = load_result(task)
    whole = result.stamp == stamp and result.shard.sha256 == file_sha256(task.path)
    return result if whole else None


def _tuple_of(value):
    """A list as a tuple, anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def _write(
    task: Task,
    temporary: str,
    stamp: str,
    source: Source,
    settings: Settings,
    labeller: Labeller | None,
) -> Result:
    reported, notices, sizes, counts, offsets, end = [], [], [], [], [], 0
    with tf.io.TFRecordWriter(temporary) as writer:
        for index in range(task.first, task.last):
            where = source.where(index)
            try:
                example = _example(source, index, settings, labeller)
            except DataError as error:
                reported.append((where, str(error).removeprefix(f"{where}: ")))
                continue
            image, label_map = example["image"], example.get("label_map")
            if (image == image[..., :1]).all():
                notices.append((where, "is grey; has three equal channels"))
            file = source.image_file(index) if settings.encoding == "file" else None
            record = encode_record(example, settings.encoding, file)
            writer.write(record)
            offsets.append(end)
            end += len(record) + 16  # length, its CRC, and the record's
            sizes.append(image.shape[:2])
            if label_map is not None:
                counts.append(label_counts(label_map))
    shard = Shard(task.file, end, file_sha256(temporary), tuple(offsets))
    tf.io.gfile.rename(temporary, task.path, overwrite=True)
    statistics = Statistics.of(sizes, counts)
    return Result(stamp, shard, statistics, tuple(reported), tuple(notices))


def _example(
    source: Source, index: int, settings: Settings, labeller: Labeller | None
) -> dict[str, np.ndarray]:
    with clear_errors():
        example = source.read(tf.constant(index, tf.int64))
    name = example.pop("name")
    if settings.size:
        example = _resizer(settings.size)(example)
    kept = {"image", "label_map"} | ({"compact", "quality"} if settings.compact else set())
    found = {key: value.numpy() for key, value in example.items() if key in kept}
    found["name"] = name.numpy()
    return found | {"label_map": labeller(found["image"])} if labeller else found


@functools.cache
def _resizer(size: int):
    return tf.function(lambda e: transforms.resize256(e, size), reduce_retracing=True)
