"""Pictures in a folder, with annotations in ADEChallengeData2016's layout or without.

Files are decoded by Pillow, which names what is wrong with them.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from data.cache import PictureCache, Reader
from data.errors import DataError

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png")
MAX_LABEL = 150


@dataclasses.dataclass(frozen=True)
class Files:
    """Paths of the pictures and, in the same order, of their annotations (None without labels).

    What is read of them stays in `cache`, if there is one.
    """

    images: tuple[str, ...]
    annotations: tuple[str, ...] | None
    cache: PictureCache | None = None

    def read(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """The example number `index` (int64 []), as `data.load` describes it; in-graph."""
        image_path = tf.gather(tf.constant(self.images), index)
        image = tf.numpy_function(self._reader(_read_image), [image_path], tf.uint8)
        name = tf.strings.regex_replace(image_path, r"^.*/|\.[^./]*$", "")
        example = {"image": tf.ensure_shape(image, [None, None, 3]), "name": name}
        if self.annotations is not None:
            path = tf.gather(tf.constant(self.annotations), index)
            read = self._reader(_read_label_map)
            label_map = tf.numpy_function(read, [path, image], tf.uint8)
            example["label_map"] = tf.ensure_shape(label_map, [None, None])
        return example

    def _reader(self, read: Reader) -> Reader:
        return self.cache.reader(read) if self.cache else read


def list_files(
    root: str, split: str | None, labels: bool, cache: PictureCache | None = None
) -> Files:
    """The pictures of a folder in the order of their names; see `data.load`."""
    root = os.fspath(root)
    if not os.path.isdir(root):
        raise DataError(f"{root}: no such folder")
    annotated = os.path.isdir(os.path.join(root, "images"))
    if labels and not annotated:
        raise DataError(
            f"{root}: has no images/ and annotations/ as ADEChallengeData2016 has; "
            "a folder that simply holds pictures gives none with labels"
        )
    if annotated and split is None:
        raise DataError(f"{root}: choose a split, one of {_subfolders(root, 'images')}")
    if not annotated and split is not None:
        raise DataError(f"{root}: simply holds pictures and has no split {split!r}")
    folder = os.path.join(root, "images", split) if annotated else root
    if not os.path.isdir(folder):
        raise DataError(f"{folder}: no such split, got {_subfolders(root, 'images')}")
    names = sorted(n for n in os.listdir(folder) if n.lower().endswith(PICTURE_ENDINGS))
    if not names:
        raise DataError(f"{folder}: holds no picture ({', '.join(PICTURE_ENDINGS)})")
    images = tuple(os.path.join(folder, name) for name in names)
    return Files(images, _annotations(root, split, names) if labels else None, cache)


def _subfolders(*path: str) -> list[str]:
    folder = os.path.join(*path)
    return sorted(n for n in os.listdir(folder) if os.path.isdir(os.path.join(folder, n)))


def _annotations(root: str, split: str, names: list[str]) -> tuple[str, ...]:
    folder = os.path.join(root, "annotations", split)
    if not os.path.isdir(folder):
        raise DataError(f"{folder}: no such folder, and pictures without annotations")
    there = set(os.listdir(folder))
    wanted = [os.path.splitext(name)[0] + ".png" for name in names]
    missing = [name for name in wanted if name not in there]
    if missing:
        raise DataError(
            f"{os.path.join(folder, missing[0])}: missing annotation "
            f"({len(missing)} of {len(names)} pictures have none)"
        )
    return tuple(os.path.join(folder, name) for name in wanted)


def _open(path: str) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
    except UnidentifiedImageError:
        raise DataError(f"{path}: cannot be read as a picture: of no known format") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error).replace("\n", " ")
        raise DataError(f"{path}: cannot be read as a picture: {reason}") from None
    return image


def _read_image(path: bytes) -> np.ndarray:
    """uint8 [H, W, 3]; grey pictures get three equal channels, transparency is dropped."""
    path = os.fsdecode(path)
    image = _open(path)
    if image.mode.startswith(("I", "F")):
        # Pillow clips these to 0..255 instead of scaling them.
        raise DataError(f"{path}: has more than 8 bits a sample ({image.mode})")
    return np.asarray(image.convert("RGB"))


def _read_label_map(path: bytes, image: np.ndarray) -> np.ndarray:
    """uint8 [H, W] with 0..150, of the size of `image`, uint8 [H, W, 3]."""
    path = os.fsdecode(path)
    label_map = _open(path)
    if label_map.mode != "L":
        # Two of ADE20K's colours are equal, so colours don't tell the labels (SPEC section 6).
        raise DataError(f"{path}: labels must be an 8-bit grey PNG, got mode {label_map.mode}")
    label_map = np.asarray(label_map)
    if label_map.shape != image.shape[:2]:
        (label_h, label_w), (h, w) = label_map.shape, image.shape[:2]
        raise DataError(f"{path}: labels are {label_w}x{label_h}, the picture is {w}x{h}")
    if label_map.max() > MAX_LABEL:
        raise DataError(f"{path}: has label {label_map.max()}, allowed are 0..{MAX_LABEL}")
    return label_map
