"""Large pictures are gone through in strips, so that no second copy of the whole is ever there."""

from collections.abc import Iterator

STRIP_PIXELS = 1 << 20


def strips(height: int, width: int) -> Iterator[slice]:
    """Rows of a picture of that size, in slices of about a million pixels."""
    step = max(1, STRIP_PIXELS // width)
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))
