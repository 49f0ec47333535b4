"""Figures of measured points: rate and quality, BD-rates, time.

They are written as SVG, with text as text and the same bytes for the same points, and as PNG.
Nothing of matplotlib's global state changes beyond the call.
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

from evaluation.analysis.bd import Comparison, Curve, comparisons, curve, values_at
from evaluation.analysis.codec_names import label
from evaluation.analysis.protocols import Metric, Protocol
from evaluation.analysis.references import MEAN
from evaluation.analysis.selection import Selection, picture_set, select
from evaluation.measurement.points import Point
from evaluation.plotting import drawing
from evaluation.plotting.styles import BLACK, BLUE, ORANGE, VERMILLION, is_own, styles
from smapcomp.pictures import image_files as image_io

FARTHEST = 2.2
"""How far below the anchor the figure of differences goes, dB; ten times that where the metric has
no unit. Farther down are codecs whose place the other figure shows well."""


def write_plots(
    folder: str | Path,
    points: Sequence[Point],
    protocol: Protocol,
    anchor: str | None = None,
    codecs: Iterable[str] | None = None,
    timed: Sequence[Point] = (),
) -> list[Path]:
    """Writes every figure that the points have enough for, as SVG and PNG.

    For each metric `PROTOCOL-METRIC`, quality against rate, and `PROTOCOL-METRIC-difference`, that
    against the anchor's; `PROTOCOL-bd-rate`; and `time`, where pictures of several sizes have
    times.

    Args:
        folder: Is made where it does not exist; figures of these names in it are replaced.
        points: Of any codecs.
        protocol: What rate and quality are; has anchor and codecs unless others are given.
        anchor: Name of the codec that BD-rates and differences are against.
        codecs: Names; those without points are passed over.
        timed: Further points, on pictures of other sizes, which go into `time` alone.

    Returns:
        The files.

    Raises:
        SmapcompError: There are no points of these codecs, or no picture that all of them have; or
            a file can't be written.
    """
    anchor = anchor or protocol.anchor
    wanted = tuple(dict.fromkeys([*(protocol.codecs if codecs is None else codecs), anchor]))
    chosen = select(points, protocol, wanted)
    figures: dict[str, Figure | None] = {}
    with drawing.look():
        for metric in protocol.metrics:
            curves = [curve(chosen.points, c, MEAN, protocol, metric) for c in chosen.codecs]
            curves = [found for found in curves if found.rates]
            name = f"{protocol.name}-{metric.key.replace('_', '-')}"
            figures[name] = rate_figure(curves, chosen, protocol, metric)
            figures[f"{name}-difference"] = difference_figure(
                curves, chosen, protocol, metric, anchor
            )
        if anchor in chosen.codecs and len(chosen.codecs) > 1:
            compared = comparisons(chosen.points, protocol, anchor, chosen.codecs)
            figures[f"{protocol.name}-bd-rate"] = bd_figure(compared, chosen, protocol, anchor)
        figures["time"] = time_figure([p for p in (*points, *timed) if p.codec in wanted])
        made = {name: drawing.files(figure) for name, figure in figures.items() if figure}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, by_extension in made.items():
        for extension, data in by_extension.items():
            paths.append(folder / f"{name}.{extension}")
            image_io.write_file(paths[-1], data, overwrite=True)
    return paths


def rate_figure(
    curves: Sequence[Curve], chosen: Selection, protocol: Protocol, metric: Metric
) -> Figure | None:
    """Quality against rate, the latter on a logarithmic axis; None without curves.

    Args:
        curves: Mean curves, each with points.
        chosen: What they were made of.
        protocol, metric: What rate and quality are.
    """
    if not curves:
        return None
    figure, axes = drawing.canvas(
        f"{metric.label} against rate, means over {chosen.title}",
        f"Protocol {protocol.title}",
        _stand_in_note(chosen, metric),
    )
    looks = styles(found.codec for found in curves)
    # The legend from top to bottom as the curves are: at a rate in the middle of all.
    middle = 10 ** fmean(log10(rate) for found in curves for rate in found.rates)

    def height(found: Curve) -> float:
        return np.interp(log10(middle), np.log10(found.rates), found.values)

    for found in sorted(curves, key=height, reverse=True):
        drawing.line(axes, looks, found.codec, found.rates, found.values)
    _rate_axis(axes, protocol)
    axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
    axes.set_ylabel(metric.title)
    drawing.legend(axes)
    return figure


def difference_figure(
    curves: Sequence[Curve],
    chosen: Selection,
    protocol: Protocol,
    metric: Metric,
    anchor: str,
) -> Figure | None:
    """Quality at equal rate less the anchor's, which tells curves apart that are close together.

    Args:
        curves, chosen, protocol, metric: As `rate_figure` has them.
        anchor: Name of the codec that is subtracted.

    Returns:
        None where the anchor or everything else has no curve to interpolate.
    """
    far = FARTHEST * (1 if metric.unit else 10)
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
    shown = {codec: line for codec, line in lines.items() if max(line[0][1]) > -far}
    if not shown:
        return None
    beyond = [label(codec) for codec in lines if codec not in shown]
    note = f"Farther below: {', '.join(beyond)}. " if beyond else ""
    figure, axes = drawing.canvas(
        f"{metric.label} above {label(anchor)} at equal rates, means over {chosen.title}",
        f"Protocol {protocol.title}",
        note + _stand_in_note(chosen, metric, [anchor, *shown]),
    )
    looks = styles([anchor, *shown])
    axes.axhline(0, color=BLACK, linewidth=1.4)
    lowest = max(-far, min(0, *(min(line[0][1]) for line in shown.values())))
    highest = max(0, *(max(line[0][1]) for line in shown.values()))
    room = 0.05 * (highest - lowest)
    bottom = lowest - room
    axes.set_ylim(bottom, highest + room)
    order = sorted(shown, key=lambda codec: fmean(shown[codec][0][1]), reverse=True)
    for codec in order:
        smooth, own = shown[codec]
        look = looks[codec]
        drawing.line(axes, looks, codec, *smooth, marker="")
        options = {"zorder": 6 if is_own(codec) else 4, "markeredgecolor": "white"}
        near = [(rate, value) for rate, value in zip(*own, strict=True) if value > bottom]
        x, y = zip(*near, strict=True) if near else ((), ())
        axes.plot(x, y, look.marker, color=look.colour, markersize=look.size, **options)
    _rate_axis(axes, protocol)
    axes.set_ylabel(f"difference of {metric.title}")
    handles = [drawing.handle(looks, codec) for codec in order]
    handles.insert(
        sum(fmean(shown[codec][0][1]) > 0 for codec in order),
        Line2D([], [], color=BLACK, linewidth=1.4, label=drawing.label_lines(anchor)),
    )
    drawing.legend(axes, handles)
    return figure


def bd_figure(
    compared: Mapping[str, Mapping[str, Comparison]],
    chosen: Selection,
    protocol: Protocol,
    anchor: str,
) -> Figure | None:
    """BD-rates as bars: means over pictures with standard errors, and those of the mean curves.

    Args:
        compared: Codec to key of the metric to comparison, as `bd.comparisons` gives it.
        chosen: What they were made of.
        protocol: Has the metrics.
        anchor: Name of the codec that the rates are against.

    Returns:
        None where there is no BD-rate.
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
    notes = ["Left of zero: fewer bits than the anchor for equal quality; right: more."]
    if bars:
        notes.append(
            "Bars and figures: mean over pictures, with its standard error; diamonds, and figures "
            "where there is no bar: of the mean curves."
        )
    else:
        notes.append("Of the mean curves.")
    notes += [_stand_in_note(chosen, metric, [*codecs, anchor]) for metric in metrics]
    figure = Figure(figsize=(drawing.WIDTH, 1.7 + 0.27 * len(codecs)))
    lines = drawing.titles(
        figure,
        f"BD-rate against {label(anchor)}, {chosen.title}",
        f"Protocol {protocol.title}",
        " ".join(notes).strip(),
    )
    height = figure.get_figheight()
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    longest = max(len(text) for codec in codecs for text in drawing.label_lines(codec).split("\n"))
    figure.subplots_adjust(
        left=0.04 + 0.0093 * longest,
        right=0.985,
        top=1 - 0.78 / height,
        bottom=(0.5 + 0.13 * lines) / height,
        wspace=0.12,
    )
    for axes, metric in zip(panels, metrics, strict=True):
        _bars(axes, [compared[codec][metric.key] for codec in codecs])
        axes.set_title(metric.label, fontsize=9)
        axes.set_xlabel("BD-rate, %")
    names = [drawing.label_lines(codec) for codec in codecs]
    panels[0].set_yticks(range(len(codecs)), names)
    panels[0].set_ylim(len(codecs) - 0.4, -0.6)
    for codec, text in zip(codecs, panels[0].get_yticklabels(), strict=True):
        if is_own(codec):
            text.set(color=VERMILLION, fontweight="bold")
    return figure


