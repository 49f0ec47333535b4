"""Job that draws a contact sheet of a source: pictures, label maps and the histogram of classes.

    python -m data.browse --source=ADEChallengeData2016 --split=training --out=sheet.png

Beside each picture, the sheet shows it under the colours of its labels, and below it the names of
its most frequent classes. The histogram of prepared records comes from their manifest; otherwise
the pictures on the sheet and --histogram more are counted.

Exit status: 0 after success; 1 if the source or the sheet is at fault, with the reason in one line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import app, flags
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from smapcomp.ade20k import CLASS_NAMES, PALETTE, colourise, label_counts, top_labels
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.keras_startup import import_keras
from smapcomp.pictures import image_files

FLAGS = flags.FLAGS

CELL = 224
"""Side of the square that holds a picture, in pixels."""

GAP = 8
"""Distance between cells in pixels."""

LINE = 14
"""Height of a line of text in pixels."""

NAMED_CLASSES = 4
"""Number of classes that are named below a picture."""

BARS = 40
"""Most classes in the histogram."""


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Frequency of each label.

    Attributes:
        pixels: Number of pixels of each label, int [151].
        pictures: Number of pictures with each label, int [151].
        total_pictures: Number of pictures that were counted.
    """

    pixels: np.ndarray
    pictures: np.ndarray
    total_pictures: int


def contact_sheet(
    examples: Sequence[dict[str, np.ndarray]], title: str, histogram: Histogram | None, columns: int
) -> np.ndarray:
    """Draw the sheet.

    Args:
        examples: One or more examples of `data.load` as NumPy arrays.
        title: First line of the sheet.
        histogram: Frequency of the labels; `None` for no histogram.
        columns: Pictures in a row.

    Returns:
        uint8 [H, W, 3].
    """
    labelled = "label_map" in examples[0]
    cell_width = (2 * CELL if labelled else CELL) + GAP
    cell_height = CELL + (NAMED_CLASSES + 1 if labelled else 1) * LINE + GAP
    rows = -(-len(examples) // columns)
    bars = top_labels(histogram.pixels, BARS) if histogram else []
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
    """Return the mean of an image, uint8 [H, W, 3], and the colours of its labels.

    Where the label map, uint8 [H, W], is void, the image stays as it is.
    """
    mixed = (image.astype(np.uint16) + colourise(label_map) + 1) // 2
    return np.where(label_map[..., None] > 0, mixed, image).astype(np.uint8)


def _draw_example(sheet: Image.Image, example: dict[str, Any], left: int, top: int) -> None:
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
    for line, (label, share) in enumerate(top_labels(label_counts(label_map), NAMED_CLASSES)):
        _draw_class(draw, left, top + CELL + (line + 1) * LINE, label, f"{share:.1%}")


def _draw_histogram(
    sheet: Image.Image, histogram: Histogram, bars: list[tuple[int, float]], top: int
) -> None:
    draw = ImageDraw.Draw(sheet)
    classes = np.count_nonzero(histogram.pixels[1:])
    _text(
        draw,
        GAP,
        top + LINE,
        f"{histogram.total_pictures} pictures, {classes} of {len(CLASS_NAMES) - 1} classes; "
        f"share of the pixels, and of the pictures that have the class:",
    )
    room = sheet.width - 2 * CELL - 2 * GAP
    for line, (label, share) in enumerate(bars):
        y = top + (line + 2) * LINE
        of_pictures = histogram.pictures[label] / histogram.total_pictures
        _draw_class(draw, GAP, y, label, f"{share:.2%}, {of_pictures:.0%}")
        length = max(1, round(room * share / bars[0][1]))
        colour = tuple(PALETTE[label].tolist())
        draw.rectangle((2 * CELL, y + 2, 2 * CELL + length, y + LINE - 3), colour, "grey")


def _paste(sheet: Image.Image, image: np.ndarray, left: int, top: int) -> None:
    picture = Image.fromarray(image)
    picture.thumbnail((CELL, CELL), Image.Resampling.BICUBIC)
    sheet.paste(picture, (left, top))


def _draw_class(draw: ImageDraw.ImageDraw, left: int, top: int, label: int, figures: str) -> None:
    colour = tuple(PALETTE[label].tolist())
    draw.rectangle((left, top + 2, left + LINE, top + LINE - 3), colour, "grey")
    _text(draw, left + LINE + 4, top, f"{label} {CLASS_NAMES[label]} {figures}")


def _text(draw: ImageDraw.ImageDraw, left: int, top: int, text: str, room: int = 0) -> None:
    font = ImageFont.load_default(LINE - 3)
    while room and len(text) > 1 and draw.textlength(text, font) > room:
        text = text[1:]  # the ends of file names tell them apart
    draw.text((left, top), text, "black", font)


def browse() -> None:
    """Write the sheet that the flags describe.

    Raises:
        SmapcompError: The source or the sheet is at fault.
    """
    import tensorflow as tf

    from data import clear_errors, open_source
    from data.flags import source_spec
    from data.sources.registry import shuffled_index

    image_files.check_output(FLAGS.out, overwrite=FLAGS.overwrite, image=True)
    source = open_source(source_spec(FLAGS, FLAGS.source), FLAGS.split)
    manifest = getattr(source, "manifest", None)
    more = FLAGS.histogram if source.labelled and manifest is None else 0
    on_sheet = min(FLAGS.count, len(source))
    order = tf.data.Dataset.range(min(on_sheet + more, len(source)))
    if FLAGS.seed is not None:
        order = order.map(lambda n: shuffled_index(n, len(source), FLAGS.seed))
    stream = order.map(source.read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    examples: list[dict[str, Any]] = []
    counts: list[np.ndarray] = []
    with clear_errors():
        for example in tqdm(stream.as_numpy_iterator(), total=len(order), unit="picture"):
            if len(examples) < on_sheet:
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
    title = f"{FLAGS.source} {FLAGS.split or ''}: {on_sheet} of {len(source)} pictures"
    sheet = contact_sheet(examples, title, histogram, FLAGS.columns)
    image_files.write_image(FLAGS.out, sheet, overwrite=FLAGS.overwrite)
    print(FLAGS.out)


def main(arguments: Sequence[str]) -> None:
    """Run the job."""
    refuse_arguments(arguments)
    import_keras()
    with errors_in_one_line("browse"):
        browse()


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Define the flags of the job."""
    from data.flags import define_source_flags

    define_source_flags(values)
    flags.DEFINE_string(
        "out", None, "File of the sheet, PNG or another format.", required=True, flag_values=values
    )
    flags.DEFINE_integer("count", 24, "Number of pictures on the sheet.", 1, flag_values=values)
    flags.DEFINE_integer("columns", 4, "Pictures in a row.", 1, flag_values=values)
    flags.DEFINE_integer(
        "seed",
        None,
        "Seed of a random choice of pictures. By default the first ones are taken.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "histogram",
        500,
        "Number of further pictures whose labels are counted.",
        0,
        flag_values=values,
    )
    flags.DEFINE_bool("overwrite", False, "Replace an existing sheet.", flag_values=values)


if __name__ == "__main__":
    import_keras()
    define_flags()
    app.run(main)
