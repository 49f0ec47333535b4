"""The full ADE20K distribution, release 2021_17_01, with the labels of SceneParse150.

The pictures of a split lie in a tree of scenes, `images/ADE/SPLIT/.../NAME.jpg`. Beside each lie
`NAME_seg.png`, whose colours code the class of each pixel (class index = R // 10 * 256 + G; B is
the instance), and `NAME.json`, which gives the name of each class index in the picture. The names
determine the labels (`data.sources.full_ade20k_names`). What is none of the 150 classes is void.
`index_ade20k.pkl` is not read: opening a pickle can run any code.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import threading
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from data.errors import DataError
from data.sources.base import split_error
from data.sources.cache import PictureCache
from data.sources.decode import NUM_FULL_INDICES, decode_class_indices
from data.sources.folder import FolderSource, read_file
from data.sources.full_ade20k_names import LABELS_OF_FULL_NAMES, normalised_name

NAME = "ADE20K_2021_17_01"
"""Name of the release."""

SPLITS = ("training", "validation")
"""Splits of the distribution."""

_PICTURE, _LABELS, _NAMES = ".jpg", "_seg.png", ".json"

_NAMED_IN_NOTICES = 3

_log = logging.getLogger("smapcomp")


class _VoidNames:
    """Names of classes that became void, by example, with notices as their number grows."""

    def __init__(self) -> None:
        self._of_example: dict[int, tuple[str, ...]] = {}
        self._all: set[str] = set()
        self._announced = 0
        self._lock = threading.Lock()

    def add(self, root: str, index: int, names: Iterable[str]) -> None:
        """Record the names of an example of a distribution."""
        with self._lock:
            self._of_example[index] = tuple(names)
            self._all.update(self._of_example[index])
            count = len(self._all)
            # Each change of a small number, then each doubling: the list has 3,688 names.
            is_due = count > self._announced and (count < 10 or count >= 2 * self._announced)
            self._announced = count if is_due else self._announced
        if is_due:
            _log.warning(
                "%s: %s that the pictures read so far name %s none of the 150 of SceneParse150; "
                "void, for example %s",
                root,
                "1 class" if count == 1 else f"{count} classes",
                "is" if count == 1 else "are",
                _quoted(names),
            )

    def get(self, index: int) -> tuple[str, ...]:
        """Return the names of an example; none if it was not read."""
        return self._of_example.get(index, ())


@dataclasses.dataclass(frozen=True)
class FullAdeSource(FolderSource):
    """Pictures of the full distribution; `annotations` are their `NAME_seg.png`.

    Attributes:
        root: The folder of the distribution.
    """

    root: str = ""
    _void_names: _VoidNames = dataclasses.field(
        default_factory=_VoidNames, init=False, compare=False, repr=False
    )

    def stamp(self, index: int) -> str:
        """Return paths, lengths and times of change of the example's files."""
        names = [_names_path(self.annotations[index])] if self.annotations is not None else []
        return ", ".join([super().stamp(index), *map(self._file_stamp, names)])

    def notices(self, index: int) -> tuple[str, ...]:
        """Return how many of the classes that the example has became void, once it was read."""
        names = self._void_names.get(index)
        if not names:
            return ()
        few = f"1 class that is none of the 150 is void: {_quoted(names)}"
        many = f"{len(names)} classes that are none of the 150 are void: {_quoted(names)}"
        return (few if len(names) == 1 else many,)

    def _label_map(self, index: int, path: str, size: tuple[int, int]) -> np.ndarray:
        indices = decode_class_indices(read_file(path, "missing annotation"), path, size)
        names = _class_names(_names_path(path))
        labels = np.zeros(NUM_FULL_INDICES, np.uint8)
        for class_index, name in names.items():
            labels[class_index] = LABELS_OF_FULL_NAMES.get(normalised_name(name), 0)
        present = np.flatnonzero(np.bincount(indices.ravel(), minlength=NUM_FULL_INDICES))
        void = [int(i) for i in present if i and not labels[i]]
        void_names = [names.get(i, f"index {i} without a name") for i in void]
        self._void_names.add(self.root, index, void_names)
        return labels[indices]


def is_full_ade(root: str) -> bool:
    """Return whether a folder has the layout of the full distribution."""
    return bool(full_ade_splits(root))


