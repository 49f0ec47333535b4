"""Windows of a large picture, and how what was found in each is joined.

Memory for the networks then depends on the window's size, not on the picture's. Neighbouring
windows overlap; in the middle half of the overlap the one fades into the other, and its outer
quarters, where a network sees the window's edge, count for nothing.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from smapcomp.design import Tiling

MAX_WHOLE_PIXELS = 1 << 21
"""Of a picture that is predicted in one piece. Decided here: the networks then need some 500 MB."""

DEFAULT_TILING = Tiling(1024, 128)
"""Decided here: 30 % more arithmetic than without overlap, and 32 pixels at each edge that don't
count, beyond which the edge moves the prediction by less than its own rounding."""


class Window(NamedTuple):
    """Rows `top`..`bottom` and columns `left`..`right`, the ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, array: np.ndarray, cell: int = 1) -> np.ndarray:
        """The window's part of an array whose cells are of so many pixels a side."""
        rows = slice(self.top // cell, self.bottom // cell)
        return array[rows, self.left // cell : self.right // cell]


def choose_tiling(height: int, width: int) -> Tiling | None:
    """How the encoder cuts a padded picture."""
    return None if height * width <= MAX_WHOLE_PIXELS else DEFAULT_TILING


def spans(side: int, tiling: Tiling | None) -> list[tuple[int, int]]:
    """Starts and ends of the windows along a side: each overlaps the next by `tiling.overlap`."""
    if tiling is None or side <= tiling.side:
        return [(0, side)]
    step = tiling.side - tiling.overlap
    starts = range(0, side - tiling.overlap, step)
    return [(start, min(start + tiling.side, side)) for start in starts]


def blended_bands(
    height: int, width: int, tiling: Tiling | None, find: Callable[[Window], np.ndarray]
) -> Iterator[tuple[int, np.ndarray]]:
    """Joins what is found in each window.

    Args:
        height, width: Of the whole, in cells.
        tiling: In cells; None for one window.
        find: Gives float32 `[rows, columns, channels]` of a window.

    Yields:
        `(top, values)`: bands of full width from the top down, float32 `[rows, width, channels]`,
        that together are the whole.
    """
    rows = spans(height, tiling)
    overlap = tiling.overlap if tiling else 0
    fade = _fade(overlap)[:, None, None]
    pending = None
    for index, (top, bottom) in enumerate(rows):
        band = _blended_row(top, bottom, width, tiling, find)
        if pending is not None:
            band[:overlap] = pending * (1 - fade) + band[:overlap] * fade
        end = rows[index + 1][0] if index + 1 < len(rows) else bottom
        yield top, band[: end - top]
        pending = band[end - top :]


def _blended_row(top, bottom, width, tiling, find) -> np.ndarray:
    columns = spans(width, tiling)
    if len(columns) == 1:
        return find(Window(top, bottom, 0, width))
    fade = _fade(tiling.overlap)[None, :, None]
    row = None
    for left, right in columns:
        values = find(Window(top, bottom, left, right))
        if row is None:
            row = np.empty((bottom - top, width, values.shape[2]), np.float32)
            row[:, left:right] = values
            continue
        old = row[:, left : left + tiling.overlap]
        mixed = old * (1 - fade) + values[:, : tiling.overlap] * fade
        row[:, left + tiling.overlap : right] = values[:, tiling.overlap :]
        row[:, left : left + tiling.overlap] = mixed
    return row


def _fade(overlap: int) -> np.ndarray:
    """How much of each cell of an overlap is the later window's, float32 0..1."""
    position = np.arange(overlap, dtype=np.float32) + 0.5
    return np.clip((position - overlap / 4) / (overlap / 2 or 1), 0, 1).astype(np.float32)


def cores(height: int, width: int, tiling: Tiling | None) -> Iterator[tuple[Window, Window]]:
    """Windows, each with the part of the whole that it alone stands for: cut amid the overlaps.

    Yields:
        `(window, core)`, in the same coordinates.
    """
    for (top, bottom), (core_top, core_bottom) in _cut(height, tiling):
        for (left, right), (core_left, core_right) in _cut(width, tiling):
            window = Window(top, bottom, left, right)
            yield window, Window(core_top, core_bottom, core_left, core_right)


def _cut(side: int, tiling: Tiling | None):
    found = spans(side, tiling)
    middles = [start + tiling.overlap // 2 for start, _ in found[1:]]
    edges = [0, *middles, side]
    return list(zip(found, pairwise(edges), strict=True))
