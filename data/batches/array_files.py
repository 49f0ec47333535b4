"""Array files: `.npz` files with all pictures of a data set, for training with JAX.

`data.pack_pictures` writes pictures and label maps, `data.pack_coded` their coded compact images.
Pictures are stored as JPEG, PNG or AVIF files, one after the other in one array, and decoded by
Pillow, so that reading needs neither TensorFlow nor the coders of the codec.
"""

import io
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from smapcomp.design import COMPNET_SCALE
from smapcomp.errors import SmapcompError

GRID = COMPNET_SCALE
"""Side of a cell of the label grid in pixels, and number that the sides of stored label maps are
multiples of."""


def load_pictures(path: str, split: str) -> dict[str, np.ndarray]:
    """Read one split of an array file of `data.pack_pictures`.

    Args:
        path: The array file.
        split: "training" or "validation".

    Returns:
        `image` uint8 [n, H, W, 3] with the highest height and width of all pictures, smaller ones
        padded with zeros; `labels` uint8 [n, H, W] of 0..150, padded with void; `sizes` int32
        [n, 2], height and width of each picture.

    Raises:
        SmapcompError: The file was not written by `data.pack_pictures`.
        FileNotFoundError: There is no such file.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            blob, lengths = arrays[f"{split}_blob"], arrays[f"{split}_lengths"]
            labels, sizes = arrays[f"{split}_labels"], arrays[f"{split}_sizes"].astype(np.int32)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SmapcompError(f"{path}: is not a file of data.pack_pictures: {error}") from None
    height, width = map(int, sizes.max(axis=0))
    if labels.shape != (len(sizes), height, width):
        raise SmapcompError(
            f"{path}: {split} labels have shape {labels.shape}, not {(len(sizes), height, width)}; "
            "pack the pictures again"
        )
    images = np.zeros((*labels.shape, 3), np.uint8)

    def store(i: int, picture: np.ndarray) -> None:
        rows, columns = sizes[i]
        # A picture that was stored as its own file may exceed the multiples of GRID.
        images[i, :rows, :columns] = picture[:rows, :columns]

    _decode_files(blob, lengths, store)
    return {"image": images, "labels": labels, "sizes": sizes}


def load_coded(path: str, split: str) -> dict[str, Any]:
    """Read one split of an array file of `data.pack_coded`.

    Args:
        path: The array file.
        split: "training" or "validation".

    Returns:
        `coded`, a list with one uint8 [n, H/scale, W/scale, 3] for each pass, smaller pictures
        padded with zeros; `qualities` int32 [passes, n] of 0..100; `labels` uint8 [n, H/8, W/8] of
        1..150, padded with void; `sizes` int32 [n, 2], height and width of each picture.

    Raises:
        SmapcompError: The file was not written by `data.pack_coded`.
        FileNotFoundError: There is no such file.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            scale, blob = int(arrays["scale"]), arrays[f"{split}_blob"]
            lengths, qualities = arrays[f"{split}_lengths"], arrays[f"{split}_qualities"]
            labels, sizes = arrays[f"{split}_labels"], arrays[f"{split}_sizes"].astype(np.int32)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SmapcompError(f"{path}: is not a file of data.pack_coded: {error}") from None
    height, width = sizes.max(axis=0) // scale
    coded = [np.zeros((len(sizes), height, width, 3), np.uint8) for _ in qualities]

    def store(position: int, picture: np.ndarray) -> None:
        number, i = divmod(position, len(sizes))
        rows, columns = sizes[i] // scale
        coded[number][i, :rows, :columns] = picture

    _decode_files(blob, lengths, store)
    qualities = qualities.astype(np.int32)
    return {"coded": coded, "qualities": qualities, "labels": labels, "sizes": sizes}


def _decode_files(
    blob: np.ndarray, lengths: np.ndarray, store: Callable[[int, np.ndarray], None]
) -> None:
    """Decode picture files that lie one after the other.

    Args:
        blob: The files, uint8.
        lengths: Length of each file in bytes.
        store: Receives the number of each file and its picture, uint8 [h, w, 3]; it is called from
            several threads.
    """
    ends = np.cumsum(lengths)

    def decode(i: int) -> None:
        data = blob[ends[i] - lengths[i] : ends[i]].tobytes()
        with Image.open(io.BytesIO(data)) as picture:
            store(i, np.asarray(picture.convert("RGB")))

    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, range(len(ends))))


def file_arrays(split: str, files: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Return the arrays of a split that hold picture files.

    Args:
        split: "training" or "validation".
        files: The files.
    """
    return {
        f"{split}_blob": np.frombuffer(b"".join(files), np.uint8),
        f"{split}_lengths": np.array([len(file) for file in files]),
    }


def stack_padded(label_maps: Sequence[np.ndarray]) -> np.ndarray:
    """Return label maps in one array of the highest height and width, padded with void."""
    sizes = np.array([label_map.shape for label_map in label_maps])
    stack = np.zeros((len(label_maps), *sizes.max(axis=0)), np.uint8)
    for target, source in zip(stack, label_maps, strict=True):
        target[: source.shape[0], : source.shape[1]] = source
    return stack


def write_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a compressed `.npz` file, whole or not at all."""
    temporary = f"{path}.tmp"
    try:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **dict[str, Any](arrays))
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