def time_figure(points: Sequence[Point]) -> Figure | None:
    """Processor seconds against pixels, both logarithmic: medians over pictures and qualities.

    Args:
        points: Those without times are passed over.

    Returns:
        None where no codec has times of pictures of two sizes.
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
    figure, encode = drawing.canvas(
        f"Processor time against size, {picture_set(point.picture for point in used)}",
        "Seconds of all threads and programs, medians over pictures and qualities; without what is "
        "done once in a process",
        "",
        columns=2,
    )
    decode = figure.axes[1]
    looks = styles(groups)
    # The legend from top to bottom as the curves are.
    groups = dict(
        sorted(groups.items(), key=lambda item: -_median(item[1][max(item[1])], "encode_seconds"))
    )
    for axes, name in ((encode, "encode_seconds"), (decode, "decode_seconds")):
        for codec, sizes in groups.items():
            pixels = sorted(sizes)
            seconds = [_median(sizes[size], name) for size in pixels]
            drawing.line(axes, looks, codec, [size / 1e6 for size in pixels], seconds)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(drawing.plain)
        drawing.logarithmic(axes)
        axes.set_xlabel("megapixels")
        axes.set_title(name.removesuffix("_seconds"), fontsize=9)
    encode.set_ylabel("processor seconds")
    drawing.legend(decode)
    return figure


def _median(points: Sequence[Point], name: str) -> float:
    return median(getattr(point, name) for point in points)


def _stand_in_note(chosen: Selection, metric: Metric, codecs: Iterable[str] | None = None) -> str:
    own = {p.codec for p in chosen.points if metric.stands_in(p)}
    names = [label(c) for c in (chosen.codecs if codecs is None else codecs) if c in own]
    return f"{', '.join(names)}: {metric.stand_in_note}." if names else ""


def _rate_axis(axes: Axes, protocol: Protocol) -> None:
    drawing.logarithmic(axes)
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
    # The column of figures takes the right fifth.
    span = max(ends) - min(ends) or 1.0
    axes.set_xlim(min(ends) - 0.06 * span, max(ends) + 0.3 * span)
