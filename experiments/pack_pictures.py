"""Packs a labelled folder of pictures into one array file for `experiments.train_jax`.

    python -m experiments.pack_pictures --data=DIR --out=photos.npz

`DIR` has ADEChallengeData2016's layout. Pictures are cropped to multiples of 8 and stored as
AVIF (quality 70, 4:4:4: about 39 dB, far above any prediction from a 1/8 picture), labels on the
1/8 grid that the lite networks read.
"""

import glob
import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from absl import app, flags
from PIL import Image

FLAGS = flags.FLAGS

SIDE = 512
GRID = 8


def load_pack(path: str, split: str) -> dict[str, np.ndarray]:
    """Reads one split of an array file.

    Args:
        path: What `main` wrote.
        split: "training" or "validation".

    Returns:
        `image` uint8 [n, 512, 512, 3], smaller pictures filled up with zeros; `labels` uint8
        [n, 64, 64], filled up with void; `sizes` int32 [n, 2], height and width.
    """
    with np.load(path) as pack:
        ends = np.cumsum(pack[f"{split}_lengths"])
        blob = pack[f"{split}_blob"]
        labels, sizes = pack[f"{split}_labels"], pack[f"{split}_sizes"]
    images = np.zeros((len(ends), SIDE, SIDE, 3), np.uint8)

    def decode(i: int) -> None:
        data = blob[ends[i - 1] if i else 0 : ends[i]].tobytes()
        picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        images[i, : picture.shape[0], : picture.shape[1]] = picture

    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, range(len(ends))))
    return {"image": images, "labels": labels, "sizes": sizes.astype(np.int32)}


def _encode(path: str) -> tuple[bytes, np.ndarray, tuple[int, int]]:
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
    width, height = (side // GRID * GRID for side in picture.size)
    if max(width, height) > SIDE:
        raise ValueError(f"{path}: {picture.size}; sides are at most {SIDE} pixels")
    buffer = io.BytesIO()
    picture.crop((0, 0, width, height)).save(
        buffer, "AVIF", quality=70, speed=8, subsampling="4:4:4", max_threads=1
    )
    annotation = path.replace("/images/", "/annotations/").rsplit(".", 1)[0] + ".png"
    with Image.open(annotation) as labels:
        labels = np.asarray(labels)[GRID // 2 :: GRID, GRID // 2 :: GRID]
    grid = np.zeros((SIDE // GRID, SIDE // GRID), np.uint8)
    labels = labels[: height // GRID, : width // GRID]
    grid[: labels.shape[0], : labels.shape[1]] = labels
    return buffer.getvalue(), grid, (height, width)


def main(_):
    arrays = {}
    for split in ("training", "validation"):
        paths = sorted(glob.glob(os.path.join(FLAGS.data, "images", split, "*.jpg")))
        if not paths:
            raise app.UsageError(f"--data={FLAGS.data}: no images/{split}/*.jpg")
        with ThreadPoolExecutor() as pool:
            blobs, labels, sizes = zip(*pool.map(_encode, paths), strict=True)
        arrays[f"{split}_blob"] = np.frombuffer(b"".join(blobs), np.uint8)
        arrays[f"{split}_lengths"] = np.array([len(b) for b in blobs])
        arrays[f"{split}_labels"] = np.stack(labels)
        arrays[f"{split}_sizes"] = np.array(sizes)
    np.savez_compressed(FLAGS.out, **arrays)


if __name__ == "__main__":
    flags.DEFINE_string("data", None, "Folder in ADEChallengeData2016's layout.", required=True)
    flags.DEFINE_string("out", None, "The .npz file to write.", required=True)
    app.run(main)
