"""Pictures of several sizes for measuring time: crops and mosaics of the evaluated pictures."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation.measurement.measure import read_rgb
from smapcomp.pictures import image_files
from smapcomp.pictures.picture import Picture

SIZES = ((192, 128), (384, 256), (768, 512), (1536, 1024), (3072, 2048))
"""Widths and heights in pixels; each size has four times the pixels of the one before."""


def write_timing_pictures(pictures: Sequence[Path], folder: Path) -> list[Path]:
    """Write a picture of each of `SIZES`, made of the central parts of pictures.

    Args:
        pictures: Files of pictures of any size. They are used in turn, and mirrored where they are
            smaller than a tile.
        folder: Folder to write to. Existing files are kept as they are.

    Returns:
        The files, the smallest picture first.

    Raises:
        SmapcompError: A picture cannot be read or a file cannot be written.
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
        image_files.write_picture(files[-1], mosaic, overwrite=True)
    return files


def _middle(samples: np.ndarray, height: int, width: int) -> np.ndarray:
    missing = [
        max(0, size - side) for size, side in zip((height, width), samples.shape, strict=False)
    ]
    samples = np.pad(samples, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric")
    top, left = (samples.shape[0] - height) // 2, (samples.shape[1] - width) // 2
    return samples[top : top + height, left : left + width]
