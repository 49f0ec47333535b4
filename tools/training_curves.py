r"""Draw curves of training runs from their event files as an SVG picture.

    python -m tools.training_curves --out=curves.svg \
        --panel='Stage 1: PSNR, dB|runs/stage1|train/psnr,validation/psnr' --panel=...

A panel is `TITLE|WORKDIR|CURVE,CURVE,...`; TensorBoard shows the names of the curves. Curves of one
panel share its axes.

Exit status: 0: done. 1: a run or a curve does not exist, or the picture cannot be written. 2: a
panel is malformed.
"""

import dataclasses
import os
from collections.abc import Sequence
from html import escape

from absl import app, flags

from smapcomp.errors import SmapcompError
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.keras_startup import import_keras
from smapcomp.pictures import image_files

FLAGS = flags.FLAGS

WIDTH, HEIGHT = 340, 210
"""Size of a panel in pixels."""

LEFT, RIGHT, TOP, BOTTOM = 48, 12, 26, 44
"""Margins around a panel's axes in pixels."""

COLUMNS = 2
"""Panels in a row."""

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")

Points = list[tuple[int, float]]


@dataclasses.dataclass(frozen=True)
class Panel:
    """A pair of axes.

    Attributes:
        title: Title above the axes.
        workdir: Folder of a run.
        names: Names of its curves.
    """

    title: str
    workdir: str
    names: tuple[str, ...]


def parse_panel(text: str) -> Panel:
    """Return the panel that a flag describes.

    Args:
        text: "TITLE|WORKDIR|CURVE,CURVE,...".

    Raises:
        app.UsageError: The text is malformed.
    """
    parts = text.split("|")
    if len(parts) != 3 or not all(parts):
        raise app.UsageError(f"--panel={text!r}: is not TITLE|WORKDIR|CURVE,CURVE,...")
    names = tuple(parts[2].split(","))
    if len(names) > len(COLOURS):
        raise app.UsageError(f"--panel={text!r}: more than {len(COLOURS)} curves")
    return Panel(parts[0], parts[1], names)


def read_curves(workdir: str, names: Sequence[str]) -> dict[str, Points]:
    """Return steps and values of a run's curves.

    A run that was continued may have run a step twice; the later value counts.

    Args:
        workdir: Folder of a run of `experiments.train` with the TensorFlow backend.
        names: Names of scalar curves, such as "train/psnr".

    Raises:
        SmapcompError: There are no event files, or they do not contain a curve.
    """
    import tensorflow as tf

    folder = os.path.join(workdir, "tensorboard")
    paths = sorted(tf.io.gfile.glob(os.path.join(folder, "events*")))
    if not paths:
        raise SmapcompError(f"{folder}: has no event files")
    found: dict[str, dict[int, float]] = {}
    for record in tf.data.TFRecordDataset(paths):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "scalars":
                curve = found.setdefault(value.tag, {})
                curve[event.step] = float(tf.make_ndarray(value.tensor))
    for name in names:
        if name not in found:
            raise SmapcompError(
                f"{folder}: no curve {name!r}; there are {', '.join(sorted(found))}"
            )
    return {name: sorted(found[name].items()) for name in names}


def draw(panels: Sequence[tuple[str, dict[str, Points]]]) -> str:
    """Return the picture as SVG.

    Args:
        panels: Title and curves of each panel; a curve has at least one point.
    """
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for index, (title, curves) in enumerate(panels):
        row, column = divmod(index, COLUMNS)
        parts.append(f'<g transform="translate({column * WIDTH} {row * HEIGHT})">')
        parts += _panel(title, curves)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str, curves: dict[str, Points]) -> list[str]:
    steps = [step for points in curves.values() for step, _ in points]
    values = [value for points in curves.values() for _, value in points]
    first, last, low, high = min(steps), max(steps), min(values), max(values)

    def place(step: int, value: float) -> str:
        x = LEFT + (step - first) / max(last - first, 1) * (WIDTH - LEFT - RIGHT)
        room = HEIGHT - TOP - BOTTOM
        y = TOP + room * (1 - (value - low) / (high - low)) if high > low else TOP + room / 2
        return f"{x:.1f},{y:.1f}"

    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [
        f'<text x="{LEFT}" y="16" font-weight="bold">{escape(title)}</text>',
        f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#888"/>',
        f'<text x="{LEFT - 4}" y="{TOP + 8}" text-anchor="end">{high:.4g}</text>',
        f'<text x="{LEFT - 4}" y="{bottom}" text-anchor="end">{low:.4g}</text>',
        f'<text x="{LEFT}" y="{bottom + 14}">{first}</text>',
        f'<text x="{right}" y="{bottom + 14}" text-anchor="end">{last} steps</text>',
    ]
    at = LEFT
    for (name, points), colour in zip(curves.items(), COLOURS, strict=False):
        line = " ".join(place(step, value) for step, value in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>')
        parts.append(f'<text x="{at}" y="{bottom + 32}" fill="{colour}">{escape(name)}</text>')
        at += 8 + 6 * len(name)
    return parts


def main(arguments: Sequence[str]) -> None:
    """Draw the curves that the flags name."""
    refuse_arguments(arguments)
    panels = [parse_panel(text) for text in FLAGS.panel]
    import_keras()
    with errors_in_one_line("training_curves"):
        curves = [(panel.title, read_curves(panel.workdir, panel.names)) for panel in panels]
        image_files.write_file(FLAGS.out, draw(curves).encode(), overwrite=True)
    print(FLAGS.out)


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Define the job's flags."""
    flags.DEFINE_multi_string(
        "panel", None, "TITLE|WORKDIR|CURVE,CURVE,...", required=True, flag_values=values
    )
    flags.DEFINE_string("out", None, "SVG file.", required=True, flag_values=values)


if __name__ == "__main__":
    define_flags()
    app.run(main)
