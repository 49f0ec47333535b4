r"""Packs what AV1 makes of pictures into one array file for stage lossy of `experiments.train_jax`.

    python -m data.pack_pictures --data=DIR --files --out=exact.npz
    python -m data.pack_coded --data=DIR --scale=1 --passes=2 --work=coded --out=coded_x1.npz
    python -m experiments.train_jax --stage=lossy --scale=1 --pictures=exact.npz \
        --coded=coded_x1.npz --workdir=RUN ...

`DIR` has ADEChallengeData2016's layout; its annotations are not read. Each picture is cut to
multiples of 16, down-sampled and coded `--passes` times as a whole, each at a random quality that
depends on its name and the pass alone. The file holds the coded pictures themselves, so that it is
small, and the label grid that the decoder finds in the first pass'.
What is coded is kept in `--work`: an interrupted run goes on where it was, and further passes
take up those that are there.
"""

import functools
import os
import sys
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from absl import app, flags
from PIL import Image
from tqdm import tqdm

from data.pack_pictures import GRID, decode_files, picture_paths, stacked, write_pack
from smapcomp.design import SCALES
from smapcomp.errors import SmapcompError

FLAGS = flags.FLAGS

ALIGNMENT = 16
"""Of coded sides, and of the crops' places; `data.coded.compact.ALIGNMENT`."""


def load_coded(path: str, split: str) -> dict[str, np.ndarray | list[np.ndarray]]:
    """Reads one split of an array file.

    Args:
        path: What `main` wrote.
        split: "training" or "validation".

    Returns:
        `coded`, a list with one uint8 [n, H/scale, W/scale, 3] a pass, smaller pictures filled up
        with zeros; `qualities` int32 [passes, n], 0..100; `labels` uint8 [n, H/8, W/8] of 1..150,
        filled up with void; `sizes` int32 [n, 2], height and width of the pictures.

    Raises:
        SmapcompError: The file is none of this module's.
        FileNotFoundError: There is no such file.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as pack:
            scale, blob = int(pack["scale"]), pack[f"{split}_blob"]
            lengths, qualities = pack[f"{split}_lengths"], pack[f"{split}_qualities"]
            labels, sizes = pack[f"{split}_labels"], pack[f"{split}_sizes"].astype(np.int32)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SmapcompError(f"{path}: no file of data.pack_coded: {error}") from None
    height, width = sizes.max(axis=0) // scale
    coded = [np.zeros((len(sizes), height, width, 3), np.uint8) for _ in qualities]

    def take(position: int, picture: np.ndarray) -> None:
        number, i = divmod(position, len(sizes))
        rows, columns = sizes[i] // scale
        coded[number][i, :rows, :columns] = picture

    decode_files(blob, lengths, take)
    qualities = qualities.astype(np.int32)
    return {"coded": coded, "qualities": qualities, "labels": labels, "sizes": sizes}


class _Coder:
    """Codes pictures, and finds labels in them, unless the folder of parts has them already."""

    def __init__(self, scale: int, passes: int, work: str):
        from data.coded.settings import CompactSettings

        self.settings = CompactSettings(scale, passes)
        self.work = work

    def __call__(self, path: str) -> tuple[list[bytes], list[int], np.ndarray, np.ndarray]:
        """AVIF files and qualities by pass, the picture's size and the label grid."""
        from smapcomp.codec.coders import av1
        from smapcomp.codec.coders.avif import wrap_avif
        from smapcomp.codec.layers.compact import downsampled

        split, name = path.split(os.sep)[-2:]
        scale = self.settings.scale
        with Image.open(path) as picture:
            picture = picture.convert("RGB")
        width, height = (side // ALIGNMENT * ALIGNMENT for side in picture.size)
        if not width or not height:
            raise SmapcompError(f"{path}: {picture.size}; sides are at least {ALIGNMENT} pixels")

        @functools.cache
        def compact() -> np.ndarray:
            return downsampled(np.asarray(picture)[:height, :width], scale)

        shape = (height // scale, width // scale, 3)
        qualities = [self.settings.quality(name, n) for n in range(self.settings.passes)]
        folder = os.path.join(self.work, split, f"x{scale}")
        os.makedirs(folder, exist_ok=True)
        payloads = [
            _part(
                os.path.join(folder, f"{name}.{number}.av1"),
                lambda q=q: av1.encode(compact(), q, self.settings.speed),
            )
            for number, q in enumerate(qualities)
        ]
        grid = _part(
            os.path.join(folder, f"{name}.labels"),
            lambda: self._labels(av1.decode(payloads[0], shape)).tobytes(),
        )
        labels = np.frombuffer(grid, np.uint8).reshape(height // GRID, width // GRID)
        # As files, which the reader needs none of the codec's coders for.
        files = [wrap_avif(payload, shape) for payload in payloads]
        return files, qualities, np.array([height, width]), labels

    def _labels(self, compact: np.ndarray) -> np.ndarray:
        from smapcomp.predictors.engines import predictor_of

        return predictor_of("lite").found_labels(compact, self.settings.scale)


def _part(path: str, make: Callable[[], bytes]) -> bytes:
    """What a file holds; it is made first where it is not there."""
    from smapcomp.pictures.image_files import write_file

    if not os.path.exists(path):
        write_file(path, make())
    with open(path, "rb") as file:
        return file.read()


def pack(data: str, scale: int, passes: int, work: str, out: str) -> None:
    """Writes the array file, under a temporary name first.

    Raises:
        SmapcompError: A split has no pictures, or one is too small.
    """
    arrays = {"scale": np.array(scale)}
    workers = os.cpu_count() or 1
    coder = _Coder(scale, passes, work)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for split in ("training", "validation"):
            paths = picture_paths(data, split)
            found = tqdm(pool.map(coder, paths), split, len(paths), disable=None)
            files, qualities, sizes, labels = zip(*found, strict=True)
            in_order = [of_one[number] for number in range(passes) for of_one in files]
            arrays[f"{split}_blob"] = np.frombuffer(b"".join(in_order), np.uint8)
            arrays[f"{split}_lengths"] = np.array([len(file) for file in in_order])
            arrays[f"{split}_qualities"] = np.array(qualities, np.uint8).T
            arrays[f"{split}_sizes"] = np.array(sizes)
            arrays[f"{split}_labels"] = stacked(labels)
    write_pack(out, arrays)


def main(arguments: Sequence[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    try:
        pack(FLAGS.data, int(FLAGS.scale), FLAGS.passes, FLAGS.work, FLAGS.out)
    except (SmapcompError, OSError) as error:
        print(f"pack_coded: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Defines the job's flags."""
    text = [
        ("data", "Folder in ADEChallengeData2016's layout."),
        ("work", "Folder for what is coded; kept."),
        ("out", "The .npz file to write."),
    ]
    for name, help_ in text:
        flags.DEFINE_string(name, None, help_, required=True, flag_values=values)
    what = "By which compact images are smaller."
    flags.DEFINE_enum(
        "scale", None, list(map(str, SCALES)), what, required=True, flag_values=values
    )
    flags.DEFINE_integer("passes", 2, "How often each is coded.", 1, flag_values=values)


if __name__ == "__main__":
    define_flags()
    app.run(main)
