"""Job that packs a labelled folder of pictures into one array file for training with JAX.

    python -m data.pack_pictures --data=DIR --out=photos.npz

`DIR` has the layout of ADEChallengeData2016. Pictures are cropped to multiples of 8 and stored as
AVIF (quality 70, 4:4:4; about 39 dB, far above any prediction from a picture of 1/8 the side) or,
with `--files`, as the files that they are: stage lossy needs originals that are better than what it
restores. Label maps are stored at full size for the papers' networks; the lite networks read every
eighth pixel of them.

Exit status: 0 after success; 1 if a picture or a file is at fault, with the reason in one line.
"""

import glob
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from absl import app, flags
from PIL import Image

from data.batches.array_files import GRID, file_arrays, stack_padded, write_arrays
from smapcomp.errors import SmapcompError
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments

FLAGS = flags.FLAGS

MAX_SIDE = 512
"""Longest side in pixels. The accelerator's memory holds all pictures in one array of the size of
the largest."""


def picture_paths(folder: str, split: str) -> list[str]:
    """Return the JPEG pictures of a split of the folder of --data, sorted by name.

    Raises:
        SmapcompError: There is none.
    """
    paths = sorted(glob.glob(os.path.join(folder, "images", split, "*.jpg")))
    if not paths:
        raise SmapcompError(f"--data={folder}: no images/{split}/*.jpg")
    return paths


def _encode(path: str, keep_file: bool) -> tuple[bytes, np.ndarray]:
    """Return the file to store and the label map of a picture."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    width, height = (side // GRID * GRID for side in picture.size)
    if max(width, height) > MAX_SIDE:
        raise SmapcompError(
            f"{path}: is {picture.width}x{picture.height}; sides must be at most {MAX_SIDE}"
        )
    if keep_file:
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
            raise SmapcompError(
                f"{annotation}: labels are {labels.width}x{labels.height}, the picture is "
                f"{picture.width}x{picture.height}"
            )
        return data, np.asarray(labels, np.uint8)[:height, :width]


def pack(folder: str, out: str, keep_files: bool = False) -> None:
    """Write the array file of a folder.

    Args:
        folder: The folder.
        out: The array file.
        keep_files: Whether pictures are stored as the files that they are, not as AVIF.

    Raises:
        SmapcompError: A split has no pictures, a picture is too large, or a label map has another
            size than its picture.
    """
    arrays: dict[str, np.ndarray] = {}
    for split in ("training", "validation"):
        paths = picture_paths(folder, split)
        with ThreadPoolExecutor() as pool:
            encoded = pool.map(partial(_encode, keep_file=keep_files), paths)
            files, label_maps = zip(*encoded, strict=True)
        arrays |= file_arrays(split, files)
        arrays[f"{split}_labels"] = stack_padded(label_maps)
        arrays[f"{split}_sizes"] = np.array([label_map.shape for label_map in label_maps])
    write_arrays(out, arrays)


def main(arguments: Sequence[str]) -> None:
    """Run the job."""
    refuse_arguments(arguments)
    with errors_in_one_line("pack_pictures"):
        pack(FLAGS.data, FLAGS.out, FLAGS.files)


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Define the flags of the job."""
    flags.DEFINE_string(
        "data",
        None,
        "Folder in the layout of ADEChallengeData2016.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_string("out", None, "Array file to write.", required=True, flag_values=values)
    flags.DEFINE_bool(
        "files",
        False,
        "Store the pictures' own files instead of AVIF of about 39 dB.",
        flag_values=values,
    )


if __name__ == "__main__":
    define_flags()
    app.run(main)
