r"""Packs what AV1 makes of pictures into one array file for stage lossy of `experiments.train_jax`.

    python -m experiments.pack_pictures --data=DIR --files --out=exact.npz
    python -m experiments.pack_coded --data=DIR --scale=1 --passes=2 --work=coded --out=coded_x1.npz
    python -m experiments.train_jax --stage=lossy --scale=1 --pictures=exact.npz \
        --coded=coded_x1.npz --workdir=RUN ...

`DIR` has ADEChallengeData2016's layout; its annotations are not read. Each picture is cut to
multiples of 16, down-sampled and coded `--passes` times as a whole, each at a random quality that
depends on its name and the pass alone. The file holds the coded pictures
themselves, so that it is small, and the label grid that the decoder finds in the first pass'.
What is coded is kept in `--work`: an interrupted run goes on where it was, and further passes
take up those that are there.
"""

import io
import os
import sys
import zipfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
from absl import app, flags
from PIL import Image
from tqdm import tqdm

from experiments.pack_pictures import picture_paths, write_pack
from smapcomp.errors import SmapcompError

FLAGS = flags.FLAGS

ALIGNMENT = 16
"""Of coded sides, and of the crops' places; `data.compact.ALIGNMENT`."""

GRID = 8
"""Pixels along a side of the block that shares a label; the lite variant's."""


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
        raise SmapcompError(f"{path}: no file of experiments.pack_coded: {error}") from None
    coded = _decoded(blob, lengths, sizes, scale, len(qualities))
    return {
        "coded": coded,
        "qualities": qualities.astype(np.int32),
        "labels": labels,
        "sizes": sizes,
    }


def _decoded(blob, lengths, sizes, scale: int, passes: int) -> list[np.ndarray]:
    """The first passes, one array each."""
    ends = np.cumsum(lengths)
    height, width = sizes.max(axis=0) // scale
    coded = [np.zeros((len(sizes), height, width, 3), np.uint8) for _ in range(passes)]

    def decode(position: int) -> None:
        number, i = divmod(position, len(sizes))
        data = blob[ends[position - 1] if position else 0 : ends[position]].tobytes()
        rows, columns = sizes[i] // scale
        with Image.open(io.BytesIO(data)) as picture:
            coded[number][i, :rows, :columns] = np.asarray(picture.convert("RGB"))

    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, range(passes * len(sizes))))
    return coded


def _code(
    path: str, scale: int, passes: int, work: str
) -> tuple[list[bytes], list[int], np.ndarray]:
    """Codes a picture, or reads what was coded before: AVIF files, qualities, size."""
    from data.compact_settings import CompactSettings
    from smapcomp.codec.coders import av1
    from smapcomp.codec.coders.avif import wrap_avif
    from smapcomp.codec.compact import downsampled

    split, name = path.split(os.sep)[-2:]
    settings = CompactSettings(scale, passes)
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
    width, height = (side // ALIGNMENT * ALIGNMENT for side in picture.size)
    shape = (height // scale, width // scale, 3)
    compact, files, qualities = None, [], []
    for number in range(passes):
        qualities.append(settings.quality(name, number))
        part = os.path.join(work, split, f"x{scale}", f"{name}.{number}.av1")
        if not os.path.exists(part):
            if compact is None:
                compact = downsampled(np.asarray(picture)[:height, :width], scale)
            os.makedirs(os.path.dirname(part), exist_ok=True)
            with open(f"{part}.tmp", "wb") as file:
                file.write(av1.encode(compact, qualities[-1], settings.speed))
            os.replace(f"{part}.tmp", part)
        with open(part, "rb") as file:
            # As a file, which the reader needs none of the codec's coders for.
            files.append(wrap_avif(file.read(), shape))
    return files, qualities, np.array([height, width])


def _labels(scale: int, coded: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The grids that a decoder finds in coded pictures."""
    from smapcomp.codec.engines import predictor_of

    predictor = predictor_of("lite")
    found = np.zeros((len(sizes), *sizes.max(axis=0) // GRID), np.uint8)
    for i, (height, width) in enumerate(tqdm(sizes, "labels", disable=None)):
        compact = coded[i, : height // scale, : width // scale]
        found[i, : height // GRID, : width // GRID] = predictor.found_labels(compact, scale)
    return found


def pack(data: str, scale: int, passes: int, work: str, out: str) -> None:
    """Writes the array file, under a temporary name first.

    Raises:
        SmapcompError: A split has no pictures.
    """
    arrays = {"scale": np.array(scale)}
    workers = os.cpu_count() or 1
    code = partial(_code, scale=scale, passes=passes, work=work)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for split in ("training", "validation"):
            paths = picture_paths(data, split)
            found = tqdm(pool.map(code, paths), split, len(paths), disable=None)
            files, qualities, sizes = zip(*found, strict=True)
            in_order = [of_one[number] for number in range(passes) for of_one in files]
            arrays[f"{split}_blob"] = np.frombuffer(b"".join(in_order), np.uint8)
            arrays[f"{split}_lengths"] = np.array([len(file) for file in in_order])
            arrays[f"{split}_qualities"] = np.array(qualities, np.uint8).T
            arrays[f"{split}_sizes"] = np.array(sizes)
            coded = _decoded(
                arrays[f"{split}_blob"], arrays[f"{split}_lengths"], np.array(sizes), scale, 1
            )
            arrays[f"{split}_labels"] = _labels(scale, coded[0], np.array(sizes))
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
    flags.DEFINE_enum("scale", None, ["1", "2", "4", "8"], what, required=True, flag_values=values)
    flags.DEFINE_integer("passes", 2, "How often each is coded.", 1, flag_values=values)


if __name__ == "__main__":
    define_flags()
    app.run(main)
