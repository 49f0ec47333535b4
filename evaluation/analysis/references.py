"""Reference points: measured and published figures of codecs that cannot be run everywhere.

`references/kodak.csv` has codecs on the 24 Kodak pictures, measured for this project in November
2026 by decoding each written file. Each point states version and settings.

`references/published.csv` has EDMS's own figures (docs/spec.md, section 5). "edms-published" and
"bpg-rgb-published", the papers' anchor, are means over the 24 Kodak pictures: their picture is
`MEAN`, the papers' bits per sample are converted to bits per pixel, and only `psnr_planes` is
known, as the papers average PSNR over channels. "edms-published-figures" has the six single
pictures in the captions of the supplement, at one quality. It is a codec of its own, so that
nothing mistakes these points for the mean.
"""

from collections.abc import Sequence
from pathlib import Path

from evaluation.measurement.points import Point, read_points

FOLDER = Path(__file__).parent / "references"
"""Folder of the files."""
FILES = ("kodak.csv", "published.csv")

MEAN = "mean"
"""Picture of a point of which only a mean over `KODAK` was published."""

KODAK = tuple(f"kodim{number:02}" for number in range(1, 25))
"""Names of the 24 Kodak pictures."""


def load_references() -> list[Point]:
    """Return all reference points.

    Raises:
        SmapcompError: A file is missing or cannot be read.
    """
    return [point for name in FILES for point in read_points(FOLDER / name)]


def with_references(points: Sequence[Point]) -> list[Point]:
    """Add reference points of codecs that were not measured, on the same pictures.

    A published mean is added only if the points' pictures are exactly those of `KODAK`.
    """
    codecs = {point.codec for point in points}
    pictures = {point.picture for point in points}
    if pictures == set(KODAK):
        pictures.add(MEAN)
    return [
        *points,
        *(p for p in load_references() if p.codec not in codecs and p.picture in pictures),
    ]
