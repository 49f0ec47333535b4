"""Tables of differences between variants, as CSV and as Markdown."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.analysis.statistics import Difference, holm, verdict
from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files

TITLES = {
    "modes": "Modes, protocol `fair`",
    "lossless": "Lossless against lossy compact layer, protocol `fair`",
    "residual": "Residual coders, protocol `fair`",
    "segmentation": "Segmenter on x, on u, and after SMapNet",
    "smapnet": "Representation of SMapNet's labels",
    "losses": "Losses of FineNet, protocol `fair`",
}
"""Group to the title of its tables, in the order of the tables."""

NOTES = {
    "modes": "“PSNR at equal bits” is the difference in PSNR minus the gain that the difference in "
    "bits would have along the other mode's own curve, which is a straight line over log(bpp) "
    "between its measured qualities, picture by picture. The prediction of the papers' design does "
    "not depend on the quality.",
    "lossless": "BD-rates picture by picture: difference in bits at equal quality; negative is "
    "better.",
    "residual": "The papers' design with each residual coder. BD-rates as for the compact layer.",
    "segmentation": "x is the picture, u the up-sampled compact image of the papers' design. "
    "Intervals for all pixels and for mean IoU are by the bootstrap.",
    "smapnet": "Each SMapNet was trained anew with the same steps, crops and learning rate; all "
    "other networks are the same. “none” is the segmenter's label map of u.",
    "losses": "Each FineNet was trained anew with the same steps and crops; CompNet was frozen, so "
    "that all variants take the same bits. PSNR and MS-SSIM are those of the prediction, which was "
    "coded and decoded without a residual in mode `none`.",
}
"""Group to the text above its tables."""


@dataclass(frozen=True)
class Quantity:
    """A quantity that is compared.

    Attributes:
        name: Name for people.
        unit: Unit of a difference.
        digits: Decimals of a difference.
        value_unit: Unit of the value itself.
        value_digits: Decimals of the value itself.
        more_is_better: Whether a larger value is better.
    """

    name: str
    unit: str
    digits: int
    value_unit: str
    value_digits: int
    more_is_better: bool


BITS = Quantity("bits", "%", 2, "bpp", 4, False)
BD_RATES = {
    key: Quantity(f"BD-rate, {name}", "%", 1, "", 0, False)
    for key, name in (("psnr", "PSNR"), ("ms_ssim_db", "MS-SSIM"), ("ssimulacra2", "SSIMULACRA2"))
}
"""BD-rates by the key of the protocol's metric."""

PSNR = Quantity("PSNR", "dB", 3, "dB", 2, True)
PSNR_AT_EQUAL_BITS = Quantity("PSNR at equal bits", "dB", 3, "", 0, True)
PREDICTION = Quantity("prediction's PSNR", "dB", 3, "dB", 2, True)
MS_SSIM = Quantity("MS-SSIM", "dB", 3, "dB", 2, True)
PIXEL_ACCURACY = Quantity("pixel accuracy, mean over pictures", "points", 1, "%", 1, True)
ALL_PIXELS = Quantity("pixel accuracy, all pixels", "points", 1, "%", 1, True)
MEAN_IOU = Quantity("mean IoU", "points", 1, "%", 1, True)
QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        *(BITS, PSNR, PSNR_AT_EQUAL_BITS, PREDICTION, MS_SSIM, *BD_RATES.values()),
        *(PIXEL_ACCURACY, ALL_PIXELS, MEAN_IOU),
    )
}
"""Name to quantity."""


