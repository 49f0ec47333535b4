"""Make the papers' visual comparisons: crops of pictures from several codecs at one rate.

    python -m evaluation.figures --pictures=kodak --out=out/figures
    python -m evaluation.figures --pictures=DIR --out=out/figures --bpp=0.3

`kodak` stands for the six pictures of EDMS's supplement, at their rates there (docs/spec.md,
section 5); a folder for all of its pictures, at --bpp. In a folder too, a picture with the name of
one of those six has the published rate. Every codec codes each picture to its rate. The crop of the
decoded picture is shown beside the original's, with bits per pixel, PSNR and MS-SSIM of the whole
picture (protocol `fair`). The crop is where the codecs' squared errors differ most, so nobody
chooses it. There is one PNG file for each picture. The coded files stay in the folder, so an
interrupted run continues where it stopped.

Exit status: 0 success; 1 a picture, a codec, a file or a flag is at fault; 130 interrupted.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import app, flags
from PIL import Image, ImageDraw, ImageFont

from data.picture_folder import find_pictures
from evaluation import codecs
from evaluation.analysis.references import load_references
from evaluation.measurement import harness
from evaluation.measurement.measure import read_rgb
from evaluation.measurement.points import Point
from smapcomp.errors import SmapcompError
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.pictures import image_files
from smapcomp.pictures.picture import Picture

FLAGS = flags.FLAGS

PICTURES = ("kodim09", "kodim18", "kodim14", "kodim11", "kodim16", "kodim17")
"""Pictures of EDMS's supplement."""

CODECS = {
    "jpeg-420": "JPEG",
    "jpeg2000": "JPEG 2000",
    "webp-m6": "WebP",
    "bpg-444": "BPG 4:4:4",
    "avif-444-psnr-s4": "AVIF, tuned for PSNR",
    "smapcomp:mode=sent,compact_coder=jxl": "smapcomp as DSSLIC (sent)",
    "smapcomp:mode=mapped,compact_coder=jxl": "smapcomp as EDMS (mapped)",
    "smapcomp": "smapcomp, default",
}
"""Codecs in the order of their crops, with the titles of the crops. BPG is left out where it is not
installed."""

DEFAULT_BPP = 0.4
"""Bits per pixel of a picture without a published rate; the published ones are 0.396 to 0.786."""

CROP, ZOOM = 144, 2
"""Side of a crop in pixels, and its magnification."""

_GAP, _LINE, _COLUMNS = 12, 20, 3
_STRIDE = 8
_INK, _FAINT, _PAPER, _MARK = (20, 20, 20), (90, 90, 90), (255, 255, 255), (213, 94, 0)


def published_points() -> dict[str, Point]:
    """Return EDMS's points in the captions of its supplement, by picture, in that order."""
    points = {p.picture: p for p in load_references() if p.codec == "edms-published-figures"}
    return {name: points[name] for name in PICTURES}


def choose_crop(original: np.ndarray, decoded: Sequence[np.ndarray], side: int) -> tuple[int, int]:
    """Return where the codecs differ most.

    Args:
        original: uint8 RGB `[height, width, 3]`.
        decoded: The codecs' pictures of the same shape.
        side: Side of the window in pixels, no longer than the picture's sides.

    Returns:
        Top and left of the window, multiples of 8, in which the largest and the smallest squared
        error of the codecs differ most.
    """
    sums = [_window_sums(np.square(original - p.astype(np.float64)), side) for p in decoded]
    spread = (np.max(sums, axis=0) - np.min(sums, axis=0))[::_STRIDE, ::_STRIDE]
    top, left = np.unravel_index(np.argmax(spread), spread.shape)
    return int(top) * _STRIDE, int(left) * _STRIDE


