"""Pictures in a folder, with annotations in ADEChallengeData2016's layout or without."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from data.errors import DataError
from data.sources.base import Example, python_example
from data.sources.cache import PictureCache
from data.sources.decode import decode_image, decode_label_map

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """Files of pictures and of their annotations.

    Attributes:
      images: paths of the pictures, in the order of their names.
      annotations: those of their annotations in the same order; None without labels.
      ignored: path and reason for everything else in the folders.
      cache: keeps what has been read, if there is one.
    """

    images: tuple[str, ...]
    annotations: tuple[str, ...] | None
    ignored: tuple[tuple[str, str], ...] = ()
    cache: PictureCache | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labelled(self) -> bool:
        """Whether examples carry a label map."""
        return self.annotations is not None

    def name(self, index: int) -> str:
        """The file's name without its ending."""
        return _stem(self.images[index])

    def where(self, index: int) -> str:
        """What a report calls an example: the picture's path."""
        return self.images[index]

    def stamp(self, index: int) -> str:
        """A text that changes when an example's files do."""
        parts = []
        for path in (self.images[index], *(self.annotations or ())[index : index + 1]):
            try:
                facts = tf.io.gfile.stat(path)
                parts.append(f"{path} {facts.length} {facts.mtime_nsec}")
            except tf.errors.NotFoundError:
                parts.append(f"{path} missing")
        return ", ".join(parts)

    def image_file(self, index: int) -> bytes:
        """The picture's file as it is."""
        return _read(self.images[index])

    def read(self, index: tf.Tensor) -> Example:
        """The example of a number, int64 [], as `data.load` describes it; in-graph."""
        return python_example([index], self.labelled, self._example)

    def _example(self, index: int) -> tuple[bytes, np.ndarray, np.ndarray | None]:
        path = self.images[index]
        image = self._kept(path, lambda: decode_image(_read(path), path))
        label_map = None
        if self.annotations is not None:
            annotation = self.annotations[index]
            label_map = self._kept(annotation, lambda: _read_labels(annotation, image.shape[:2]))
        return os.fsencode(self.name(index)), image, label_map

    def _kept(self, path: str, make) -> np.ndarray:
        return self.cache.get(path, make) if self.cache else make()


def has_images(root: str) -> bool:
    """Whether a folder is in ADEChallengeData2016's layout."""
    return tf.io.gfile.isdir(os.path.join(root, "images"))


def splits(root: str) -> list[str]:
    """The splits of a folder in ADEChallengeData2016's layout."""
    folder = os.path.join(root, "images")
    names = (name.rstrip("/") for name in tf.io.gfile.listdir(folder))
    return sorted(n for n in names if tf.io.gfile.isdir(os.path.join(folder, n)))


def open_folder(
    root: str,
    split: str | None,
    labels: bool | None,
    cache: PictureCache | None = None,
    missing_ok: bool = False,
) -> FolderSource:
    """Lists a folder; see `data.load`.

    Args:
      root: the folder.
      split: sub-folder of `images` and `annotations`; None for one that simply holds pictures.
      labels: as `data.load` takes it.
      cache: for what is read.
      missing_ok: a picture without annotation is an error when it is read, not now.

    Raises:
      DataError: as `data.load`.
    """
    if not tf.io.gfile.isdir(root):
        raise DataError(f"{root}: no such folder")
    annotated = has_images(root)
    if labels and not annotated:
        raise DataError(
            f"{root}: has no images/ and annotations/ as ADEChallengeData2016 has; "
            "a folder that simply holds pictures gives none with labels"
        )
    if annotated and split is None:
        raise DataError(f"{root}: choose a split, one of {splits(root)}")
    if not annotated and split is not None:
        raise DataError(f"{root}: simply holds pictures and has no split {split!r}")
    folder = os.path.join(root, "images", split) if annotated else root
    if not tf.io.gfile.isdir(folder):
        raise DataError(f"{folder}: no such split, got {splits(root)}")
    names, ignored = _listed(folder, PICTURE_ENDINGS)
    if not names:
        raise DataError(f"{folder}: holds no picture ({', '.join(PICTURE_ENDINGS)})")
    annotations = None
    if annotated and labels is not False:
        annotations, unused = _annotations(root, split, names, missing_ok)
        ignored += unused
    images = tuple(os.path.join(folder, name) for name in names)
    return FolderSource(images, annotations, tuple(ignored), cache)


def _listed(folder: str, endings: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Names with one of the endings in their order, and (path, reason) for all others."""
    names = sorted(tf.io.gfile.listdir(folder))
    wanted = [name for name in names if name.lower().endswith(tuple(endings))]
    reason = f"not read: its ending is none of {', '.join(endings)}"
    others = [(os.path.join(folder, n), reason) for n in sorted(set(names) - set(wanted))]
    return wanted, others


def _annotations(
    root: str, split: str, names: list[str], missing_ok: bool
) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Paths of the pictures' annotations, and (path, reason) for the other files beside them."""
    folder = os.path.join(root, "annotations", split)
    if not tf.io.gfile.isdir(folder):
        raise DataError(f"{folder}: no such folder, and pictures without annotations")
    stems = [_stem(name) for name in names]
    shared = [stem for stem, count in collections.Counter(stems).items() if count > 1]
    if shared:
        raise DataError(f"{folder}/{shared[0]}.png: is the annotation of two pictures")
    there, others = _listed(folder, (".png",))
    wanted = [f"{stem}.png" for stem in stems]
    missing = [name for name in wanted if name not in set(there)]
    if missing and not missing_ok:
        raise DataError(
            f"{os.path.join(folder, missing[0])}: missing annotation "
            f"({len(missing)} of {len(names)} pictures have none)"
        )
    unused = sorted(set(there) - set(wanted))
    others += [(os.path.join(folder, name), "not read: no picture of its name") for name in unused]
    return tuple(os.path.join(folder, name) for name in wanted), others


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _read_labels(path: str, size: tuple[int, int]) -> np.ndarray:
    return decode_label_map(_read(path, "missing annotation"), path, size)


def _read(path: str, missing: str = "no such file") -> bytes:
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.NotFoundError:
        raise DataError(f"{path}: {missing}") from None
    except tf.errors.OpError as error:
        raise DataError(f"{path}: cannot be read: {error.message}") from None