@dataclass(frozen=True)
class Row:
    """One difference.

    Attributes:
        group: Key of `TITLES`.
        pictures: Name of the set of pictures.
        count: Number of pictures.
        conditions: What both variants have in common: quality, design, training.
        variant: Name of the variant.
        against: Name of what it is compared with.
        figure: Name of the compared quantity, a key of `QUANTITIES`.
        value: Value of the variant; `None` if there is none, as for a BD-rate.
        difference: As `value` in `Difference`.
        low: As in `Difference`.
        high: As in `Difference`.
        p_value: As in `Difference`.
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
"""Columns of the CSV file that are read back."""
_DERIVED = ("unit", "p_value_holm", "verdict")
_NUMBERS = ("value", "difference", "low", "high", "p_value")


def make_row(
    group: str,
    pictures: str,
    conditions: str,
    pair: tuple[str, str],
    quantity: Quantity,
    difference: Difference,
    value: float | None = None,
) -> Row:
    """Return a row.

    Args:
        group: Key of `TITLES`.
        pictures: Name of the set of pictures.
        conditions: What both variants have in common.
        pair: Names of the variant and of what it is compared with.
        quantity: The compared quantity.
        difference: The difference.
        value: Value of the variant, if there is one.
    """
    found = difference
    numbers = value, found.value, found.low, found.high, found.p_value
    return Row(group, pictures, found.pictures, conditions, *pair, quantity.name, *numbers)


def merge_rows(kept: Iterable[Row], new: Sequence[Row]) -> list[Row]:
    """Return earlier rows and new rows; new tables replace earlier ones of the same name."""
    tables = {(found.group, found.pictures) for found in new}
    rows = [found for found in kept if (found.group, found.pictures) not in tables]
    order = list(TITLES)
    return sorted([*rows, *new], key=lambda found: (order.index(found.group), found.pictures))


def with_verdicts(rows: Sequence[Row]) -> list[tuple[Row, float, str]]:
    """Return each row with its adjusted p-value and its verdict.

    The p-values are adjusted by Holm's method within each table.
    """
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
            word = verdict(difference, QUANTITIES[found.figure].more_is_better, p_value)
            result[index] = (found, p_value, word)
    return result


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a CSV file that `write_tables` wrote; none if there is no such file.

    Raises:
        SmapcompError: The file has other columns.
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


def write_tables(folder: Path, rows: Sequence[Row]) -> None:
    """Write `ablations.csv` and `ablations.md`."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*FIELDS, *_DERIVED))
    for found, p_value, word in with_verdicts(rows):
        values = [_text(getattr(found, name)) for name in FIELDS]
        writer.writerow([*values, QUANTITIES[found.figure].unit, _text(p_value), word])
    image_files.write_file(folder / "ablations.csv", file.getvalue().encode(), overwrite=True)
    image_files.write_file(folder / "ablations.md", markdown(rows).encode(), overwrite=True)


def markdown(rows: Sequence[Row]) -> str:
    """Return the tables in Markdown, with an explanation of their columns."""
    parts = [
        "# Ablations\n",
        "Each row has the difference of a variant from what it is compared with, as a mean over "
        "the pictures with a 95 % confidence interval (Student's t of the paired differences, or "
        "the bootstrap where noted). *noise*: the interval contains 0. *?*: it does not, but among "
        "as many differences as the table has, this one may be chance (Holm's method, 5 %).\n",
    ]
    title = None
    for found, _, word in with_verdicts(rows):
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
    quantity = QUANTITIES[found.figure]
    value = "" if found.value is None else f"{found.value:.{quantity.value_digits}f}"
    ends = " to ".join(_signed(end, quantity.digits) for end in (found.low, found.high))
    cells = (
        *(found.conditions, found.variant, found.against, found.figure, str(found.count)),
        f"{value} {quantity.value_unit}".strip() if value else "",
        f"{_signed(found.difference, quantity.digits)} {quantity.unit} ({ends})",
        word,
    )
    return f"| {' | '.join(cells)} |"


def _signed(value: float, digits: int) -> str:
    """Return a number with its sign and a true minus; 0 has no sign."""
    text = f"{value:+.{digits}f}"
    return f"{0:.{digits}f}" if not float(text) else text.replace("-", "−")


def _text(value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
