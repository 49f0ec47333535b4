"""Folders that are not the source that was meant, but lie inside or above it."""

from __future__ import annotations

import dataclasses
import itertools
import os

import tensorflow as tf

from data.errors import DataError
from data.sources.full_ade20k import NAME as FULL_ADE
from data.sources.full_ade20k import full_ade_splits, is_full_ade

SCENE_PARSE_URL = "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip"
"""Where SceneParse150 is to be had."""

_LEVELS_ABOVE = 6
"""Folders between the root of a data set and its pictures: `images/ADE/SPLIT` and three scenes."""

_LEVELS_BELOW = 2
"""Levels at which a data set is looked for in a folder: archives are often unpacked into a folder
of the same name."""

_MAX_LISTED = 200
"""Most folders at each level in which a data set is looked for."""


@dataclasses.dataclass(frozen=True)
class DataSetAround:
    """A data set inside which a folder lies.

    Attributes:
        root: Folder of the data set.
        split: Split of which the folder is a part; `None` if it is above the splits.
        pictures_alone: Whether the folder may be read as pictures without labels: one of `images`,
            and none of the full ADE20K, where annotations lie among the pictures.
    """

    root: str
    split: str | None
    pictures_alone: bool

    @property
    def source(self) -> str:
        """Folder and split in words."""
        return self.root + (f" with the split {self.split!r}" if self.split else "")


def data_set_around(folder: str) -> DataSetAround | None:
    """Return the data set inside which a folder lies.

    Args:
        folder: A folder that may lie below `images` or `annotations` of a data set.

    Returns:
        The data set, or `None` if there is none.
    """
    is_local = "://" not in folder
    path = os.path.abspath(folder) if is_local else folder.rstrip("/")
    parts: list[str] = []
    for _ in range(_LEVELS_ABOVE):
        path, name = os.path.split(path)
        if not name:
            return None
        parts.insert(0, name)
        if name not in ("images", "annotations"):
            continue
        root = _as_given(path, folder) if is_local else path
        if name == "images" and is_full_ade(path):
            split = parts[2] if parts[1:2] == ["ADE"] and len(parts) > 2 else None
            return DataSetAround(root, split if split in full_ade_splits(path) else None, False)
        if _is_challenge(path):
            return DataSetAround(root, parts[1] if len(parts) > 1 else None, name == "images")
    return None


def data_set_below(folder: str) -> str | None:
    """Return the first data set at most two levels below a folder, or `None`."""
    level = [folder]
    for _ in range(_LEVELS_BELOW):
        level = list(itertools.islice(_sub_folders(level), _MAX_LISTED))
        for path in level:
            if is_full_ade(path) or _is_challenge(path):
                return path
    return None


def layout_error(folder: str) -> DataError | None:
    """Return the error of a folder that cannot be opened, if it is known what was meant."""
    if not tf.io.gfile.isdir(folder):
        return None
    if tf.io.gfile.isdir(os.path.join(folder, "images")):
        if _is_release_of_2016(folder):
            return DataError(
                f"{folder}: is the full ADE20K of 2016, which is not read; allowed: {FULL_ADE}, or "
                f"SceneParse150 from {SCENE_PARSE_URL}"
            )
        return None
    around = data_set_around(folder)
    if around:
        return inside_error(folder, around)
    below = data_set_below(folder)
    if below:
        return DataError(f"{folder}: is no data set, but holds one; the source is {below}")
    return None


def inside_error(folder: str, around: DataSetAround) -> DataError:
    """Return the error of a folder inside a data set, which names the data set."""
    return DataError(f"{folder}: lies inside a data set; the source is {around.source}")


def _is_challenge(root: str) -> bool:
    folders = (os.path.join(root, name) for name in ("images", "annotations"))
    return all(tf.io.gfile.isdir(folder) for folder in folders)


def _is_release_of_2016(root: str) -> bool:
    """Return whether a folder has pictures in `images/SPLIT/LETTER/SCENE`, but no annotations/."""
    training = os.path.join(root, "images", "training")
    if not tf.io.gfile.isdir(training) or _is_challenge(root):
        return False
    letters = list(itertools.islice(_sub_folders([training]), _MAX_LISTED))
    for scene in itertools.islice(_sub_folders(letters), _MAX_LISTED):
        if any(name.endswith("_seg.png") for name in tf.io.gfile.listdir(scene)):
            return True
    return False


def _sub_folders(folders: list[str]):
    for folder in folders:
        try:
            names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(folder))
        except tf.errors.OpError:  # not ours to read
            continue
        for name in names:
            path = os.path.join(folder, name)
            if not name.startswith(".") and "." not in name[-5:] and tf.io.gfile.isdir(path):
                yield path


def _as_given(path: str, folder: str) -> str:
    """Return an absolute path as a relative one if the folder was given as a relative one."""
    return path if os.path.isabs(folder) else os.path.relpath(path)
