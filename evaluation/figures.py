r"""Makes the papers' comparisons: crops of Kodak pictures from several codecs at one rate.

    python -m evaluation.figures --pictures=kodak --out=out/figures

The pictures are those of EDMS's supplement, at the rates that it has in its captions (SPEC section
5): each is coded by every codec to its rate, decoded from the file, and shown beside the original,
captioned with bits per pixel, PSNR and MS-SSIM of the whole picture (protocol `fair`). The crop is
where the codecs' squared errors differ most, so that nobody chooses it. One PNG file a picture; the
coded files stay in the folder, so an interrupted run goes on where it was.
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
from smapcomp.errors import MissingCoderError, SmapcompError
from smapcomp.pictures import image_files as image_io
from smapcomp.pictures.picture import Picture

FLAGS = flags.FLAGS

PICTURES = ("kodim09", "kodim18", "kodim14", "kodim11", "kodim16", "kodim17")
"""Of EDMS's supplement."""

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
"""What is shown beside the original, in this order, and what it is called there; BPG only where it
is installed."""

CROP, ZOOM = 144, 2
"""Pixels of a crop's side, and how large each is shown."""

_GAP, _LINE, _COLUMNS = 12, 20, 3
_STRIDE = 8
_INK, _FAINT, _PAPER, _MARK = (20, 20, 20), (90, 90, 90), (255, 255, 255), (213, 94, 0)


def published() -> dict[str, Point]:
    """EDMS as its supplement captions it, by picture, in the supplement's order."""
    points = {p.picture: p for p in load_references() if p.codec == "edms-published-figures"}
    return {name: points[name] for name in PICTURES}


def choose_crop(original: np.ndarray, decoded: Sequence[np.ndarray], side: int) -> tuple[int, int]:
    """Where the codecs differ most.

    Args:
        original, decoded: uint8 RGB `[height, width, 3]`, neither side under `side`.
        side: Of the window, pixels.

    Returns:
        Top and left of the window, multiples of 8, whose greatest and least squared error by codec
        lie furthest apart.
    """
    sums = [_window_sums(np.square(original - p.astype(np.float64)), side) for p in decoded]
    spread = (np.max(sums, axis=0) - np.min(sums, axis=0))[::_STRIDE, ::_STRIDE]
    top, left = np.unravel_index(np.argmax(spread), spread.shape)
    return int(top) * _STRIDE, int(left) * _STRIDE


def _window_sums(error: np.ndarray, side: int) -> np.ndarray:
    """Sum of `[height, width, 3]` over the window that begins at each pixel where it fits."""
    table = np.pad(error.sum(axis=2).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    rows = table[side:] - table[:-side]
    return rows[:, side:] - rows[:, :-side]


def caption(point: Point) -> str:
    """Bits per pixel, PSNR and MS-SSIM of a point; of a published one, PSNR as published."""
    similarity = "–" if point.ms_ssim is None else f"{point.ms_ssim:.4f}"
    psnr = point.psnr_planes if point.psnr is None else point.psnr
    return f"{point.bpp:.3f} bpp / {psnr:.2f} dB / {similarity}"


def draw(
    name: str,
    original: np.ndarray,
    panels: Sequence[tuple[str, Point, np.ndarray]],
    note: str = "",
) -> np.ndarray:
    """The comparison of one picture.

    Args:
        name: Of the picture.
        original: uint8 RGB `[height, width, 3]`, neither side under `CROP`.
        panels: Label, point and decoded picture, of the original's shape, of each codec.
        note: Stands under the whole picture.

    Returns:
        uint8 RGB `[height, width, 3]`: a line of title, the original whole with the crop marked,
        and the crops.
    """
    top, left = choose_crop(original, [panel[2] for panel in panels], CROP)
    side = CROP * ZOOM
    cells = [("original", f"{name}, crop at {left}, {top}", original)]
    cells += [(label, caption(point), picture) for label, point, picture in panels]
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
        f"{name} at matched rates, protocol fair: bits per pixel of the whole file / "
        "PSNR over RGB / MS-SSIM of the whole picture",
        _INK,
        plain,
    )
    sheet.paste(whole, (_GAP, 2 * _LINE))
    pen.text((_GAP, 2 * _LINE + whole.height + 1), note, _FAINT, plain)
    for index, (label, text, picture) in enumerate(cells):
        row, column = divmod(index, _COLUMNS)
        x, y = x0 + column * (side + _GAP), 2 * _LINE + row * cell_height
        crop = Image.fromarray(picture[top : top + CROP, left : left + CROP])
        sheet.paste(crop.resize((side, side), Image.Resampling.NEAREST), (x, y))
        pen.text((x, y + side + 1), label, _INK, bold)
        pen.text((x, y + side + _LINE + 1), text, _FAINT, plain)
    return np.asarray(sheet)


def make(pictures: Sequence[Path], out: Path, jobs: int) -> list[Path]:
    """Codes what is not coded yet and writes a figure for each picture of `PICTURES`.

    Returns:
        The figures' files.

    Raises:
        SmapcompError: None of the pictures is among `PICTURES`, or coding fails.
    """
    theirs = published()
    targets = {path: (theirs[path.stem].bpp,) for path in pictures if path.stem in theirs}
    if not targets:
        raise SmapcompError(f"--pictures: none of them is {', '.join(theirs)}")
    names = [name for name in CODECS if _installed(name)]
    found = harness.run_matched(names, targets, out, jobs)
    files = []
    for path, (rate,) in targets.items():
        panels = []
        for name in names:
            point, decoded = found[name, path.stem, rate]
            panels.append((CODECS[name], point, read_rgb(decoded)))
        files.append(out / f"{path.stem}.png")
        note = f"EDMS as published: {caption(theirs[path.stem])}"
        sheet = Picture.from_array(draw(path.stem, read_rgb(path), panels, note))
        image_io.write_picture(files[-1], sheet, overwrite=True)
    return files


def _installed(name: str) -> bool:
    try:
        codecs.find(name).version()
    except MissingCoderError as error:
        print(f"left out: {error}", file=sys.stderr)
        return False
    return True


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    try:
        pictures = find_pictures(FLAGS.pictures, FLAGS.kodak_dir)
        for file in make(pictures, Path(FLAGS.out), FLAGS.jobs):
            print(file)
    except SmapcompError as error:
        print(f"figures: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nfigures: interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    flags.DEFINE_string("pictures", "kodak", "Folder of pictures, or `kodak`.")
    flags.DEFINE_string("kodak_dir", None, "Folder of the Kodak pictures; default: downloaded.")
    flags.DEFINE_string("out", None, "Folder to write to.", required=True)
    flags.DEFINE_integer("jobs", os.cpu_count(), "Processes.", 1)
    app.run(main)
