"""What a folder of TFRecord shards says of itself: `manifest.json`.

It is written when all shards are there, so that a folder without it is no source. The same
examples and settings give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os

import numpy as np
import tensorflow as tf

from data.errors import DataError
from smapcomp.ade20k import CLASS_NAMES

FILE = "manifest.json"
FORMAT = "smapcomp records 1"


@dataclasses.dataclass(frozen=True)
class Shard:
    """A finished file of records.

    Attributes:
      file: its name.
      bytes, sha256: of the file.
      offsets: where each record begins.
    """

    file: str
    bytes: int
    sha256: str
    offsets: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Of the examples in one shard or in all.

    Attributes:
      smallest, largest: lowest and highest height and width, each over all pictures.
      pixels: of all pictures.
      class_pixels: how many pixels each label 0..150 has; empty without label maps.
      class_pictures: in how many pictures each label occurs; empty without label maps.
    """

    smallest: tuple[int, int]
    largest: tuple[int, int]
    pixels: int
    class_pixels: tuple[int, ...] = ()
    class_pictures: tuple[int, ...] = ()

    @classmethod
    def of(cls, sizes: list[tuple[int, int]], counts: list[np.ndarray]) -> Statistics | None:
        """Of pictures of these (height, width), and how many pixels each label has in each."""
        if not sizes:
            return None
        table = np.array(counts, np.int64)
        return cls(
            smallest=tuple(int(n) for n in np.min(sizes, axis=0)),
            largest=tuple(int(n) for n in np.max(sizes, axis=0)),
            pixels=sum(height * width for height, width in sizes),
            class_pixels=tuple(table.sum(0).tolist()) if counts else (),
            class_pictures=tuple((table > 0).sum(0).tolist()) if counts else (),
        )

    @classmethod
    def sum(cls, parts: list[Statistics]) -> Statistics:
        """Of all examples together."""
        return cls(
            smallest=tuple(min(p.smallest[axis] for p in parts) for axis in (0, 1)),
            largest=tuple(max(p.largest[axis] for p in parts) for axis in (0, 1)),
            pixels=sum(p.pixels for p in parts),
            class_pixels=_added([p.class_pixels for p in parts]),
            class_pictures=_added([p.class_pictures for p in parts]),
        )


def _added(rows: list[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A folder of shards.

    Attributes:
      source, split: what the examples were read from.
      settings: how they were prepared: `size` (None: as they are), `encoding` ("raw" or "file"),
        `labels` ("annotations", "none", or which segmenter made them); `compact`, of
        `compact.CompactSettings`, where there are compact images.
      read: examples in the source; each is either in a shard or in `reported`.
      reported: (what, reason) for what was left out.
      notices: (what, reason) for what was changed, such as grey pictures.
      statistics: of the examples written.
      shards: in their order.
    """

    source: str
    split: str | None
    settings: dict[str, object]
    read: int
    reported: tuple[tuple[str, str], ...]
    notices: tuple[tuple[str, str], ...]
    statistics: Statistics
    shards: tuple[Shard, ...]

    @property
    def written(self) -> int:
        """Examples in the shards."""
        return sum(len(shard.offsets) for shard in self.shards)

    @property
    def labelled(self) -> bool:
        """Whether they carry label maps."""
        return self.settings["labels"] != "none"

    def dumps(self) -> str:
        """The file's text: JSON, a line for each shard and each report."""
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
    """JSON with one line for each field, and for each entry of a list of lists or objects."""
    fields = []
    for key, value in facts.items():
        text = json.dumps(value)
        if isinstance(value, list | tuple) and value and not isinstance(value[0], int):
            text = "[\n  " + ",\n  ".join(json.dumps(entry) for entry in value) + "\n ]"
        fields.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(fields) + "\n}\n"


def has_manifest(folder: str) -> bool:
    """Whether a folder holds finished records."""
    return tf.io.gfile.exists(os.path.join(folder, FILE))


def load_manifest(folder: str) -> Manifest:
    """Reads a folder's manifest.

    Raises:
      DataError: there is none, or it isn't one.
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
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with tf.io.gfile.GFile(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
