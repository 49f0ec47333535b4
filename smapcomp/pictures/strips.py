"""Strips of a large picture.

Functions that go through a picture strip by strip need no second copy of the whole.
"""

from collections.abc import Iterator

STRIP_PIXELS = 1 << 20
"""Pixels of a strip, about."""


def strips(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of a picture as slices of about `STRIP_PIXELS` pixels, from the top down."""
    step = max(1, STRIP_PIXELS // width)
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))
