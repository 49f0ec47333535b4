"""What the figures have in common: look, titles, lines, axes, legend, files."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from evaluation.analysis.codec_names import label
from evaluation.plotting.styles import DARK, Style, is_own

WIDTH = 7.2
"""Of a figure, inches: a printed page's."""

PNG_DOTS_PER_INCH = 160

_LOOK = {
    "font.family": "sans-serif",
    # Widths are measured with the first; the others are for readers of an SVG who lack it.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#D8D8D8",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.size": 0,
    "svg.fonttype": "none",
    "svg.hashsalt": "smapcomp",
}

_LABEL_LENGTH = 26


def look() -> AbstractContextManager:
    """A context in which figures look the same whatever the user's settings are."""
    # The backend would stay changed beyond the context.
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"}
    return matplotlib.rc_context(defaults | _LOOK)


def label_lines(codec: str) -> str:
    """A codec's label, broken into lines where it is long."""
    return textwrap.fill(label(codec), _LABEL_LENGTH)


def canvas(title: str, subtitle: str, note: str, columns: int = 1) -> tuple[Figure, Axes]:
    """A figure with titles, a note below, room for a legend on the right, and its first axes."""
    figure = Figure(figsize=(WIDTH, 4.3))
    lines = titles(figure, title, subtitle, note)
    panels = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
    height = figure.get_figheight()
    top = 0.66 if columns == 1 else 0.82
    figure.subplots_adjust(
        left=0.092, right=0.69, top=1 - top / height, bottom=(0.5 + 0.13 * lines) / height
    )
    return figure, panels[0]


def titles(figure: Figure, title: str, subtitle: str, note: str) -> int:
    """Writes them and returns how many lines the note has."""
    height = figure.get_figheight()
    figure.text(0.015, 1 - 0.2 / height, title, fontsize=10.5, fontweight="bold", va="center")
    figure.text(0.015, 1 - 0.4 / height, subtitle, fontsize=8, color=DARK, va="center")
    lines = textwrap.wrap(note, 125)
    for number, text in enumerate(reversed(lines)):
        figure.text(0.015, (0.06 + 0.13 * number) / height, text, fontsize=7, color=DARK)
    return len(lines)


def line(
    axes: Axes,
    looks: Mapping[str, Style],
    codec: str,
    x: Sequence[float],
    y: Sequence[float],
    **options,
) -> None:
    """Draws a codec's line in its style, with further options of matplotlib's."""
    axes.add_line(handle(looks, codec, x, y, **options))
    axes.autoscale_view()


def handle(
    looks: Mapping[str, Style],
    codec: str,
    x: Sequence[float] = (),
    y: Sequence[float] = (),
    **options,
) -> Line2D:
    """A line in a codec's style; without points, for a legend."""
    style = looks[codec]
    given = {
        "color": style.colour,
        "linewidth": style.width,
        "marker": style.marker,
        "markersize": style.size,
        "markeredgewidth": 0.5 if style.marker not in "1234+x" else 1.0,
        "markeredgecolor": "white" if style.marker not in "1234+x" else style.colour,
        "label": label_lines(codec),
        "zorder": 5 if is_own(codec) else 3,
    }
    made = Line2D(x, y, **(given | options))
    if style.dashes:
        made.set_dashes(style.dashes)
    return made


def logarithmic(axes: Axes) -> None:
    """Makes the x axis logarithmic, with ticks at 1, 2 and 5."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(plain)
    axes.xaxis.set_minor_formatter(NullFormatter())


def plain(value: float, _) -> str:
    """A formatter of ticks, without powers of ten."""
    return f"{value:g}"


def legend(axes: Axes, handles: Sequence[Line2D] | None = None) -> None:
    """A legend on the right of the axes; None: of their lines."""
    drawn = axes.legend(
        handles=handles if handles is not None else axes.get_lines(),
        loc="upper left",
        bbox_to_anchor=(1.02, 1.02),
        frameon=False,
        fontsize=8,
        handlelength=3.4,
        labelspacing=0.75,
        borderaxespad=0,
    )
    for text in drawn.get_texts():
        if text.get_text().startswith(label("smapcomp")):
            text.set_fontweight("bold")


def files(figure: Figure) -> dict[str, bytes]:
    """Extension to the bytes of a file."""
    found = {}
    for extension, options in (
        ("svg", {"metadata": {"Date": None, "Creator": None}}),
        ("png", {"metadata": {"Software": None}, "dpi": PNG_DOTS_PER_INCH}),
    ):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=extension, **options)
        found[extension] = buffer.getvalue()
    return found