def full_ade_splits(root: str) -> list[str]:
    """Return the splits of the full distribution that a folder has."""
    return [s for s in SPLITS if tf.io.gfile.isdir(os.path.join(root, "images", "ADE", s))]


def open_full_ade(
    root: str,
    split: str | None,
    labels: bool | None,
    cache: PictureCache | None = None,
    missing_ok: bool = False,
) -> FullAdeSource:
    """List the examples of the full distribution, sorted by name.

    Args:
        root: Its folder.
        split: One of `SPLITS`.
        labels: As `data.load` takes it.
        cache: Keeps decoded pictures and label maps.
        missing_ok: A missing annotation is an error when its example is read, not already here.

    Raises:
        DataError: There is no such split, no picture in it, or a picture without an annotation.
    """
    allowed = full_ade_splits(root)
    if split not in allowed:
        raise split_error(root, split, allowed)
    folder = os.path.join(root, "images", "ADE", split)
    stems: list[str] = []
    found: set[str] = set()
    ignored: list[tuple[str, str]] = []
    _list_scenes(folder, stems, found, ignored)
    if not stems:
        raise DataError(f"{folder}: holds no picture ({_PICTURE})")
    stems.sort(key=lambda stem: (os.path.basename(stem), stem))
    annotations = None
    if labels is not False:
        wanted = [stem + suffix for stem in stems for suffix in (_LABELS, _NAMES)]
        missing = [path for path in wanted if path not in found]
        if missing and not missing_ok:
            raise DataError(
                f"{missing[0]}: missing annotation ({len(missing)} of {len(wanted)} files of "
                "annotations are missing)"
            )
        annotations = tuple(stem + _LABELS for stem in stems)
    images = tuple(stem + _PICTURE for stem in stems)
    return FullAdeSource(images, annotations, tuple(sorted(ignored)), cache, root)


def _list_scenes(
    folder: str, stems: list[str], found: set[str], ignored: list[tuple[str, str]]
) -> None:
    """Collect what a folder of scenes and the folders below it hold.

    Args:
        folder: The folder.
        stems: Receives the paths of the pictures without extension.
        found: Receives the paths of all other files.
        ignored: Receives path and reason for each file that belongs to no picture.
    """
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(folder)]
    here = {name.removesuffix(_PICTURE) for name in names if name.endswith(_PICTURE)}
    stems += [os.path.join(folder, stem) for stem in here]
    for name in sorted(names):
        path = os.path.join(folder, name)
        if name.endswith(_PICTURE) or name in here:  # a picture or the folder of its instances
            continue
        if _owner(name) in here:
            found.add(path)
        elif "." not in name and tf.io.gfile.isdir(path):
            _list_scenes(path, stems, found, ignored)
        else:
            ignored.append((path, "not read: no picture of its name"))


def _owner(name: str) -> str:
    """Return the name of the picture to which a file of annotations belongs."""
    stem, extension = os.path.splitext(name)
    if extension != ".png":
        return stem if extension == _NAMES else ""
    return stem.removesuffix("_seg") if stem.endswith("_seg") else stem.rpartition("_parts_")[0]


def _names_path(labels_path: str) -> str:
    return labels_path.removesuffix(_LABELS) + _NAMES


def _class_names(path: str) -> dict[int, str]:
    """Return the name of each class index in the JSON file of a picture.

    Raises:
        DataError: The file cannot be read or is not of this format.
    """
    data = read_file(path, "missing annotation")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    names: dict[int, str] = {}
    try:
        objects = json.loads(text)["annotation"]["object"]
        # The files were written by MATLAB, where a list of one element is the element.
        for entry in [objects] if isinstance(objects, dict) else objects:
            class_index, name = int(entry["name_ndx"]), str(entry["name"])
            if not 0 <= class_index < NUM_FULL_INDICES:
                raise DataError(
                    f"{path}: has class index {class_index}, allowed are 0..{NUM_FULL_INDICES - 1}"
                )
            first = names.setdefault(class_index, name)
            if normalised_name(first) != normalised_name(name):
                raise DataError(
                    f"{path}: names class index {class_index} both {first!r} and {name!r}"
                )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{path}: is no annotation of ADE20K ({reason})") from None
    return names


def _quoted(names: Iterable[str]) -> str:
    names = list(names)
    more = ", …" if len(names) > _NAMED_IN_NOTICES else ""
    return ", ".join(repr(name) for name in names[:_NAMED_IN_NOTICES]) + more
