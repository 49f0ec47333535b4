"""Plots of measured points: quality against rate, BD-rates, time.

Plots are written as SVG and as PNG. The SVG has text as text, and equal points give equal bytes.
Matplotlib's global state is restored after each call.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import log10
from pathlib import Path
from statistics import fmean, median

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from evaluation.analysis.bd import Comparison, Curve, build_curve, compare_with_anchor, values_at
from evaluation.analysis.codec_names import display_name, is_own
from evaluation.analysis.protocols import Metric, Protocol
from evaluation.analysis.references import MEAN
from evaluation.analysis.selection import Selection, describe_pictures, select
from evaluation.measurement.points import Point
from evaluation.plotting import drawing
from evaluation.plotting.styles import BLACK, BLUE, ORANGE, VERMILLION, codec_styles
from smapcomp.pictures import image_files

MAX_DISTANCE_BELOW = 2.2
"""How far below the anchor the plot of differences reaches, in dB; ten times as far if the metric
has no unit. The plot of quality against rate shows the codecs farther below well enough."""


def write_plots(
    folder: str | Path,
    points: Sequence[Point],
    protocol: Protocol,
    anchor: str | None = None,
    codecs: Iterable[str] | None = None,
    timed: Sequence[Point] = (),
) -> list[Path]:
    """Write every plot that there are enough points for, as SVG and PNG.

    For each metric: `PROTOCOL-METRIC`, quality against rate, and `PROTOCOL-METRIC-difference`, the
    difference from the anchor's quality. Then `PROTOCOL-bd-rate` and, if pictures of several sizes
    have times, `time`.

    Args:
        folder: Folder to write to; it is made if it does not exist, and plots of these names in it
            are replaced.
        points: Points of any codecs.
        protocol: Protocol that counts rate and quality.
        anchor: Codec that BD-rates and differences are against; by default the protocol's.
        codecs: Names of codecs, by default the protocol's; those without points are ignored.
        timed: Further points on pictures of other sizes, for `time` only.

    Returns:
        The files.

    Raises:
        SmapcompError: There are no points of these codecs, or no picture that all of them have, or
            a file cannot be written.
    """
    anchor = anchor or protocol.anchor
    wanted = tuple(dict.fromkeys([*(protocol.codecs if codecs is None else codecs), anchor]))
    chosen = select(points, protocol, wanted)
    figures: dict[str, Figure | None] = {}
    with drawing.plot_style():
        for metric in protocol.metrics:
            curves = [build_curve(chosen.points, c, MEAN, protocol, metric) for c in chosen.codecs]
            curves = [found for found in curves if found.rates]
            name = f"{protocol.name}-{metric.key.replace('_', '-')}"
            figures[name] = rate_figure(curves, chosen, protocol, metric)
            figures[f"{name}-difference"] = difference_figure(
                curves, chosen, protocol, metric, anchor
            )
        if anchor in chosen.codecs and len(chosen.codecs) > 1:
            compared = compare_with_anchor(chosen.points, protocol, anchor, chosen.codecs)
            figures[f"{protocol.name}-bd-rate"] = bd_figure(compared, chosen, protocol, anchor)
        figures["time"] = time_figure([p for p in (*points, *timed) if p.codec in wanted])
        made = {name: drawing.render_files(figure) for name, figure in figures.items() if figure}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, by_extension in made.items():
        for extension, data in by_extension.items():
            paths.append(folder / f"{name}.{extension}")
            image_files.write_file(paths[-1], data, overwrite=True)
    return paths


def rate_figure(
    curves: Sequence[Curve], chosen: Selection, protocol: Protocol, metric: Metric
) -> Figure | None:
    """Return a plot of quality against rate, on a logarithmic axis; `None` without curves.

    Args:
        curves: Mean curves, each with points.
        chosen: Points that the curves were built from.
        protocol: Protocol that counts the rate.
        metric: Metric of quality.
    """
    if not curves:
        return None
    figure, axes = drawing.make_canvas(
        f"{metric.name} against rate, means over {chosen.title}",
        f"Protocol {protocol.title}",
        _fallback_note(chosen, metric),
    )
    line_styles = codec_styles(found.codec for found in curves)
    # The legend lists the curves from top to bottom, as they are at a rate in the middle.
    middle = 10 ** fmean(log10(rate) for found in curves for rate in found.rates)

    def height(found: Curve) -> float:
        return np.interp(log10(middle), np.log10(found.rates), found.values)

    for found in sorted(curves, key=height, reverse=True):
        drawing.draw_line(axes, line_styles, found.codec, found.rates, found.values)
    _rate_axis(axes, protocol)
    axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
    axes.set_ylabel(metric.title)
    drawing.add_legend(axes)
    return figure


def difference_figure(
    curves: Sequence[Curve],
    chosen: Selection,
    protocol: Protocol,
    metric: Metric,
    anchor: str,
) -> Figure | None:
    """Return a plot of the difference in quality from the anchor at equal rates.

    It separates curves that are close together.

    Args:
        curves: Mean curves, each with points.
        chosen: Points that the curves were built from.
        protocol: Protocol that counts the rate.
        metric: Metric of quality.
        anchor: Codec whose quality is subtracted.

    Returns:
        The figure; `None` if the anchor, or every other codec, has no curve that can be
        interpolated.
    """
    far = MAX_DISTANCE_BELOW * (1 if metric.unit else 10)
    usable = {found.codec: found for found in curves if not found.problem}
    base = usable.pop(anchor, None)
    if base is None:
        return None
    lines = {}
    for codec, found in usable.items():
        low, high = max(found.rates[0], base.rates[0]), min(found.rates[-1], base.rates[-1])
        if low < high:
            inside = [rate for rate in found.rates if low <= rate <= high]
            lines[codec] = [
                (rates, np.subtract(values_at(found, rates), values_at(base, rates)).tolist())
                for rates in (np.geomspace(low, high, 60).clip(low, high).tolist(), inside)
            ]
    displayed = {codec: line for codec, line in lines.items() if max(line[0][1]) > -far}
    if not displayed:
        return None
    beyond = [display_name(codec) for codec in lines if codec not in displayed]
    note = f"Below the plotted range: {', '.join(beyond)}. " if beyond else ""
    figure, axes = drawing.make_canvas(
        f"{metric.name} above {display_name(anchor)} at equal rates, means over {chosen.title}",
        f"Protocol {protocol.title}",
        note + _fallback_note(chosen, metric, [anchor, *displayed]),
    )
    line_styles = codec_styles([anchor, *displayed])
    axes.axhline(0, color=BLACK, linewidth=1.4)
    lowest = max(-far, min(0, *(min(line[0][1]) for line in displayed.values())))
    highest = max(0, *(max(line[0][1]) for line in displayed.values()))
    room = 0.05 * (highest - lowest)
    bottom = lowest - room
    axes.set_ylim(bottom, highest + room)
    order = sorted(displayed, key=lambda codec: fmean(displayed[codec][0][1]), reverse=True)
    for codec in order:
        smooth, own = displayed[codec]
        style = line_styles[codec]
        drawing.draw_line(axes, line_styles, codec, *smooth, marker="")
        options = {"zorder": 6 if is_own(codec) else 4, "markeredgecolor": "white"}
        near = [(rate, value) for rate, value in zip(*own, strict=True) if value > bottom]
        x, y = zip(*near, strict=True) if near else ((), ())
        axes.plot(x, y, style.marker, color=style.colour, markersize=style.size, **options)
    _rate_axis(axes, protocol)
    axes.set_ylabel(f"difference of {metric.title}")
    handles = [drawing.codec_line(line_styles, codec) for codec in order]
    handles.insert(
        sum(fmean(displayed[codec][0][1]) > 0 for codec in order),
        Line2D([], [], color=BLACK, linewidth=1.4, label=drawing.wrapped_name(anchor)),
    )
    drawing.add_legend(axes, handles)
    return figure


def bd_figure(
    compared: Mapping[str, Mapping[str, Comparison]],
    chosen: Selection,
    protocol: Protocol,
    anchor: str,
) -> Figure | None:
    """Return a plot of BD-rates.

    Bars are means over pictures with standard errors; diamonds are BD-rates of the mean curves.

    Args:
        compared: Name of the codec to key of the metric to comparison, as `bd.compare_with_anchor`
            returns it.
        chosen: Points that were compared.
        protocol: Protocol with the metrics.
        anchor: Codec that the rates are against.

    Returns:
        The figure; `None` if there is no BD-rate.
    """
    metrics = [
        metric
        for metric in protocol.metrics
        if any(found[metric.key].mean.rate is not None for found in compared.values())
    ]
    if not metrics:
        return None

    def place(codec: str) -> float:
        rates = [compared[codec][metric.key].mean.rate for metric in metrics]
        known = [rate for rate in rates if rate is not None]
        return known[0] if known else np.inf

    codecs = sorted(compared, key=place)
    bars = any(f.picture_mean is not None for found in compared.values() for f in found.values())
    notes = ["Negative: fewer bits than the anchor for equal quality; positive: more."]
    if bars:
        notes.append(
            "Bars and numbers: mean of the pictures' BD-rates, with its standard error. Diamonds, "
            "and numbers without a bar: BD-rate of the mean curves."
        )
    else:
        notes.append("BD-rates of the mean curves.")
    notes += [_fallback_note(chosen, metric, [*codecs, anchor]) for metric in metrics]
    figure = Figure(figsize=(drawing.WIDTH, 1.7 + 0.27 * len(codecs)))
    lines = drawing.add_titles(
        figure,
        f"BD-rate against {display_name(anchor)}, {chosen.title}",
        f"Protocol {protocol.title}",
        " ".join(notes).strip(),
    )
    height = figure.get_figheight()
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    longest = max(len(text) for codec in codecs for text in drawing.wrapped_name(codec).split("\n"))
    figure.subplots_adjust(
        left=0.04 + 0.0093 * longest,
        right=0.985,
        top=1 - 0.78 / height,
        bottom=(0.5 + 0.13 * lines) / height,
        wspace=0.12,
    )
    for axes, metric in zip(panels, metrics, strict=True):
        _bars(axes, [compared[codec][metric.key] for codec in codecs])
        axes.set_title(metric.name, fontsize=9)
        axes.set_xlabel("BD-rate, %")
    names = [drawing.wrapped_name(codec) for codec in codecs]
    panels[0].set_yticks(range(len(codecs)), names)
    panels[0].set_ylim(len(codecs) - 0.4, -0.6)
    for codec, text in zip(codecs, panels[0].get_yticklabels(), strict=True):
        if is_own(codec):
            text.set(color=VERMILLION, fontweight="bold")
    return figure


def time_figure(points: Sequence[Point]) -> Figure | None:
    """Return a plot of processor seconds against pixels, both on logarithmic axes.

    Args:
        points: Points; those without times are ignored. Medians are taken over pictures and
            qualities.

    Returns:
        The figure; `None` if no codec has times of pictures of two sizes.
    """
    groups: dict[str, dict[int, list[Point]]] = {}
    for point in points:
        if point.encode_seconds is not None and point.decode_seconds is not None:
            sizes = groups.setdefault(point.codec, {})
            sizes.setdefault(point.width * point.height, []).append(point)
    groups = {codec: sizes for codec, sizes in groups.items() if len(sizes) > 1}
    if not groups:
        return None
    used = [p for sizes in groups.values() for group in sizes.values() for p in group]
    figure, encode = drawing.make_canvas(
        f"Processor time against size, {describe_pictures(point.picture for point in used)}",
        "Processor seconds of all threads and programs, median over pictures and qualities, "
        "without one-time work",
        "",
        columns=2,
    )
    decode = figure.axes[1]
    line_styles = codec_styles(groups)
    # The legend lists the curves from top to bottom.
    groups = dict(
        sorted(groups.items(), key=lambda item: -_median(item[1][max(item[1])], "encode_seconds"))
    )
    for axes, name in ((encode, "encode_seconds"), (decode, "decode_seconds")):
        for codec, sizes in groups.items():
            pixels = sorted(sizes)
            seconds = [_median(sizes[size], name) for size in pixels]
            drawing.draw_line(axes, line_styles, codec, [size / 1e6 for size in pixels], seconds)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(drawing.format_tick)
        drawing.set_logarithmic(axes)
        axes.set_xlabel("megapixels")
        axes.set_title(name.removesuffix("_seconds"), fontsize=9)
    encode.set_ylabel("processor seconds")
    drawing.add_legend(decode)
    return figure


def _median(points: Sequence[Point], name: str) -> float:
    return median(getattr(point, name) for point in points)


def _fallback_note(chosen: Selection, metric: Metric, codecs: Iterable[str] | None = None) -> str:
    own = {p.codec for p in chosen.points if metric.uses_fallback(p)}
    names = [display_name(c) for c in (chosen.codecs if codecs is None else codecs) if c in own]
    return f"{', '.join(names)}: {metric.fallback_note}." if names else ""


def _rate_axis(axes: Axes, protocol: Protocol) -> None:
    drawing.set_logarithmic(axes)
    axes.set_xlabel(f"{protocol.unit}, header included")


def _bars(axes: Axes, found: Sequence[Comparison]) -> None:
    axes.grid(False, axis="y")
    axes.axvline(0, color=BLACK, linewidth=0.8)
    diamond = {"markerfacecolor": "white", "markeredgecolor": BLACK, "markeredgewidth": 0.8}
    ends = [0.0]
    for row, comparison in enumerate(found):
        bar, error, mean = comparison.picture_mean, comparison.picture_error, comparison.mean.rate
        if bar is not None:
            colour = ORANGE if bar > 0 else BLUE
            axes.barh(row, bar, 0.62, color=colour, edgecolor=BLACK, linewidth=0.5)
            axes.errorbar(bar, row, xerr=error, color=BLACK, linewidth=0.9, capsize=2)
            ends += [bar - (error or 0), bar + (error or 0)]
        if mean is not None:
            axes.plot(mean, row, "D", markersize=4, zorder=4, **diamond)
            ends.append(mean)
        if bar is None and mean is None:
            text = "–"
        else:
            text = f"{mean if bar is None else bar:+.1f}".replace("-", "−")
        where = axes.get_yaxis_transform()
        axes.text(0.99, row, text, transform=where, ha="right", va="center", fontsize=7.5, zorder=5)
    # The column of numbers takes the right fifth.
    span = max(ends) - min(ends) or 1.0
    axes.set_xlim(min(ends) - 0.06 * span, max(ends) + 0.3 * span)
