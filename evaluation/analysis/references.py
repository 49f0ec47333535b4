"""Figures that others are compared with where they can't be measured: committed points.

`references/kodak.csv` has codecs on the 24 Kodak pictures, measured for this project in November
2026 by decoding each written file; versions and settings stand with each point.

`references/published.csv` has EDMS's own figures (SPEC section 5). "edms-published" and
"bpg-rgb-published", the papers' anchor, are means over the 24 Kodak pictures: their picture is
`MEAN`, the bits per sample of the papers have become bits per pixel, and of PSNR they have
`psnr_planes` alone, since the papers average over channels. "edms-published-figures" has the six
single pictures in the captions of the supplement, at one quality; it is a codec of its own, so that
nothing takes these for the mean.
"""

from collections.abc import Sequence
from pathlib import Path

from evaluation.measurement.points import Point, read_points

FOLDER = Path(__file__).parent / "references"
FILES = ("kodak.csv", "published.csv")

MEAN = "mean"
"""The picture of a point of which only a mean over `KODAK` was published."""

KODAK = tuple(f"kodim{number:02}" for number in range(1, 25))


def load_references() -> list[Point]:
    """All reference points.

    Raises:
        SmapcompError: A file is missing or does not read.
    """
    return [point for name in FILES for point in read_points(FOLDER / name)]


def with_references(points: Sequence[Point]) -> list[Point]:
    """The points and, of codecs that they lack, the references on the same pictures.

    A published mean comes along only where the points' pictures are all of `KODAK` and no others.
    """
    codecs = {point.codec for point in points}
    pictures = {point.picture for point in points}
    if pictures == set(KODAK):
        pictures.add(MEAN)
    return [
        *points,
        *(p for p in load_references() if p.codec not in codecs and p.picture in pictures),
    ]
