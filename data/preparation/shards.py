"""Writing of shards: TFRecord files, each with a range of the examples of a source.

The content of a shard depends on its examples and the settings alone, not on the worker or the
time. A shard appears whole or not at all. A JSON file beside each shard holds the result of writing
it, by which a later run recognises a shard that is up to date.
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
from data.coded.settings import CompactCodingSettings
from data.errors import DataError, clear_errors
from data.sources.base import Source
from data.sources.manifest import Manifest, Shard, Statistics, file_sha256
from data.sources.records import RECORD_OVERHEAD, encode_record
from smapcomp.ade20k import label_counts

Labeller = Callable[[np.ndarray], np.ndarray]
"""Returns the label map, uint8 [H, W], of an image, uint8 [H, W, 3]."""


@dataclasses.dataclass(frozen=True)
class RecordSettings:
    """How examples become records; `Manifest.settings` as an object.

    Attributes:
        size: Side to which pictures are resized, or `None`.
        encoding: One of `records.ENCODINGS`.
        labels: Origin of the label maps: "annotations", "none", or the name of a segmenter.
        compact: How the compact images are coded; `None` for records without them.
    """

    size: int | None
    encoding: str
    labels: str
    compact: CompactCodingSettings | None = None

    def to_json(self) -> dict:
        """Return the values as JSON has them; without `compact` if it is `None`."""
        values = json.loads(json.dumps(dataclasses.asdict(self)))
        return {key: value for key, value in values.items() if key != "compact" or value}


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """A shard to write.

    Attributes:
        folder: Folder of the shard.
        file: Name of the shard.
        first: Number of its first example.
        last: Number after that of its last example.
    """

    folder: str
    file: str
    first: int
    last: int

    @property
    def path(self) -> str:
        """Path of the shard."""
        return os.path.join(self.folder, self.file)

    @property
    def result_path(self) -> str:
        """Path of the JSON file with the `ShardResult`."""
        return os.path.splitext(self.path)[0] + ".json"


@dataclasses.dataclass(frozen=True)
class ShardResult:
    """ShardResult of writing a shard.

    Attributes:
        stamp: Hash of the settings and of the stamps of the examples.
        shard: The file; it has no records if no example of the range could be used.
        statistics: Statistics of its examples; `None` if there are none.
        reported: Location and reason for everything that was left out.
        notices: Location and reason for everything that was changed.
    """

    stamp: str
    shard: Shard
    statistics: Statistics | None
    reported: tuple[tuple[str, str], ...]
    notices: tuple[tuple[str, str], ...]


def label_kind(source: Source) -> str:
    """Return the origin of the labels of a source, as `RecordSettings.labels` names it."""
    if not source.labelled:
        return "none"
    manifest = getattr(source, "manifest", None)
    return manifest.settings["labels"] if manifest else "annotations"


def plan_shards(folder: str, stem: str, examples: int, examples_per_shard: int) -> list[ShardTask]:
    """Return the shards of a source, which differ by at most one example.

    Args:
        folder: Folder of the shards.
        stem: Start of their names.
        examples: Number of examples of the source.
        examples_per_shard: Most examples of a shard.
    """
    count = -(-examples // examples_per_shard)
    bounds = [examples * number // count for number in range(count + 1)]
    return [
        ShardTask(folder, f"{stem}-{number:05}-of-{count:05}.tfrecord", first, last)
        for number, (first, last) in enumerate(itertools.pairwise(bounds))
    ]


def write_shard(
    task: ShardTask, source: Source, settings: RecordSettings, labeller: Labeller | None = None
) -> ShardResult:
    """Write a shard unless it exists and is up to date.

    Args:
        task: The shard.
        source: Source of the examples; those that cannot be read are reported.
        settings: How they become records.
        labeller: Makes the label maps; `None` takes those of the source, if it has any.

    Returns:
        What was written now or by an earlier run.

    Raises:
        DataError: The folder cannot be written.
    """
    stamp = _stamp(task, source, settings)
    finished = _finished_result(task, stamp)
    if finished:
        return finished
    temporary = f"{task.path}.{secrets.token_hex(4)}.tmp"
    try:
        result = _write(task, temporary, stamp, source, settings, labeller)
        _write_text(task.result_path, json.dumps(dataclasses.asdict(result)))
    except tf.errors.OpError as error:
        raise DataError(f"{task.path}: cannot be written: {error.message}") from None
    finally:
        if tf.io.gfile.exists(temporary):
            tf.io.gfile.remove(temporary)
    return result


def load_result(task: ShardTask) -> ShardResult:
    """Read the result that a worker wrote beside its shard."""
    with tf.io.gfile.GFile(task.result_path) as file:
        facts = json.loads(file.read())
    statistics = facts["statistics"]
    if statistics:
        statistics = Statistics(**{key: _tuple_of(value) for key, value in statistics.items()})
    return ShardResult(
        stamp=facts["stamp"],
        shard=Shard(**{key: _tuple_of(value) for key, value in facts["shard"].items()}),
        statistics=statistics,
        reported=tuple(map(tuple, facts["reported"])),
        notices=tuple(map(tuple, facts["notices"])),
    )


def build_manifest(
    spec: str,
    split: str | None,
    settings: RecordSettings,
    source: Source,
    results: list[ShardResult],
) -> Manifest:
    """Return the manifest of a folder.

    Args:
        spec: Spec of the source.
        split: Its split.
        settings: How the examples became records.
        source: The source.
        results: Results of the shards in order.

    Raises:
        DataError: None of the examples could be used.
    """
    reported = [entry for result in results for entry in result.reported]
    written = [result for result in results if result.statistics is not None]
    statistics = [result.statistics for result in results if result.statistics is not None]
    if not written:
        raise DataError(f"{spec}: none of {len(source)} pictures can be used; {reported[0]}")
    return Manifest(
        source=spec,
        split=split,
        settings=settings.to_json(),
        read=len(source) + len(source.ignored),
        reported=(*reported, *source.ignored),
        notices=tuple(entry for result in results for entry in result.notices),
        statistics=Statistics.combine(statistics),
        shards=tuple(result.shard for result in written),
    )


def remove_leftovers(folder: str, stem: str, keep: set[str]) -> None:
    """Remove shards of earlier runs and the temporary files of killed runs.

    Args:
        folder: Folder of the shards; other files in it are not touched.
        stem: Start of the names of the shards.
        keep: Names of the shards that stay.
    """
    kept = keep | {os.path.splitext(name)[0] + ".json" for name in keep}
    pattern = re.compile(re.escape(stem) + r"-\d{5}-of-\d{5}\.(json|tfrecord)(\.\w+\.tmp)?")
    for name in tf.io.gfile.listdir(folder):
        if pattern.fullmatch(name) and name not in kept:
            tf.io.gfile.remove(os.path.join(folder, name))


def write_text(path: str, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        DataError: The file cannot be written.
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


def _stamp(task: ShardTask, source: Source, settings: RecordSettings) -> str:
    digest = hashlib.sha256(json.dumps(settings.to_json()).encode())
    for index in range(task.first, task.last):
        digest.update(f"\n{source.stamp(index)}".encode())
    return digest.hexdigest()


def _finished_result(task: ShardTask, stamp: str) -> ShardResult | None:
    """Return the result of an earlier run if its shard is whole and up to date."""
    if not (tf.io.gfile.exists(task.path) and tf.io.gfile.exists(task.result_path)):
        return None
    result = load_result(task)
    whole = result.stamp == stamp and result.shard.sha256 == file_sha256(task.path)
    return result if whole else None


def _tuple_of(value):
    """Return a list as a tuple and anything else unchanged."""
    return tuple(value) if isinstance(value, list) else value


def _write(
    task: ShardTask,
    temporary: str,
    stamp: str,
    source: Source,
    settings: RecordSettings,
    labeller: Labeller | None,
) -> ShardResult:
    reported, notices, sizes, counts, offsets, end = [], [], [], [], [], 0
    with tf.io.TFRecordWriter(temporary) as writer:
        for index in range(task.first, task.last):
            location = source.location(index)
            try:
                example = _read_example(source, index, settings, labeller)
            except DataError as error:
                reported.append((location, str(error).removeprefix(f"{location}: ")))
                continue
            image, label_map = example["image"], example.get("label_map")
            if (image == image[..., :1]).all():
                notices.append((location, "is grey; has three equal channels"))
            notices += [(location, notice) for notice in source.notices(index)]
            file = source.image_file(index) if settings.encoding == "file" else None
            record = encode_record(example, settings.encoding, file)
            writer.write(record)
            offsets.append(end)
            end += len(record) + RECORD_OVERHEAD
            sizes.append(image.shape[:2])
            if label_map is not None:
                counts.append(label_counts(label_map))
    shard = Shard(task.file, end, file_sha256(temporary), tuple(offsets))
    tf.io.gfile.rename(temporary, task.path, overwrite=True)
    statistics = Statistics.from_pictures(sizes, counts)
    return ShardResult(stamp, shard, statistics, tuple(reported), tuple(notices))


def _read_example(
    source: Source, index: int, settings: RecordSettings, labeller: Labeller | None
) -> dict[str, np.ndarray]:
    with clear_errors():
        example = source.read(tf.constant(index, tf.int64))
    name = example.pop("name")
    if settings.size:
        example = _resizer(settings.size)(example)
    kept = {"image", "label_map"} | ({"compact", "quality"} if settings.compact else set())
    found = {key: value.numpy() for key, value in example.items() if key in kept}
    found["name"] = name.numpy()
    if labeller:
        found["label_map"] = labeller(found["image"])
    return found


@functools.cache
def _resizer(size: int):
    return tf.function(lambda e: transforms.resize(e, size), reduce_retracing=True)
