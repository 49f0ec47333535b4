"""Folders of pictures, with annotations in the layout of ADEChallengeData2016 or without."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from data.errors import DataError
from data.sources.base import Example, python_example, split_error
from data.sources.cache import PictureCache
from data.sources.decode import decode_image, decode_label_map

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
"""Extensions of the pictures of a data set, in lower case."""


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """Picture files and their annotations.

    Attributes:
        images: Paths of the pictures, sorted by name.
        annotations: Paths of their annotations in the same order; `None` without labels.
        ignored: Path and reason for every other file in the folders.
        cache: Keeps decoded pictures and label maps; `None` for no cache.
    """

    images: tuple[str, ...]
    annotations: tuple[str, ...] | None
    ignored: tuple[tuple[str, str], ...] = ()
    cache: PictureCache | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labelled(self) -> bool:
        """Whether examples have a label map."""
        return self.annotations is not None

    def name(self, index: int) -> str:
        """Return the name of the picture's file without extension."""
        return _stem(self.images[index])

    def location(self, index: int) -> str:
        """Return the path of the picture."""
        return self.images[index]

    def stamp(self, index: int) -> str:
        """Return paths, lengths and times of change of the example's files."""
        paths = (self.images[index], *(self.annotations or ())[index : index + 1])
        return ", ".join(map(self._file_stamp, paths))

    def notices(self, index: int) -> tuple[str, ...]:
        """Return nothing: what is changed in pictures shows in their samples."""
        return ()

    def image_file(self, index: int) -> bytes:
        """Return the file of the picture."""
        return read_file(self.images[index])

    def read(self, index: tf.Tensor) -> Example:
        """Read an example inside a graph.

        Args:
            index: Number of the example, int64 [].
        """
        return python_example([index], self.labelled, self._example)

    def _example(self, index: int) -> tuple[bytes, np.ndarray, np.ndarray | None]:
        path = self.images[index]
        image = self._cached(path, lambda: decode_image(read_file(path), path))
        label_map = None
        if self.annotations is not None:
            annotation, size = self.annotations[index], image.shape[:2]
            label_map = self._cached(annotation, lambda: self._label_map(index, annotation, size))
        return os.fsencode(self.name(index)), image, label_map

    def _label_map(self, index: int, path: str, size: tuple[int, int]) -> np.ndarray:
        return decode_label_map(read_file(path, "missing annotation"), path, size)

    @staticmethod
    def _file_stamp(path: str) -> str:
        try:
            facts = tf.io.gfile.stat(path)
        except tf.errors.NotFoundError:
            return f"{path} missing"
        return f"{path} {facts.length} {facts.mtime_nsec}"

    def _cached(self, path: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        return self.cache.get(path, make) if self.cache else make()


def is_annotated(root: str) -> bool:
    """Return whether a folder has the layout of ADEChallengeData2016."""
    return tf.io.gfile.isdir(os.path.join(root, "images"))


def folder_splits(root: str) -> list[str]:
    """Return the splits of a folder in the layout of ADEChallengeData2016."""
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
    """List the examples of a folder.

    Args:
        root: The folder.
        split: Sub-folder of `images` and `annotations`; `None` for a folder of pictures alone.
        labels: As `data.load` takes it.
        cache: Keeps decoded pictures and label maps.
        missing_ok: A missing annotation is an error when its example is read, not already here.

    Raises:
        DataError: There is no such folder or split, no picture in it, no label map although labels
            are asked for, or a picture without an annotation.
    """
    if not tf.io.gfile.isdir(root):
        raise DataError(f"{root}: no such folder")
    annotated = is_annotated(root)
    if labels and not annotated:
        raise DataError(
            f"{root}: has no images/ and annotations/ as ADEChallengeData2016 has, and a folder of "
            "pictures alone has no labels"
        )
    if not annotated and split is not None:
        raise DataError(f"{root}: is a folder of pictures alone and has no split {split!r}")
    folder = os.path.join(root, "images", split or "") if annotated else root
    if annotated and (split is None or not tf.io.gfile.isdir(folder)):
        raise split_error(root, split, folder_splits(root))
    names, ignored = _list_files(folder, PICTURE_SUFFIXES)
    if not names:
        raise DataError(f"{folder}: holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    annotations = None
    if annotated and split is not None and labels is not False:
        annotations, unused = _find_annotations(root, split, names, missing_ok)
        ignored += unused
    images = tuple(os.path.join(folder, name) for name in names)
    return FolderSource(images, annotations, tuple(ignored), cache)


def _list_files(folder: str, suffixes: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the sorted names that have one of the suffixes, and path and reason for the others."""
    names = sorted(tf.io.gfile.listdir(folder))
    wanted = [name for name in names if name.lower().endswith(tuple(suffixes))]
    reason = f"not read: its extension is none of {', '.join(suffixes)}"
    others = [(os.path.join(folder, n), reason) for n in sorted(set(names) - set(wanted))]
    return wanted, others


def _find_annotations(
    root: str, split: str, names: list[str], missing_ok: bool
) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Return the paths of the pictures' annotations, and path and reason for the other files."""
    folder = os.path.join(root, "annotations", split)
    if not tf.io.gfile.isdir(folder):
        raise DataError(f"{folder}: no such folder, and the pictures have no other annotations")
    stems = [_stem(name) for name in names]
    shared = [stem for stem, count in collections.Counter(stems).items() if count > 1]
    if shared:
        raise DataError(f"{folder}/{shared[0]}.png: is the annotation of two pictures")
    found, others = _list_files(folder, (".png",))
    wanted = [f"{stem}.png" for stem in stems]
    missing = [name for name in wanted if name not in set(found)]
    if missing and not missing_ok:
        raise DataError(
            f"{os.path.join(folder, missing[0])}: missing annotation "
            f"({len(missing)} of {len(names)} pictures have none)"
        )
    unused = sorted(set(found) - set(wanted))
    others += [(os.path.join(folder, name), "not read: no picture of its name") for name in unused]
    return tuple(os.path.join(folder, name) for name in wanted), others


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def read_file(path: str, missing: str = "no such file") -> bytes:
    """Read a file of a source.

    Args:
        path: The file.
        missing: What the error of a missing file says.

    Raises:
        DataError: The file is missing or cannot be read.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.NotFoundError:
        raise DataError(f"{path}: {missing}") from None
    except tf.errors.OpError as error:
        raise DataError(f"{path}: cannot be read: {error.message}") from None
