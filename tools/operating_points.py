r"""Measure which compact and residual settings go together, and write the codec's table of them.

    python -m tools.operating_points --pictures=DIR --work=points.csv \
        --out=smapcomp/codec/operating_points.json

Every candidate codes every picture. The rate is that of whole streams, and PSNR that of the decoded
pictures. DIR holds training pictures, never those that the codec is evaluated on. The candidates'
means are reduced to the upper hull of PSNR over the rate, and quality 0..100 walks along the hull
in equal steps of PSNR. The CSV file keeps what has been measured, so an interrupted run continues
where it stopped.
"""

import csv
import functools
import itertools
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import app, flags
from tqdm import tqdm

from data.picture_folder import picture_files
from smapcomp import metrics
from smapcomp.codec.layer_settings import LayerSettings
from smapcomp.codec.layered_encoder import LayeredEncoder
from smapcomp.design import SCALES
from smapcomp.errors import SmapcompError
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.pictures.image_files import read_picture
from smapcomp.predictors.engines import load_predictor
from smapcomp.zoo import cached_networks

FLAGS = flags.FLAGS

FIELDS = ("picture", "model_digest", "scale", "compact", "residual", "bpp", "psnr")
"""Columns of the CSV file."""

SCALE_1_QUALITIES = (*range(2, 94, 4), 94, 96, 97)
"""Compact qualities at scale 1 without a residual. Above 97 AV1 spends bits on what rounding to 8
bits removes again."""

SMALL_QUALITIES = {2: range(10, 91, 8), 4: range(10, 91, 8), 8: range(26, 91, 8)}
"""Compact qualities at the other scales without a residual: close together, so that low qualities
differ. The first of scale 8 gives the lowest quality of all, about 0.012 bits per pixel; below that
rate pictures become unrecognisable."""

COMPACT_QUALITIES = (30, 45, 60, 75, 88)
"""Compact qualities at scales 2, 4 and 8 with a residual."""

RESIDUAL_QUALITIES = (15, 30, 45, 60, 75, 90)
"""Residual qualities that each of `COMPACT_QUALITIES` is tried with."""

SCALE_1_RESIDUALS = ((20, 40), (40, 60), (60, 80))
"""Compact and residual qualities at scale 1, where a residual is expected not to pay."""

TOP_PSNR = 50.1
"""Highest mean PSNR of an operating point, in dB. Above it, bits are spent on what 8-bit YCbCr has
lost."""

MAX_GAP_TO_HULL = 0.1
"""How far below the hull, in dB, a candidate may lie that fills a gap of the hull."""

STEPS = 101
"""Number of qualities."""

Candidate = tuple[int, int, int]
"""Scale, compact quality, residual quality (0: no residual)."""


class Point(NamedTuple):
    """Means of a candidate over the pictures. A residual quality of 0 means no residual."""

    bpp: float
    psnr: float
    scale: int
    compact: int
    residual: int


def candidates() -> list[Candidate]:
    """Return all candidates that are measured."""
    found: list[Candidate] = [(1, quality, 0) for quality in SCALE_1_QUALITIES]
    found += [(1, *pair) for pair in SCALE_1_RESIDUALS]
    for scale in SCALES[1:]:
        found += [(scale, quality, 0) for quality in SMALL_QUALITIES[scale]]
        found += itertools.product((scale,), COMPACT_QUALITIES, RESIDUAL_QUALITIES)
    return found


def measure(
    path: Path, wanted: Sequence[Candidate], speed: int, variant: str
) -> list[dict[str, str]]:
    """Code one picture with candidates.

    Args:
        path: File of the picture.
        wanted: The candidates.
        speed: Speed of AV1, 0..10.
        variant: Variant of the networks.

    Returns:
        A row of `FIELDS` for each candidate.
    """
    predictor = load_predictor(variant)
    picture = read_picture(path)
    height, width, _ = picture.samples.shape
    encoder = LayeredEncoder(predictor, picture, "mapped")
    rows = []
    for scale, compact, residual in wanted:
        coder = "av1" if residual else "none"
        settings = LayerSettings("av1", scale, compact, coder, residual or None, speed=speed)
        size = len(encoder.encode(settings))
        rows.append(
            {
                "picture": path.name,
                "model_digest": predictor.model_digest(f"finenet_x{scale}").hex(),
                "scale": str(scale),
                "compact": str(compact),
                "residual": str(residual),
                "bpp": f"{metrics.bits_per_pixel(size, width, height):.6g}",
                "psnr": f"{metrics.psnr(picture.samples, encoder.reconstruction(settings)):.6g}",
            }
        )
    return rows


