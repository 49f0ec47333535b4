"""Shows what a source holds: a contact sheet of pictures, labels and the classes' histogram.

    python -m data.browse --source=ADEChallengeData2016 --split=training --out=sheet.png

Each picture stands beside itself under its labels' colours, with the names of its commonest
classes below. The histogram is that of the manifest for prepared records, else that of the
pictures shown and of --histogram more.

Exit status: 0 done; 1 the source or the sheet is at fault, said in one line.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

import numpy as np
from absl import app, flags
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from smapcomp.ade20k import CLASS_NAMES, PALETTE, colourise, commonest, label_counts
from smapcomp.errors import SmapcompError
from smapcomp.keras_startup import import_keras
from smapcomp.pictures import image_files as image_io

FLAGS = flags.FLAGS

CELL = 224
"""Side of the square that holds a picture, in pixels."""

GAP = 8
LINE = 14
NAMED = 4
"""Classes named below a picture."""

BARS = 40
"""Classes in the histogram."""


@dataclasses.dataclass(frozen=True)
class Histogram:
    """How often each label occurs.

    Attributes:
      pixels, pictures: of each label, int [151].
      of: how many pictures were counted.
    """

    pixels: np.ndarray
    pictures: np.ndarray
    of: int


def contact_sheet(
    examples: Sequence[dict[str, np.ndarray]], title: str, histogram: Histogram | None, columns: int
) -> np.ndarray:
    """Draws the sheet.

    Args:
      examples: as `data.load` yields them, as arrays.
      title: the first line.
      histogram: of the labels, or None for no bars.
      columns: pictures in a row.

    Returns:
      uint8 [H, W, 3].
    """
    labelled = "label_map" in examples[0]
    cell_width = (2 * CELL if labelled else CELL) + GAP
    cell_height = CELL + (NAMED + 1 if labelled else 1) * LINE + GAP
    rows = -(-len(examples) // columns)
    bars = commonest(histogram.pixels, BARS) if histogram else []
    top = 2 * LINE
    height = top + rows * cell_height + (3 + len(bars)) * LINE
    sheet = Image.new("RGB", (max(columns * cell_width, 3 * CELL) + GAP, height), "white")
    draw = ImageDraw.Draw(sheet)
    _text(draw, GAP, LINE // 2, title)
    for number, example in enumerate(examples):
        row, column = divmod(number, columns)
        _draw_example(sheet, example, GAP + column * cell_width, top + row * cell_height)
    if histogram:
        _draw_histogram(sheet, histogram, bars, top + rows * cell_height)
    return np.asarray(sheet)


def overlay(image: np.ndarray, label_map: np.ndarray) -> np.ndarray:
    """An image, uint8 [H, W, 3], under its labels' colours, half and half; void stays as it is."""
    mixed = (image.astype(np.uint16) + colourise(label_map) + 1) // 2
    return np.where(label_map[..., None] > 0, mixed, image).astype(np.uint8)


