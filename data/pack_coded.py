"""Job that packs coded compact images into one array file, for stage lossy of training with JAX.

    python -m data.pack_pictures --data=DIR --files --out=exact.npz
    python -m data.pack_coded --data=DIR --scale=1 --passes=2 --work=coded --out=coded_x1.npz

`DIR` has the layout of ADEChallengeData2016; its annotations are not read. Each picture is cut to
multiples of 16, down-sampled and coded as a whole by AV1, `--passes` times, each time at a random
quality that depends on the name of the picture and the number of the pass alone. The array file
holds the coded images, so that it is small, and the label grid that the decoder finds in the image
of the first pass. Training takes the original pictures from the file of `data.pack_pictures`.

Coded images are kept in the folder `--work`: the same command resumes a run that was interrupted,
and a run with more passes uses the images that exist.

Exit status: 0 after success; 1 if a picture or a file is at fault, with the reason in one line.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from absl import app, flags
from PIL import Image
from tqdm import tqdm

from data.batches.array_files import GRID, file_arrays, stack_padded, write_arrays
from data.coded import ALIGNMENT
from data.coded.settings import CompactCodingSettings
from data.pack_pictures import picture_paths
from smapcomp.codec.coders import av1
from smapcomp.codec.coders.avif import wrap_avif
from smapcomp.codec.layers.compact import downsampled
from smapcomp.design import SCALES
from smapcomp.errors import SmapcompError
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.pictures.image_files import write_file
from smapcomp.predictors.engines import load_predictor

FLAGS = flags.FLAGS


class _PictureCoder:
    """Codes pictures and labels them, except for results that the folder of --work has.

    Args:
        scale: Scale of the compact images.
        passes: Number of times that each picture is coded.
        work: Folder of the results.
    """

    def __init__(self, scale: int, passes: int, work: str):
        self.settings = CompactCodingSettings(scale, passes)
        self.work = work

    def __call__(self, path: str) -> tuple[list[bytes], list[int], np.ndarray, np.ndarray]:
        """Return AVIF file and quality of each pass, size and label grid of a picture."""
        split, name = path.split(os.sep)[-2:]
        scale = self.settings.scale
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        width, height = (side // ALIGNMENT * ALIGNMENT for side in picture.size)
        if not width or not height:
            raise SmapcompError(
                f"{path}: is {picture.width}x{picture.height}; sides must be at least {ALIGNMENT}"
            )

        @functools.cache
        def compact() -> np.ndarray:
            return downsampled(np.asarray(picture)[:height, :width], scale)

        def encode(quality: int) -> bytes:
            return av1.encode(compact(), quality, self.settings.speed)

        shape = (height // scale, width // scale, 3)
        qualities = [self.settings.quality(name, n) for n in range(self.settings.passes)]
        folder = os.path.join(self.work, split, f"x{scale}")
        os.makedirs(folder, exist_ok=True)
        payloads = [
            _cached_file(
                os.path.join(folder, f"{name}.{number}.av1"),
                functools.partial(encode, quality),
            )
            for number, quality in enumerate(qualities)
        ]
        grid = _cached_file(
            os.path.join(folder, f"{name}.labels"),
            lambda: self._label_grid(av1.decode(payloads[0], shape)).tobytes(),
        )
        labels = np.frombuffer(grid, np.uint8).reshape(height // GRID, width // GRID)
        # AVIF files, so that reading the array file does not need the coders of the codec.
        files = [wrap_avif(payload, shape) for payload in payloads]
        return files, qualities, np.array([height, width]), labels

    def _label_grid(self, compact: np.ndarray) -> np.ndarray:
        return load_predictor("lite").decoder_labels(compact, self.settings.scale)


def _cached_file(path: str, make: Callable[[], bytes]) -> bytes:
    """Return the content of a file, which `make` computes if the file does not exist."""
    if not os.path.exists(path):
        write_file(path, make())
    with open(path, "rb") as file:
        return file.read()


def pack(folder: str, scale: int, passes: int, work: str, out: str) -> None:
    """Write the array file of a folder.

    Args:
        folder: The folder.
        scale: Scale of the compact images.
        passes: Number of times that each picture is coded.
        work: Folder in which coded images are kept.
        out: The array file.

    Raises:
        SmapcompError: A split has no pictures, or a picture is too small.
    """
    arrays = {"scale": np.array(scale)}
    workers = os.cpu_count() or 1
    code = _PictureCoder(scale, passes, work)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for split in ("training", "validation"):
            paths = picture_paths(folder, split)
            results = tqdm(pool.map(code, paths), split, len(paths), disable=None)
            files, qualities, sizes, labels = zip(*results, strict=True)
            arrays |= file_arrays(split, [of[n] for n in range(passes) for of in files])
            arrays[f"{split}_qualities"] = np.array(qualities, np.uint8).T
            arrays[f"{split}_sizes"] = np.array(sizes)
            arrays[f"{split}_labels"] = stack_padded(labels)
    write_arrays(out, arrays)


def main(arguments: Sequence[str]) -> None:
    """Run the job."""
    refuse_arguments(arguments)
    with errors_in_one_line("pack_coded"):
        pack(FLAGS.data, int(FLAGS.scale), FLAGS.passes, FLAGS.work, FLAGS.out)


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Define the flags of the job."""
    for name, description in (
        ("data", "Folder in the layout of ADEChallengeData2016."),
        ("work", "Folder in which coded images are kept."),
        ("out", "Array file to write."),
    ):
        flags.DEFINE_string(name, None, description, required=True, flag_values=values)
    flags.DEFINE_enum(
        "scale",
        None,
        list(map(str, SCALES)),
        "How many times smaller the sides of a compact image are.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "passes", 2, "Number of times that each picture is coded.", 1, flag_values=values
    )


if __name__ == "__main__":
    define_flags()
    app.run(main)