def mean_points(rows: Iterable[dict[str, str]]) -> list[Point]:
    """Return the means of each candidate over the pictures.

    Args:
        rows: Rows of `FIELDS`.
    """
    groups: dict[Candidate, list[tuple[float, float]]] = {}
    for row in rows:
        key = int(row["scale"]), int(row["compact"]), int(row["residual"])
        groups.setdefault(key, []).append((float(row["bpp"]), float(row["psnr"])))
    points = []
    for key, values in groups.items():
        bpp, psnr = np.mean(values, axis=0)
        points.append(Point(float(bpp), float(psnr), *key))
    return points


def upper_hull(points: Iterable[Point]) -> list[Point]:
    """Return the points on the upper hull of PSNR over the rate, by increasing rate.

    Points above `TOP_PSNR` are left out.
    """
    hull: list[Point] = []
    allowed = [point for point in points if point.psnr <= TOP_PSNR]
    for point in sorted(allowed, key=lambda p: (p.bpp, -p.psnr)):
        if hull and point.psnr <= hull[-1].psnr:
            continue
        while len(hull) > 1 and _slope(hull[-2], point) > _slope(hull[-2], hull[-1]) + 1e-9:
            hull.pop()
        hull.append(point)
    return hull


def filled_hull(points: Sequence[Point]) -> list[Point]:
    """Return the upper hull with points close below it where its scale changes.

    Between two scales nothing can be interpolated, so a wide gap would give many qualities the same
    setting. The points that fill a gap have the scale of its upper end, no residual, a PSNR above
    all points before, and are at most `MAX_GAP_TO_HULL` below the hull.
    """
    hull = upper_hull(points)
    found = hull[:1]
    for a, b in pairwise(hull):
        between = (p for p in sorted(points) if a.bpp < p.bpp < b.bpp and not p.residual)
        for p in between if a.scale != b.scale else ():
            chord = a.psnr + (p.bpp - a.bpp) * _slope(a, b)
            rises = found[-1].psnr < p.psnr < b.psnr
            if p.scale == b.scale and rises and p.psnr > chord - MAX_GAP_TO_HULL:
                found.append(p)
        found.append(b)
    return found


def _slope(a: Point, b: Point) -> float:
    return (b.psnr - a.psnr) / (b.bpp - a.bpp)


def quality_ladder(points: Sequence[Point], steps: int = STEPS) -> list[list[int]]:
    """Return the settings of each quality, in equal steps of PSNR.

    Between two measured points of one scale the qualities are interpolated; between two scales the
    nearer point is taken.

    Args:
        points: Measured points, at least two of them on the hull.
        steps: Number of qualities.

    Returns:
        `[scale, compact quality, residual quality]` for each quality.
    """
    hull = filled_hull(points)
    psnrs = [point.psnr for point in hull]
    found = []
    for value in np.linspace(psnrs[0], psnrs[-1], steps):
        right = min(max(int(np.searchsorted(psnrs, value)), 1), len(hull) - 1)
        a, b = hull[right - 1], hull[right]
        share = (value - a.psnr) / (b.psnr - a.psnr)
        if a.scale != b.scale or (a.residual == 0) != (b.residual == 0):
            share = round(share)
        mixed = [x + share * (y - x) for x, y in ((a.compact, b.compact), (a.residual, b.residual))]
        found.append([(b if share > 0.5 else a).scale, *(round(float(v)) for v in mixed)])
    return found


def ladders(points: Sequence[Point]) -> dict[str, list[list[int]]]:
    """Return the ladder over all scales ("any") and that of each scale."""
    found = {"any": quality_ladder(points)}
    for scale in SCALES:
        found[str(scale)] = quality_ladder([point for point in points if point.scale == scale])
    return found


