"""Packs a labelled folder of pictures into one array file for `experiments.train_jax`.

    python -m data.pack_pictures --data=DIR --out=photos.npz

`DIR` has ADEChallengeData2016's layout. Pictures are cropped to multiples of 8 and stored as
AVIF (quality 70, 4:4:4: about 39 dB, far above any prediction from a 1/8 picture) or, with
`--files`, as the files themselves: stage lossy needs originals better than what it restores. Label
maps are stored in full size, which the papers' networks read; the lite ones read every eighth pixel
of it.
"""

import glob
import io
import os
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from absl import app, flags
from PIL import Image

from smapcomp.errors import SmapcompError

FLAGS = flags.FLAGS

SIDE = 512
"""Most pixels on a side: all pictures lie in one array in the accelerator's memory."""

GRID = 8


def load_pack(path: str, split: str) -> dict[str, np.ndarray]:
    """Reads one split of an array file.

    Args:
        path: What `main` wrote.
        split: "training" or "validation".

    Returns:
        `image` uint8 [n, H, W, 3] with the greatest height and width of all, smaller pictures
        filled up with zeros; `labels` uint8 [n, H, W], filled up with void; `sizes` int32 [n, 2],
        height and width.

    Raises:
        SmapcompError: The file is none of this module's.
        FileNotFoundError: There is no such file.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as pack:
            blob, lengths = pack[f"{split}_blob"], pack[f"{split}_lengths"]
            labels, sizes = pack[f"{split}_labels"], pack[f"{split}_sizes"].astype(np.int32)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SmapcompError(f"{path}: no file of data.pack_pictures: {error}") from None
    height, width = map(int, sizes.max(axis=0))
    if labels.shape != (len(sizes), height, width):
        raise SmapcompError(
            f"{path}: {split} labels have shape {labels.shape}, not {(len(sizes), height, width)}; "
            "pack the pictures again"
        )
    images = np.zeros((*labels.shape, 3), np.uint8)

    def take(i: int, picture: np.ndarray) -> None:
        rows, columns = sizes[i]
        # A file that is kept as it is may be larger than the multiples of GRID.
        images[i, :rows, :columns] = picture[:rows, :columns]

    decode_files(blob, lengths, take)
    return {"image": images, "labels": labels, "sizes": sizes}


def decode_files(
    blob: np.ndarray, lengths: np.ndarray, take: Callable[[int, np.ndarray], None]
) -> None:
    """Decodes picture files that lie end to end.

    Args:
        blob: uint8, the files.
        lengths: Of each, in bytes.
        take: Gets each file's number and its picture, uint8 [h, w, 3]; from several threads.
    """
    ends = np.cumsum(lengths)

    def decode(i: int) -> None:
        data = blob[ends[i] - lengths[i] : ends[i]].tobytes()
        with Image.open(io.BytesIO(data)) as picture:
            take(i, np.asarray(picture.convert("RGB")))

    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, range(len(ends))))


def picture_paths(data: str, split: str) -> list[str]:
    """The pictures of a split of a folder, by name.

    Raises:
        SmapcompError: There is none.
    """
    paths = sorted(glob.glob(os.path.join(data, "images", split, "*.jpg")))
    if not paths:
        raise SmapcompError(f"--data={data}: no images/{split}/*.jpg")
    return paths


def _encode(path: str, files: bool) -> tuple[bytes, np.ndarray]:
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
    width, height = (side // GRID * GRID for side in picture.size)
    if max(width, height) > SIDE:
        raise SmapcompError(f"{path}: {picture.size}; sides are at most {SIDE} pixels")
    if files:
        with open(path, "rb") as file:
            data = file.read()
    else:
        buffer = io.BytesIO()
        picture.crop((0, 0, width, height)).save(
            buffer, "AVIF", quality=70, speed=8, subsampling="4:4:4", max_threads=1
        )
        data = buffer.getvalue()
    annotation = path.replace("/images/", "/annotations/").rsplit(".", 1)[0] + ".png"
    with Image.open(annotation) as labels:
        if labels.size != picture.size:
            raise SmapcompError(f"{annotation}: {labels.size}, but its picture {picture.size}")
        return data, np.asarray(labels, np.uint8)[:height, :width]


def stacked(labels: Sequence[np.ndarray]) -> np.ndarray:
    """Label maps in one array of the greatest height and width, filled up with void."""
    sizes = np.array([label.shape for label in labels])
    stack = np.zeros((len(labels), *sizes.max(axis=0)), np.uint8)
    for target, source in zip(stack, labels, strict=True):
        target[: source.shape[0], : source.shape[1]] = source
    return stack


def pack(data: str, out: str, files: bool = False) -> None:
    """Writes the array file, under a temporary name first.

    Args:
        data: The folder.
        out: The array file.
        files: Whether pictures are kept as the files that they are.

    Raises:
        SmapcompError: A split has no pictures, a picture is too large, labels don't fit theirs.
    """
    arrays = {}
    for split in ("training", "validation"):
        paths = picture_paths(data, split)
        with ThreadPoolExecutor() as pool:
            blobs, labels = zip(*pool.map(partial(_encode, files=files), paths), strict=True)
        sizes = np.array([label.shape for label in labels])
        arrays[f"{split}_blob"] = np.frombuffer(b"".join(blobs), np.uint8)
        arrays[f"{split}_lengths"] = np.array([len(blob) for blob in blobs])
        arrays[f"{split}_labels"] = stacked(labels)
        arrays[f"{split}_sizes"] = sizes
    write_pack(out, arrays)


def write_pack(out: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays to a compressed `.npz`, whole or not at all."""
    temporary = f"{out}.tmp"
    try:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(temporary, out)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def main(arguments: Sequence[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    try:
        pack(FLAGS.data, FLAGS.out, FLAGS.files)
    except (SmapcompError, OSError) as error:
        print(f"pack_pictures: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    flags.DEFINE_string("data", None, "Folder in ADEChallengeData2016's layout.", required=True)
    flags.DEFINE_string("out", None, "The .npz file to write.", required=True)
    flags.DEFINE_bool("files", False, "Keep the files themselves, not AVIFs of about 39 dB.")
    app.run(main)
