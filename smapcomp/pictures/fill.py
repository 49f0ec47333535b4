"""Filling of pixels that nobody sees."""

import numpy as np


def fill_invisible(samples: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Replace invisible pixels by smooth values, which take few bits.

    Each invisible pixel gets the mean of the visible ones in the smallest block of 2×2, 4×4, 8×8
    pixels and so on that has any.

    Args:
        samples: uint8 `[height, width, channels]`.
        visible: bool `[height, width]`.

    Returns:
        uint8 of the same shape; visible pixels are unchanged. `samples` itself if all pixels are
        visible.
    """
    if visible.all():
        return samples
    filled = _filled_means(np.where(visible[..., None], samples, 0).astype(np.float32), visible)
    filled = np.clip(np.rint(filled), 0, 255).astype(np.uint8)
    return np.where(visible[..., None], samples, filled)


def _filled_means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return means of visible pixels, those of coarser blocks where there are none.

    Args:
        sums: Sums of the visible samples of each block, float32 `[height, width, channels]`.
        counts: Number of visible pixels of each block, `[height, width]`.
    """
    counts = counts.astype(np.float32)[..., None]
    height, width = counts.shape[:2]
    if (counts > 0).all() or height == width == 1:
        return sums / np.maximum(counts, 1)
    coarse = _filled_means(_sum_blocks(sums), _sum_blocks(counts)[..., 0])
    spread = coarse.repeat(2, 0).repeat(2, 1)[:height, :width]
    return np.where(counts > 0, sums / np.maximum(counts, 1), spread)


def _sum_blocks(values: np.ndarray) -> np.ndarray:
    """Return the sums over blocks of 2×2, `[ceil(height/2), ceil(width/2), channels]`."""
    height, width, channels = values.shape
    padded = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)))
    rows, columns = padded.shape[0] // 2, padded.shape[1] // 2
    return padded.reshape(rows, 2, columns, 2, channels).sum((1, 3))