def run(pictures: Sequence[Path], work: Path, out: Path, values: flags.FlagValues) -> None:
    """Measure what has not been measured yet, then write the table.

    Args:
        pictures: Files of training pictures.
        work: CSV file of measurements, read and written. Rows of other weights are dropped.
        out: JSON file of the table.
        values: The command's flags.

    Raises:
        SmapcompError: `work` is another file, or a picture cannot be read.
    """
    networks = cached_networks(values.variant)
    digests = {scale: networks.digest(f"finenet_x{scale}").hex() for scale in SCALES}
    rows = [row for row in _read(work) if digests.get(int(row["scale"])) == row["model_digest"]]
    done = {(r["picture"], int(r["scale"]), int(r["compact"]), int(r["residual"])) for r in rows}
    tasks = []
    for path in pictures:
        missing = [c for c in candidates() if (path.name, *c) not in done]
        # One scale at a time, so that little is lost when a run is interrupted.
        for _, group in itertools.groupby(missing, key=lambda c: c[0]):
            tasks.append((path, list(group), values.speed, values.variant))
    with ExitStack() as stack:
        parallel: Any = map
        if values.workers > 1:
            # A process that has loaded the networks' library cannot be forked.
            pool = ProcessPoolExecutor(values.workers, mp_context=get_context("spawn"))
            parallel = stack.enter_context(pool).map
        results = parallel(measure, *zip(*tasks, strict=True)) if tasks else ()
        for found in tqdm(results, total=len(tasks), unit="task", disable=None):
            rows += found
            _write(work, rows)
    points = mean_points(rows)
    content = {
        "what": "tools.operating_points: scale, compact quality, residual quality by quality",
        "variant": values.variant,
        "model_digests": digests,
        "pictures": sorted({row["picture"] for row in rows}),
        "speed": values.speed,
        "points": ladders(points),
    }
    temporary = out.with_suffix(".tmp")
    temporary.write_text(_json(content), encoding="utf-8")
    os.replace(temporary, out)
    for point in filled_hull(points):
        residual = point.residual or "none"
        print(
            f"{point.bpp:7.3f} bpp {point.psnr:6.2f} dB  scale {point.scale}  "
            f"compact {point.compact}  residual {residual}"
        )


def _json(content: dict[str, Any]) -> str:
    """Return the table as JSON with one line for each quality."""
    points = content["points"]
    lines = [
        f'  "{scale}": [\n' + ",\n".join(f"   {json.dumps(row)}" for row in rows) + "\n  ]"
        for scale, rows in points.items()
    ]
    rest = json.dumps({**content, "points": 0}, indent=1)
    return rest.replace('"points": 0', '"points": {\n' + ",\n".join(lines) + "\n }") + "\n"


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != FIELDS:
            columns = ", ".join(FIELDS)
            raise SmapcompError(
                f"--work={path}: not a file of this command, whose columns are {columns}"
            )
        return list(reader)


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)


def define_flags(values: flags.FlagValues) -> None:
    """Define the command's flags."""
    string = functools.partial(flags.DEFINE_string, flag_values=values)
    integer = functools.partial(flags.DEFINE_integer, flag_values=values)
    string("pictures", None, "folder of training pictures.", required=True)
    string("work", None, "CSV file of measurements, read and written.", required=True)
    string("out", "smapcomp/codec/operating_points.json", "JSON file of the table.")
    string("variant", "lite", "variant of the networks.")
    integer("count", None, "number of pictures, the first ones of the folder; by default all.", 1)
    integer("workers", os.cpu_count(), "number of processes.", 1)
    integer("speed", 6, "speed of AV1 for every candidate; 6 is fast.", 0, 10)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    refuse_arguments(arguments)
    with errors_in_one_line("operating_points"):
        pictures = picture_files(FLAGS.pictures)
        run(pictures[: FLAGS.count], Path(FLAGS.work), Path(FLAGS.out), FLAGS)


if __name__ == "__main__":
    define_flags(FLAGS)
    app.run(main)