def _window_sums(error: np.ndarray, side: int) -> np.ndarray:
    """Sum `[height, width, 3]` over the window at each pixel where the window fits."""
    table = np.pad(error.sum(axis=2).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    rows = table[side:] - table[:-side]
    return rows[:, side:] - rows[:, :-side]


def caption(point: Point) -> str:
    """Return bits per pixel, PSNR and MS-SSIM of a point.

    A published point has the published PSNR.
    """
    similarity = "–" if point.ms_ssim is None else f"{point.ms_ssim:.4f}"
    psnr = point.psnr_planes if point.psnr is None else point.psnr
    return f"{point.bpp:.3f} bpp / {psnr:.2f} dB / {similarity}"


def draw_comparison(
    name: str,
    original: np.ndarray,
    panels: Sequence[tuple[str, Point, np.ndarray]],
    note: str = "",
) -> np.ndarray:
    """Draw the comparison of one picture.

    Args:
        name: Name of the picture.
        original: uint8 RGB `[height, width, 3]`, no side shorter than `CROP`.
        panels: Title, point and decoded picture of each codec.
        note: Text below the whole picture.

    Returns:
        uint8 RGB `[height, width, 3]`: a title, the whole original with the crop marked, and the
        crops.
    """
    top, left = choose_crop(original, [panel[2] for panel in panels], CROP)
    side = CROP * ZOOM
    cells = [("original", f"{name}, crop at {left}, {top}", original)]
    cells += [(title, caption(point), picture) for title, point, picture in panels]
    rows = -(-len(cells) // _COLUMNS)
    cell_height = side + 2 * _LINE + _GAP
    height = rows * cell_height + 2 * _LINE + _GAP
    whole = Image.fromarray(original)
    ImageDraw.Draw(whole).rectangle((left, top, left + CROP, top + CROP), outline=_MARK, width=3)
    whole.thumbnail((side * 2, height - 4 * _LINE - 2 * _GAP), Image.Resampling.LANCZOS)
    x0 = whole.width + 2 * _GAP
    sheet = Image.new("RGB", (x0 + _COLUMNS * (side + _GAP), height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    bold, plain = ImageFont.load_default(17), ImageFont.load_default(14)
    pen.text(
        (_GAP, _GAP // 2),
        f"{name} at equal rates, protocol fair: bits per pixel of the whole file / "
        "PSNR over RGB / MS-SSIM of the whole picture",
        _INK,
        plain,
    )
    sheet.paste(whole, (_GAP, 2 * _LINE))
    pen.text((_GAP, 2 * _LINE + whole.height + 1), note, _FAINT, plain)
    for index, (title, text, picture) in enumerate(cells):
        row, column = divmod(index, _COLUMNS)
        x, y = x0 + column * (side + _GAP), 2 * _LINE + row * cell_height
        crop = Image.fromarray(picture[top : top + CROP, left : left + CROP])
        sheet.paste(crop.resize((side, side), Image.Resampling.NEAREST), (x, y))
        pen.text((x, y + side + 1), title, _INK, bold)
        pen.text((x, y + side + _LINE + 1), text, _FAINT, plain)
    return np.asarray(sheet)


def write_figures(
    pictures: Sequence[Path], out: Path, jobs: int, bpp: float = DEFAULT_BPP
) -> list[Path]:
    """Code pictures where needed, and write a figure of each.

    Args:
        pictures: Files of pictures.
        out: Folder to write to.
        jobs: Number of processes.
        bpp: Bits per pixel of pictures that are not of `PICTURES`.

    Returns:
        The figures' files.

    Raises:
        SmapcompError: A picture cannot be read or coded, or is smaller than a crop.
    """
    for path in pictures:
        height, width, _ = read_rgb(path).shape
        if min(height, width) < CROP:
            raise SmapcompError(f"{path}: {width}x{height} pixels; a side has at least {CROP}")
    published = published_points()
    targets = {
        path: (published[path.stem].bpp if path.stem in published else bpp,) for path in pictures
    }
    names = []
    for name in CODECS:
        reason = codecs.why_unavailable(name)
        if reason:
            print(f"{name} is left out: {reason}", file=sys.stderr)
        else:
            names.append(name)
    found = harness.measure_rates(names, targets, out, jobs)
    files = []
    for path, (rate,) in targets.items():
        panels = []
        for name in names:
            point, decoded = found[name, path.stem, rate]
            panels.append((CODECS[name], point, read_rgb(decoded)))
        files.append(out / f"{path.stem}.png")
        point = published.get(path.stem)
        note = f"EDMS as published: {caption(point)}" if point else ""
        sheet = Picture.from_array(draw_comparison(path.stem, read_rgb(path), panels, note))
        image_files.write_picture(files[-1], sheet, overwrite=True)
    return files


def main(arguments: list[str]) -> None:
    """Run the command.

    Args:
        arguments: The command line without its flags.
    """
    refuse_arguments(arguments)
    with errors_in_one_line("figures"):
        pictures = find_pictures(FLAGS.pictures, FLAGS.kodak_dir)
        if FLAGS.pictures == "kodak":
            pictures = [path for path in pictures if path.stem in PICTURES]
        for file in write_figures(pictures, Path(FLAGS.out), FLAGS.jobs, FLAGS.bpp):
            print(file)


if __name__ == "__main__":
    flags.DEFINE_string(
        "pictures", "kodak", "Folder of pictures, or `kodak` for the six of EDMS's supplement."
    )
    flags.DEFINE_float(
        "bpp", DEFAULT_BPP, "Bits per pixel of pictures without a published rate.", 0.01, 24
    )
    flags.DEFINE_string(
        "kodak_dir", None, "Folder of the Kodak pictures; downloaded once by default."
    )
    flags.DEFINE_string("out", None, "Folder to write to.", required=True)
    flags.DEFINE_integer("jobs", os.cpu_count(), "Number of processes.", 1)
    app.run(main)
