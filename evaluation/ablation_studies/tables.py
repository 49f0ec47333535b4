"""Tables of differences, as tidy CSV and as Markdown."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.analysis.statistics import Difference, holm, verdict
from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files as image_io

TITLES = {
    "modes": "Modes, protocol `fair`",
    "lossless": "Lossless against lossy compact layer, protocol `fair`",
    "residual": "Residual coders, protocol `fair`",
    "segmentation": "Segmenter on x, on u, and after SMapNet",
    "smapnet": "What SMapNet sees and gives",
    "losses": "Losses of FineNet, protocol `fair`",
}
"""Of the groups, in the order of their tables."""

NOTES = {
    "modes": "PSNR at equal bits is the difference of PSNR less what the difference of bits would "
    "have gained along the other mode's own curve, a straight line over log(bpp) between its "
    "measured qualities, picture by picture. The prediction of the papers' design does not depend "
    "on quality.",
    "lossless": "BD-rate, picture by picture: bits at equal quality; under 0 is better.",
    "residual": "The papers' design with each residual coder. BD-rate as for the compact layer.",
    "segmentation": "x is the picture, u the up-sampled compact image of the papers' design. The "
    "intervals of figures over all pixels, and of mean IoU, are the bootstrap's.",
    "smapnet": "Each SMapNet was trained anew with the same steps, crops and learning rate; all "
    "else is as it was. “none” is u's label map as the segmenter finds it.",
    "losses": "Each FineNet was trained anew with the same steps and crops; CompNet was held "
    "fixed, so that all take the same bits. PSNR and MS-SSIM are those of the prediction, which "
    "was coded and decoded without residual in mode `none`.",
}


@dataclass(frozen=True)
class Figure:
    """What is compared.

    Attributes:
        name: For people.
        unit: Of a difference.
        digits: Behind the point, of a difference.
        value_unit: Of the value itself, where it is another one.
        value_digits: Behind its point.
        more_is_better: Else less is.
    """

    name: str
    unit: str
    digits: int
    value_unit: str
    value_digits: int
    more_is_better: bool


BITS = Figure("bits", "%", 2, "bpp", 4, False)
BD_RATES = {
    key: Figure(f"BD-rate, {name}", "%", 1, "", 0, False)
    for key, name in (("psnr", "PSNR"), ("ms_ssim_db", "MS-SSIM"), ("ssimulacra2", "SSIMULACRA2"))
}
"""By the key of a protocol's metric."""

PSNR = Figure("PSNR", "dB", 3, "dB", 2, True)
PSNR_AT_EQUAL_BITS = Figure("PSNR at equal bits", "dB", 3, "", 0, True)
PREDICTION = Figure("prediction's PSNR", "dB", 3, "dB", 2, True)
MS_SSIM = Figure("MS-SSIM", "dB", 3, "dB", 2, True)
PIXEL_ACCURACY = Figure("pixel accuracy, mean over pictures", "points", 1, "%", 1, True)
ALL_PIXELS = Figure("pixel accuracy, all pixels", "points", 1, "%", 1, True)
MEAN_IOU = Figure("mean IoU", "points", 1, "%", 1, True)
FIGURES = {
    figure.name: figure
    for figure in (
        *(BITS, PSNR, PSNR_AT_EQUAL_BITS, PREDICTION, MS_SSIM, *BD_RATES.values()),
        *(PIXEL_ACCURACY, ALL_PIXELS, MEAN_IOU),
    )
}


@dataclass(frozen=True)
class Row:
    """One difference.

    Attributes:
        group: Key of `TITLES`.
        pictures: Name of the set of pictures.
        count: How many the difference was taken over.
        conditions: Common to both: quality, design, steps of training.
        variant, against: What is compared.
        figure: Name in `FIGURES`.
        value: Of the variant; None where there is none, as of a BD-rate.
        difference, low, high, p_value: As `Difference` has them.
    """

    group: str
    pictures: str
    count: int
    conditions: str
    variant: str
    against: str
    figure: str
    value: float | None
    difference: float
    low: float
    high: float
    p_value: float


FIELDS = tuple(field.name for field in dataclasses.fields(Row))
_DERIVED = ("unit", "p_value_holm", "verdict")
_NUMBERS = ("value", "difference", "low", "high", "p_value")


