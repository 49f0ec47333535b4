r"""Measures which compact and residual settings go together, and writes the codec's table.

    python -m tools.operating_points --pictures=DIR --work=points.csv \
        --out=smapcomp/codec/operating_points.json

Every candidate codes every picture; bytes are those of whole streams, PSNR is of what they decode
to. DIR holds training pictures, never those that the codec is evaluated on. Of the candidates'
means those stay that lie on the upper hull of PSNR over the rate; quality 0..100 walks along them
in equal steps of PSNR. Measured lines are kept in the CSV file, so an interrupted
run goes on where it was.
"""

import csv
import functools
import itertools
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import app, flags
from tqdm import tqdm

from data.picture_folder import picture_files
from smapcomp import metrics
from smapcomp.codec.encoder import PictureEncoder
from smapcomp.codec.layer_settings import LayerSettings
from smapcomp.design import SCALES
from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files as image_io
from smapcomp.predictors.engines import predictor_of

FLAGS = flags.FLAGS

FIELDS = ("picture", "model_digest", "scale", "compact", "residual", "bpp", "psnr")

SCALE_1_QUALITIES = (*range(2, 94, 4), 94, 96, 97)
"""Above 97 AV1 spends bits on what rounding to 8 bit takes away again."""

SMALL_QUALITIES = {2: range(10, 91, 8), 4: range(10, 91, 8), 8: range(26, 91, 8)}
"""Of the other scales without a residual: close, so that low qualities differ. The first of scale 8
is the lowest quality; below .012 bpp, decided here, nobody would know what is in the picture."""

COMPACT_QUALITIES = (30, 45, 60, 75, 88)
RESIDUAL_QUALITIES = (15, 30, 45, 60, 75, 90)
SCALE_1_RESIDUALS = ((20, 40), (40, 60), (60, 80))
"""Compact and residual quality at scale 1, where the residual is expected to be worth nothing."""

TOP_PSNR = 50.0
"""Mean of a candidate that may have a quality: above, bits go into what 8-bit YCbCr has lost."""

FILL = 0.1
"""How far below the hull, in dB, what fills its gaps may be; decided here."""

STEPS = 101


class Point(NamedTuple):
    """Mean of a candidate over the pictures. Residual quality 0: no residual."""

    bpp: float
    psnr: float
    scale: int
    compact: int
    residual: int


def candidates() -> list[tuple[int, int, int]]:
    """Scale, compact quality and residual quality of all that is measured."""
    found = [(1, quality, 0) for quality in SCALE_1_QUALITIES]
    found += [(1, *pair) for pair in SCALE_1_RESIDUALS]
    for scale in SCALES[1:]:
        found += [(scale, quality, 0) for quality in SMALL_QUALITIES[scale]]
        found += itertools.product((scale,), COMPACT_QUALITIES, RESIDUAL_QUALITIES)
    return found


def measure(
    path: Path, wanted: list[tuple[int, int, int]], speed: int, variant: str
) -> list[dict[str, str]]:
    """Codes one picture with all candidates."""
    predictor = predictor_of(variant)
    picture = image_io.read_picture(path)
    height, width, _ = picture.samples.shape
    encoder = PictureEncoder(predictor, picture, "mapped")
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


def means(rows: list[dict[str, str]]) -> list[Point]:
    """Mean of each candidate over the pictures."""
    groups: dict[tuple[int, ...], list[tuple[float, float]]] = {}
    for row in rows:
        key = int(row["scale"]), int(row["compact"]), int(row["residual"])
        groups.setdefault(key, []).append((float(row["bpp"]), float(row["psnr"])))
    return [Point(*np.mean(values, axis=0), *key) for key, values in groups.items()]


def frontier(points: list[Point]) -> list[Point]:
    """Those that lie on the upper hull of PSNR over the rate, the cheapest first."""
    hull: list[Point] = []
    points = [point for point in points if point.psnr <= TOP_PSNR]
    for point in sorted(points, key=lambda p: (p.bpp, -p.psnr)):
        if hull and point.psnr <= hull[-1].psnr:
            continue
        while len(hull) > 1 and _slope(hull[-2], point) > _slope(hull[-2], hull[-1]) + 1e-9:
            hull.pop()
        hull.append(point)
    return hull