def _draw_example(sheet: Image.Image, example: dict[str, np.ndarray], left: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    image = example["image"]
    height, width, _ = image.shape
    name = example["name"].decode(errors="replace")
    _text(draw, left, top, f"{name}  {width}x{height}", 2 * CELL)
    _paste(sheet, image, left, top + LINE)
    if "label_map" not in example:
        return
    label_map = example["label_map"]
    _paste(sheet, overlay(image, label_map), left + CELL, top + LINE)
    for line, (label, share) in enumerate(commonest(label_counts(label_map), NAMED)):
        _entry(draw, left, top + CELL + (line + 1) * LINE, label, f"{share:.1%}")


def _draw_histogram(
    sheet: Image.Image, histogram: Histogram, bars: list[tuple[int, float]], top: int
) -> None:
    draw = ImageDraw.Draw(sheet)
    classes = np.count_nonzero(histogram.pixels[1:])
    _text(
        draw,
        GAP,
        top + LINE,
        f"{histogram.of} pictures, {classes} of {len(CLASS_NAMES) - 1} classes; "
        f"share of the pixels, and of the pictures that have the class:",
    )
    room = sheet.width - 2 * CELL - 2 * GAP
    for line, (label, share) in enumerate(bars):
        y = top + (line + 2) * LINE
        of_pictures = histogram.pictures[label] / histogram.of
        _entry(draw, GAP, y, label, f"{share:.2%}, {of_pictures:.0%}")
        length = max(1, round(room * share / bars[0][1]))
        colour = tuple(PALETTE[label].tolist())
        draw.rectangle((2 * CELL, y + 2, 2 * CELL + length, y + LINE - 3), colour, "grey")


def _paste(sheet: Image.Image, image: np.ndarray, left: int, top: int) -> None:
    picture = Image.fromarray(image)
    picture.thumbnail((CELL, CELL), Image.Resampling.BICUBIC)
    sheet.paste(picture, (left, top))


def _entry(draw: ImageDraw.ImageDraw, left: int, top: int, label: int, figures: str) -> None:
    colour = tuple(PALETTE[label].tolist())
    draw.rectangle((left, top + 2, left + LINE, top + LINE - 3), colour, "grey")
    _text(draw, left + LINE + 4, top, f"{label} {CLASS_NAMES[label]} {figures}")


def _text(draw: ImageDraw.ImageDraw, left: int, top: int, text: str, room: int = 0) -> None:
    font = ImageFont.load_default(LINE - 3)
    while room and len(text) > 1 and draw.textlength(text, font) > room:
        text = text[1:]  # names differ at their ends
    draw.text((left, top), text, "black", font)


def browse() -> None:
    """Writes the sheet that the flags ask for.

    Raises:
      SmapcompError: a source or folder is not what it should be.
    """
    import tensorflow as tf

    from data import clear_errors, open_source
    from data.flags import source_spec
    from data.sources.registry import shuffled_index

    image_io.check_output(FLAGS.out, overwrite=FLAGS.overwrite, image=True)
    source = open_source(source_spec(FLAGS, FLAGS.source), FLAGS.split)
    manifest = getattr(source, "manifest", None)
    more = FLAGS.histogram if source.labelled and manifest is None else 0
    shown = min(FLAGS.count, len(source))
    order = tf.data.Dataset.range(min(shown + more, len(source)))
    if FLAGS.seed is not None:
        order = order.map(lambda n: shuffled_index(n, len(source), FLAGS.seed))
    stream = order.map(source.read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    examples, counts = [], []
    with clear_errors():
        for example in tqdm(stream.as_numpy_iterator(), total=len(order), unit="picture"):
            if len(examples) < shown:
                examples.append(example)
            if source.labelled:
                counts.append(label_counts(example["label_map"]))
    histogram = None
    if manifest is not None and source.labelled:
        facts = manifest.statistics
        pixels, pictures = np.array(facts.class_pixels), np.array(facts.class_pictures)
        histogram = Histogram(pixels, pictures, manifest.written)
    elif source.labelled:
        table = np.array(counts)
        histogram = Histogram(table.sum(0), (table > 0).sum(0), len(table))
    title = f"{FLAGS.source} {FLAGS.split or ''}: {shown} of {len(source)} pictures"
    sheet = contact_sheet(examples, title, histogram, FLAGS.columns)
    image_io.write_image(FLAGS.out, sheet, overwrite=FLAGS.overwrite)
    print(FLAGS.out)


def main(arguments: Sequence[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    import_keras()
    try:
        browse()
    except (SmapcompError, OSError) as error:
        print(f"browse: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Defines the job's flags."""
    from data.flags import define_source_flags

    define_source_flags(values)
    flags.DEFINE_string(
        "out", None, "The sheet, PNG or another format.", required=True, flag_values=values
    )
    flags.DEFINE_integer("count", 24, "Pictures on the sheet.", 1, flag_values=values)
    flags.DEFINE_integer("columns", 4, "Pictures in a row.", 1, flag_values=values)
    flags.DEFINE_integer(
        "seed", None, "Shows a random choice; default: the first ones.", flag_values=values
    )
    flags.DEFINE_integer(
        "histogram", 500, "More pictures to count labels in.", 0, flag_values=values
    )
    flags.DEFINE_bool("overwrite", False, "Replace the sheet.", flag_values=values)


if __name__ == "__main__":
    import_keras()
    define_flags()
    app.run(main)
