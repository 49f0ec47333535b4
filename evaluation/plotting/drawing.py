"""Common parts of the figures: style, titles, lines, axes, legend and files."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from evaluation.analysis.codec_names import display_name, is_own
from evaluation.plotting.styles import DARK, Style

WIDTH = 7.2
"""Width of a figure in inches, that of a printed page."""

PNG_DOTS_PER_INCH = 160
"""Resolution of the PNG files."""

_PLOT_STYLE = {
    "font.family": "sans-serif",
    # The first is used to measure widths; the others serve readers of an SVG who lack it.
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

_NAME_LENGTH = 26


def plot_style() -> AbstractContextManager:
    """Return a context in which figures do not depend on the user's settings of Matplotlib."""
    # A changed backend would outlast the context.
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"}
    return matplotlib.rc_context(defaults | _PLOT_STYLE)


def wrapped_name(codec: str) -> str:
    """Return a codec's display name, broken into lines if it is long."""
    return textwrap.fill(display_name(codec), _NAME_LENGTH)


def make_canvas(title: str, subtitle: str, note: str, columns: int = 1) -> tuple[Figure, Axes]:
    """Return a figure and its first axes.

    The figure has titles, a note below, and room for a legend on the right.

    Args:
        title: First line of the title.
        subtitle: Second line of the title.
        note: Text below the axes; may be empty.
        columns: Number of axes side by side.
    """
    figure = Figure(figsize=(WIDTH, 4.3))
    lines = add_titles(figure, title, subtitle, note)
    panels = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
    height = figure.get_figheight()
    top = 0.66 if columns == 1 else 0.82
    figure.subplots_adjust(
        left=0.092, right=0.69, top=1 - top / height, bottom=(0.5 + 0.13 * lines) / height
    )
    return figure, panels[0]


def add_titles(figure: Figure, title: str, subtitle: str, note: str) -> int:
    """Add titles and a note to a figure and return the number of lines of the note."""
    height = figure.get_figheight()
    figure.text(0.015, 1 - 0.2 / height, title, fontsize=10.5, fontweight="bold", va="center")
    figure.text(0.015, 1 - 0.4 / height, subtitle, fontsize=8, color=DARK, va="center")
    lines = textwrap.wrap(note, 125)
    for number, text in enumerate(reversed(lines)):
        figure.text(0.015, (0.06 + 0.13 * number) / height, text, fontsize=7, color=DARK)
    return len(lines)


def draw_line(
    axes: Axes,
    line_styles: Mapping[str, Style],
    codec: str,
    x: Sequence[float],
    y: Sequence[float],
    **options,
) -> None:
    """Draw a line in a codec's style.

    Args:
        axes: Axes to draw on.
        line_styles: Styles by codec.
        codec: Name of the codec.
        x: Horizontal values.
        y: Vertical values.
        **options: Further options of Matplotlib's `Line2D`.
    """
    axes.add_line(codec_line(line_styles, codec, x, y, **options))
    axes.autoscale_view()


def codec_line(
    line_styles: Mapping[str, Style],
    codec: str,
    x: Sequence[float] = (),
    y: Sequence[float] = (),
    **options,
) -> Line2D:
    """Return a line in a codec's style; without points, it serves as an entry of a legend."""
    style = line_styles[codec]
    properties = {
        "color": style.colour,
        "linewidth": style.width,
        "marker": style.marker,
        "markersize": style.size,
        "markeredgewidth": 0.5 if style.marker not in "1234+x" else 1.0,
        "markeredgecolor": "white" if style.marker not in "1234+x" else style.colour,
        "label": wrapped_name(codec),
        "zorder": 5 if is_own(codec) else 3,
    }
    made = Line2D(x, y, **(properties | options))
    if style.dashes:
        made.set_dashes(style.dashes)
    return made


def set_logarithmic(axes: Axes) -> None:
    """Make the x axis logarithmic, with ticks at 1, 2 and 5 times the powers of ten."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(format_tick)
    axes.xaxis.set_minor_formatter(NullFormatter())


def format_tick(value: float, _) -> str:
    """Format a tick without powers of ten."""
    return f"{value:g}"


def add_legend(axes: Axes, handles: Sequence[Line2D] | None = None) -> None:
    """Add a legend to the right of the axes.

    Args:
        axes: The axes.
        handles: Lines of the legend; by default the axes' lines.
    """
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
        if text.get_text().startswith(display_name("smapcomp")):
            text.set_fontweight("bold")


def render_files(figure: Figure) -> dict[str, bytes]:
    """Return the figure as files: extension to content."""
    found = {}
    for extension, options in (
        ("svg", {"metadata": {"Date": None, "Creator": None}}),
        ("png", {"metadata": {"Software": None}, "dpi": PNG_DOTS_PER_INCH}),
    ):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=extension, **options)
        found[extension] = buffer.getvalue()
    return found