def row(
    group: str,
    pictures: str,
    conditions: str,
    pair: tuple[str, str],
    figure: Figure,
    difference: Difference,
    value: float | None = None,
) -> Row:
    """A row of `pair`, the variant and what it is compared with."""
    found = difference
    numbers = value, found.value, found.low, found.high, found.p_value
    return Row(group, pictures, found.pictures, conditions, *pair, figure.name, *numbers)


def merge(kept: Iterable[Row], new: Sequence[Row]) -> list[Row]:
    """The rows kept earlier, those of the new rows' tables replaced by the new, table by table."""
    tables = {(found.group, found.pictures) for found in new}
    rows = [found for found in kept if (found.group, found.pictures) not in tables]
    order = list(TITLES)
    return sorted([*rows, *new], key=lambda found: (order.index(found.group), found.pictures))


def judged(rows: Sequence[Row]) -> list[tuple[Row, float, str]]:
    """Each row with its p-value by Holm's method among its table's, and its verdict."""
    tables: dict[tuple[str, str], list[int]] = {}
    for index, found in enumerate(rows):
        tables.setdefault((found.group, found.pictures), []).append(index)
    result: list = [None] * len(rows)
    for members in tables.values():
        adjusted = holm([rows[index].p_value for index in members])
        for index, p_value in zip(members, adjusted, strict=True):
            found = rows[index]
            difference = Difference(
                found.difference, found.low, found.high, found.p_value, found.count
            )
            word = verdict(difference, FIGURES[found.figure].more_is_better, p_value)
            result[index] = (found, p_value, word)
    return result


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file that `write` wrote; none if there is no such file.

    Raises:
        SmapcompError: It is another file.
    """
    if not path.exists():
        return []
    reader = csv.DictReader(io.StringIO(path.read_text("utf-8")))
    if tuple(reader.fieldnames or ()) != (*FIELDS, *_DERIVED):
        raise SmapcompError(f"{path}: not a file of ablations; it has other columns")
    rows = []
    for line in reader:
        values: dict = {name: line[name] for name in FIELDS}
        for name in _NUMBERS:
            values[name] = float(line[name]) if line[name] else None
        rows.append(Row(**values | {"count": int(line["count"])}))
    return rows


def write(folder: Path, rows: Sequence[Row]) -> None:
    """Writes `ablations.csv` and `ablations.md`."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*FIELDS, *_DERIVED))
    for found, p_value, word in judged(rows):
        values = [_text(getattr(found, name)) for name in FIELDS]
        writer.writerow([*values, FIGURES[found.figure].unit, _text(p_value), word])
    image_io.write_file(folder / "ablations.csv", file.getvalue().encode(), overwrite=True)
    image_io.write_file(folder / "ablations.md", markdown(rows).encode(), overwrite=True)


def markdown(rows: Sequence[Row]) -> str:
    """The tables, with what their columns mean."""
    parts = [
        "# Ablations\n",
        "Differences of a variant from what it is compared with, means over the pictures, with "
        "95 % confidence intervals over the pictures (Student's t of the paired differences; the "
        "bootstrap where it says so). *noise*: the interval contains 0. *?*: it does not, but "
        "among as many differences as the table has, that may be chance (Holm's method, 5 %).\n",
    ]
    title = None
    for found, _, word in judged(rows):
        if title != (found.group, found.pictures):
            title = found.group, found.pictures
            parts.append(f"\n## {TITLES[found.group]}: {found.pictures}\n\n{NOTES[found.group]}\n")
            parts.append(
                "\n| conditions | variant | against | figure | pictures | value | difference, "
                "95 % interval | verdict |\n|---|---|---|---|---|---|---|---|"
            )
        parts.append(_line(found, word))
    return "\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


def _line(found: Row, word: str) -> str:
    figure = FIGURES[found.figure]
    value = "" if found.value is None else f"{found.value:.{figure.value_digits}f}"
    ends = " to ".join(_signed(end, figure.digits) for end in (found.low, found.high))
    cells = (
        *(found.conditions, found.variant, found.against, found.figure, str(found.count)),
        f"{value} {figure.value_unit}".strip() if value else "",
        f"{_signed(found.difference, figure.digits)} {figure.unit} ({ends})",
        word,
    )
    return f"| {' | '.join(cells)} |"


def _signed(value: float, digits: int) -> str:
    """With its sign, a true minus; 0 without one."""
    text = f"{value:+.{digits}f}"
    return f"{0:.{digits}f}" if not float(text) else text.replace("-", "−")


def _text(value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
