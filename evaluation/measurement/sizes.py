"""Pictures of many sizes, for time against pixels: crops and mosaics of the measured ones."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation.measurement.measure import read_rgb
from smapcomp.pictures import image_files as image_io
from smapcomp.pictures.picture import Picture

SIZES = ((192, 128), (384, 256), (768, 512), (1536, 1024), (3072, 2048))
"""Width and height; each has four times the pixels of the one before."""


def make_sizes(pictures: Sequence[Path], folder: Path) -> list[Path]:
    """Writes a picture of each of `SIZES`, from the middles of the pictures, side by side.

    Args:
        pictures: Files of pictures of any size; they are taken in turn, and mirrored where they
            are smaller than a tile.
        folder: Where to. Files that are there are taken as they are.

    Returns:
        The files, the smallest picture first.

    Raises:
        SmapcompError: A picture does not read or a file can't be written.
    """
    tile_width, tile_height = 768, 512
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for width, height in SIZES:
        files.append(folder / f"size-{width}x{height}.png")
        if files[-1].exists():
            continue
        rows, columns = math.ceil(height / tile_height), math.ceil(width / tile_width)
        shape = min(height, tile_height), min(width, tile_width)
        sources = [pictures[n % len(pictures)] for n in range(rows * columns)]
        tiles = [_middle(read_rgb(source), *shape) for source in sources]
        bands = [np.hstack(tiles[row * columns : (row + 1) * columns]) for row in range(rows)]
        mosaic = Picture.from_array(np.ascontiguousarray(np.vstack(bands)))
        image_io.write_picture(files[-1], mosaic, overwrite=True)
    return files


def _middle(samples: np.ndarray, height: int, width: int) -> np.ndarray:
    missing = [
        max(0, size - have) for size, have in zip((height, width), samples.shape, strict=False)
    ]
    samples = np.pad(samples, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric")
    top, left = (samples.shape[0] - height) // 2, (samples.shape[1] - width) // 2
    return samples[top : top + height, left : left + width]
