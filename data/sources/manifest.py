"""The file `manifest.json`, which describes a folder of TFRecord shards.

It is written after the last shard, so that a folder without it is not a source. The same examples
and settings give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from typing import Any

import numpy as np
import tensorflow as tf

from data.errors import DataError
from smapcomp.ade20k import CLASS_NAMES

FILE = "manifest.json"
"""Name of the file."""

FORMAT = "smapcomp records 1"
"""Name and version of the format, the first field of the file."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """A finished file of records.

    Attributes:
        file: Name of the file.
        bytes: Length of the file.
        sha256: SHA-256 of the file, hexadecimal.
        offsets: Position of each record in bytes.
    """

    file: str
    bytes: int
    sha256: str
    offsets: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Statistics of the examples in one shard or in all shards.

    Attributes:
        smallest: Lowest height and lowest width of all pictures.
        largest: Highest height and highest width of all pictures.
        pixels: Number of pixels of all pictures.
        class_pixels: Number of pixels of each label 0..150; empty without label maps.
        class_pictures: Number of pictures with each label 0..150; empty without label maps.
    """

    smallest: tuple[int, int]
    largest: tuple[int, int]
    pixels: int
    class_pixels: tuple[int, ...] = ()
    class_pictures: tuple[int, ...] = ()

    @classmethod
    def from_pictures(
        cls, sizes: list[tuple[int, int]], counts: list[np.ndarray]
    ) -> Statistics | None:
        """Return the statistics of some pictures, or `None` if there are none.

        Args:
            sizes: Height and width of each picture.
            counts: Number of pixels of each label in each picture, int [151]; empty without label
                maps.
        """
        if not sizes:
            return None
        table = np.array(counts, np.int64)
        return cls(
            smallest=(min(height for height, _ in sizes), min(width for _, width in sizes)),
            largest=(max(height for height, _ in sizes), max(width for _, width in sizes)),
            pixels=sum(height * width for height, width in sizes),
            class_pixels=tuple(table.sum(0).tolist()) if counts else (),
            class_pictures=tuple((table > 0).sum(0).tolist()) if counts else (),
        )

    @classmethod
    def combine(cls, parts: list[Statistics]) -> Statistics:
        """Return the statistics of the examples of several shards (one or more)."""
        return cls(
            smallest=(min(p.smallest[0] for p in parts), min(p.smallest[1] for p in parts)),
            largest=(max(p.largest[0] for p in parts), max(p.largest[1] for p in parts)),
            pixels=sum(p.pixels for p in parts),
            class_pixels=_column_sums([p.class_pixels for p in parts]),
            class_pictures=_column_sums([p.class_pictures for p in parts]),
        )


def _column_sums(rows: list[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Description of a folder of shards.

    Attributes:
        source: Spec of the source that the examples were read from.
        split: Its split, or `None`.
        settings: How the examples were prepared, as `RecordSettings` of `preparation.shards`:
            `size` (`None` for the pictures' own sizes), `encoding` ("raw" or "file"), `labels`
            ("annotations", "none" or the name of the segmenter that made them) and, if there are
            compact images, `compact` with the fields of `CompactCodingSettings`.
        read: Number of examples and other files in the source; each is in a shard or in `reported`.
        reported: Location and reason for everything that was left out.
        notices: Location and reason for everything that was changed, such as grey pictures.
        statistics: Statistics of the written examples.
        shards: The shards in order.
    """

    source: str
    split: str | None
    settings: dict[str, Any]
    read: int
    reported: tuple[tuple[str, str], ...]
    notices: tuple[tuple[str, str], ...]
    statistics: Statistics
    shards: tuple[Shard, ...]

    @property
    def written(self) -> int:
        """Number of examples in the shards."""
        return sum(len(shard.offsets) for shard in self.shards)

    @property
    def labelled(self) -> bool:
        """Whether examples have a label map."""
        return self.settings["labels"] != "none"

    def dumps(self) -> str:
        """Return the text of the file: JSON with one line for each shard and each report."""
        labels = zip(
            CLASS_NAMES,
            self.statistics.class_pixels,
            self.statistics.class_pictures,
            strict=False,
        )
        facts = {
            "format": FORMAT,
            "source": self.source,
            "split": self.split,
            "settings": self.settings,
            "read": self.read,
            "written": self.written,
            "reported": self.reported,
            "notices": self.notices,
            "smallest": self.statistics.smallest,
            "largest": self.statistics.largest,
            "pixels": self.statistics.pixels,
            "classes": [
                {"label": i, "name": name, "pixels": pixels, "pictures": pictures}
                for i, (name, pixels, pictures) in enumerate(labels)
            ],
            "shards": [dataclasses.asdict(shard) for shard in self.shards],
        }
        return _json_lines(facts)


def _json_lines(facts: dict) -> str:
    """Return JSON with one line for each field and for each entry of a list of lists or objects."""
    fields = []
    for key, value in facts.items():
        text = json.dumps(value)
        if isinstance(value, list | tuple) and value and not isinstance(value[0], int):
            text = "[\n  " + ",\n  ".join(json.dumps(entry) for entry in value) + "\n ]"
        fields.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(fields) + "\n}\n"


def has_manifest(folder: str) -> bool:
    """Return whether a folder holds finished records."""
    return tf.io.gfile.exists(os.path.join(folder, FILE))


def load_manifest(folder: str) -> Manifest:
    """Read the manifest of a folder.

    Raises:
        DataError: There is none, or the file is not a manifest of this format.
    """
    path = os.path.join(folder, FILE)
    try:
        with tf.io.gfile.GFile(path) as file:
            facts = json.loads(file.read())
        if facts["format"] != FORMAT:
            raise DataError(f"{path}: format {facts['format']!r} is not {FORMAT!r}")
        classes = facts["classes"]
        return Manifest(
            source=facts["source"],
            split=facts["split"],
            settings=facts["settings"],
            read=facts["read"],
            reported=tuple(tuple(entry) for entry in facts["reported"]),
            notices=tuple(tuple(entry) for entry in facts["notices"]),
            statistics=Statistics(
                smallest=tuple(facts["smallest"]),
                largest=tuple(facts["largest"]),
                pixels=facts["pixels"],
                class_pixels=tuple(entry["pixels"] for entry in classes),
                class_pictures=tuple(entry["pictures"] for entry in classes),
            ),
            shards=tuple(
                Shard(**{**entry, "offsets": tuple(entry["offsets"])}) for entry in facts["shards"]
            ),
        )
    except tf.errors.OpError as error:
        raise DataError(f"{path}: cannot be read: {error.message}") from None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is not a manifest of data.prepare ({error!r})") from None


def file_sha256(path: str) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with tf.io.gfile.GFile(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