def filled(points: list[Point]) -> list[Point]:
    """The hull of `frontier`, and where its scale changes what lies close below it on the way.

    Between two scales there is nothing to interpolate, and wide gaps would be many qualities of one
    setting. What is taken has the next scale, no residual, and a higher PSNR than all before.
    """
    hull = frontier(points)
    found = hull[:1]
    for a, b in pairwise(hull):
        between = (p for p in sorted(points) if a.bpp < p.bpp < b.bpp and not p.residual)
        for p in between if a.scale != b.scale else ():
            chord = a.psnr + (p.bpp - a.bpp) * _slope(a, b)
            rises = found[-1].psnr < p.psnr < b.psnr
            if p.scale == b.scale and rises and p.psnr > chord - FILL:
                found.append(p)
        found.append(b)
    return found


def _slope(a: Point, b: Point) -> float:
    return (b.psnr - a.psnr) / (b.bpp - a.bpp)


def ladder(points: list[Point], steps: int = STEPS) -> list[list[int]]:
    """`[scale, compact quality, residual quality]` of each quality, in equal steps of PSNR.

    Between two measured points of one scale their qualities are interpolated; between two scales
    the nearer one is taken.
    """
    hull = filled(points)
    wanted = np.linspace(hull[0].psnr, hull[-1].psnr, steps)
    psnrs = [point.psnr for point in hull]
    found = []
    for value in wanted:
        right = min(max(int(np.searchsorted(psnrs, value)), 1), len(hull) - 1)
        a, b = hull[right - 1], hull[right]
        share = (value - a.psnr) / (b.psnr - a.psnr)
        if a.scale != b.scale or (a.residual == 0) != (b.residual == 0):
            share = round(share)
        mixed = [x + share * (y - x) for x, y in ((a.compact, b.compact), (a.residual, b.residual))]
        found.append([(b if share > 0.5 else a).scale, *(round(float(v)) for v in mixed)])
    return found


def table(points: list[Point]) -> dict[str, list[list[int]]]:
    """The ladder over all scales ("any") and that of each scale."""
    found = {"any": ladder(points)}
    for scale in SCALES:
        found[str(scale)] = ladder([point for point in points if point.scale == scale])
    return found


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    pictures = picture_files(FLAGS.pictures)
    try:
        run(pictures[: FLAGS.count], Path(FLAGS.work), Path(FLAGS.out), FLAGS)
    except SmapcompError as error:
        print(f"operating_points: {error}", file=sys.stderr)
        sys.exit(1)


def run(pictures: list[Path], work: Path, out: Path, values: flags.FlagValues) -> None:
    """Measures what is not measured yet, then writes the table."""
    from smapcomp import zoo

    networks = zoo.load(values.variant)
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
        parallel = map
        if values.workers > 1:
            # Not forked: a process that has loaded the networks' library cannot be copied.
            pool = ProcessPoolExecutor(values.workers, mp_context=get_context("spawn"))
            parallel = stack.enter_context(pool).map
        results = parallel(measure, *zip(*tasks, strict=True)) if tasks else ()
        for found in tqdm(results, total=len(tasks), unit="task", disable=None):
            rows += found
            _write(work, rows)
    points = means(rows)
    content = {
        "what": "tools.operating_points: scale, compact quality, residual quality by quality",
        "variant": values.variant,
        "model_digests": digests,
        "pictures": sorted({row["picture"] for row in rows}),
        "speed": values.speed,
        "points": table(points),
    }
    temporary = out.with_suffix(".tmp")
    temporary.write_text(_json(content), encoding="utf-8")
    os.replace(temporary, out)
    for point in filled(points):
        residual = point.residual or "none"
        print(
            f"{point.bpp:7.3f} bpp {point.psnr:6.2f} dB  scale {point.scale}  "
            f"compact {point.compact}  residual {residual}"
        )


def _json(content: dict) -> str:
    """A line for each quality."""
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
            raise SmapcompError(f"--work={path}: not a file of this program; it has other columns")
        return list(reader)


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the job's flags."""
    string = functools.partial(flags.DEFINE_string, flag_values=values)
    integer = functools.partial(flags.DEFINE_integer, flag_values=values)
    string("pictures", None, "Folder of training pictures.", required=True)
    string("work", None, "CSV file of what is measured, read and written.", required=True)
    string("out", "smapcomp/codec/operating_points.json", "The table.")
    string("variant", "lite", "Variant of the networks.")
    integer("count", None, "Take the first so many pictures; default: all.", 1)
    integer("workers", os.cpu_count(), "Processes.", 1)
    integer("speed", 6, "Of AV1; every candidate is coded with it, and 6 is quick.", 0, 10)


if __name__ == "__main__":
    define_flags(FLAGS)
    app.run(main)
