"""Windows of a large picture, and how the results of neighbouring windows are joined.

With windows, the memory that the networks need depends on the window's size and not on the
picture's. Neighbouring windows overlap. In the middle half of the overlap one fades into the other;
the outer quarters, where a network sees the edge of its window, are not used:

    window A ────────────────────────────────────┐
                        │ unused │ fade │ unused │
                        ┌──────────────────────────────────── window B
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from smapcomp.design import Tiling

MAX_WHOLE_PIXELS = 1 << 21
"""Largest picture in pixels that is predicted in one piece; the networks then need about 500 MB."""

DEFAULT_TILING = Tiling(1024, 128)
"""Tiling of larger pictures. Its overlap costs 30 % more arithmetic and leaves 32 unused pixels at
each edge. Beyond these the edge moves the prediction by less than its rounding does."""


class Window(NamedTuple):
    """Rectangle of rows `top`..`bottom` and columns `left`..`right`, the ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def crop(self, array: np.ndarray, cell: int = 1) -> np.ndarray:
        """Return the part of an array that lies in the window, without copying.

        Args:
            array: `[rows, columns, ...]`.
            cell: Side, in the window's units, of one cell of the array; divides all edges.
        """
        rows = slice(self.top // cell, self.bottom // cell)
        return array[rows, self.left // cell : self.right // cell]


def choose_tiling(height: int, width: int) -> Tiling | None:
    """Return the encoder's tiling of a padded picture; `None` for a single window."""
    return None if height * width <= MAX_WHOLE_PIXELS else DEFAULT_TILING


def window_spans(side: int, tiling: Tiling | None) -> list[tuple[int, int]]:
    """Return start and end of the windows along a side; neighbours share `tiling.overlap`."""
    if tiling is None or side <= tiling.side:
        return [(0, side)]
    step = tiling.side - tiling.overlap
    starts = range(0, side - tiling.overlap, step)
    return [(start, min(start + tiling.side, side)) for start in starts]


def blended_bands(
    height: int, width: int, tiling: Tiling | None, run: Callable[[Window], np.ndarray]
) -> Iterator[tuple[int, np.ndarray]]:
    """Run a function on each window and join its results.

    Args:
        height: Height of the whole in cells.
        width: Width of the whole in cells.
        tiling: Tiling in cells; `None` for a single window.
        run: Takes a window and returns float32 `[rows, columns, channels]`.

    Yields:
        `(top, values)`: bands of full width from the top down, float32 `[rows, width, channels]`,
        that together are the whole.
    """
    rows = window_spans(height, tiling)
    overlap = tiling.overlap if tiling else 0
    fade = _fade(overlap)[:, None, None]
    pending = None
    for index, (top, bottom) in enumerate(rows):
        band = _blended_row(top, bottom, width, tiling, run)
        if pending is not None:
            band[:overlap] = pending * (1 - fade) + band[:overlap] * fade
        end = rows[index + 1][0] if index + 1 < len(rows) else bottom
        yield top, band[: end - top]
        pending = band[end - top :]


def _blended_row(
    top: int,
    bottom: int,
    width: int,
    tiling: Tiling | None,
    run: Callable[[Window], np.ndarray],
) -> np.ndarray:
    columns = window_spans(width, tiling)
    if tiling is None or len(columns) == 1:
        return run(Window(top, bottom, 0, width))
    fade = _fade(tiling.overlap)[None, :, None]
    first = run(Window(top, bottom, *columns[0]))
    row = np.empty((bottom - top, width, first.shape[2]), np.float32)
    row[:, : first.shape[1]] = first
    for left, right in columns[1:]:
        values = run(Window(top, bottom, left, right))
        old = row[:, left : left + tiling.overlap]
        mixed = old * (1 - fade) + values[:, : tiling.overlap] * fade
        row[:, left + tiling.overlap : right] = values[:, tiling.overlap :]
        row[:, left : left + tiling.overlap] = mixed
    return row


def _fade(overlap: int) -> np.ndarray:
    """Return the weight of the later window for each cell of an overlap, float32 in 0..1."""
    position = np.arange(overlap, dtype=np.float32) + 0.5
    return np.clip((position - overlap / 4) / (overlap / 2 or 1), 0, 1).astype(np.float32)


def windows_with_cores(
    height: int, width: int, tiling: Tiling | None
) -> Iterator[tuple[Window, Window]]:
    """Yield each window with its core, the part of the picture that only this window determines.

    The cores are cut in the middle of the overlaps and together cover the picture once.

    Yields:
        `(window, core)`, in the same coordinates.
    """
    for (top, bottom), (core_top, core_bottom) in _spans_with_cores(height, tiling):
        for (left, right), (core_left, core_right) in _spans_with_cores(width, tiling):
            window = Window(top, bottom, left, right)
            yield window, Window(core_top, core_bottom, core_left, core_right)


def _spans_with_cores(
    side: int, tiling: Tiling | None
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    spans = window_spans(side, tiling)
    overlap = tiling.overlap if tiling else 0
    middles = [start + overlap // 2 for start, _ in spans[1:]]
    edges = [0, *middles, side]
    return list(zip(spans, pairwise(edges), strict=True))
