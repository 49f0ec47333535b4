"""Markdown tables of measured points. Each has a title with the protocol and the pictures."""

from collections.abc import Iterable, Sequence
from statistics import fmean, median

from evaluation.analysis.bd import Comparison, comparisons, curve, values_at
from evaluation.analysis.codec_names import label
from evaluation.analysis.protocols import Metric, Protocol
from evaluation.analysis.references import MEAN
from evaluation.analysis.selection import by_step, picture_set, select
from evaluation.measurement.points import Point
from smapcomp.errors import SmapcompError

NOTHING = "–"
_LAYERS = ("compact_bpp", "labels_bpp", "residual_bpp", "header_bpp")
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def mean_table(points: Sequence[Point], codec: str, protocol: Protocol) -> str:
    """A codec's own points: means over its pictures at each quality that all of them have.

    Seconds are medians and memory the greatest of the pictures. Columns in which nothing was
    measured are left out.

    Args:
        points: Of any codecs.
        codec: Whose points.
        protocol: What rate and quality are.

    Raises:
        SmapcompError: The codec has no points.
    """
    chosen = select(points, protocol, [codec])
    steps = {name: list(group.values()) for name, group in by_step(chosen.points).items()}
    pictures = len({point.picture for point in chosen.points})
    whole = [name for name, group in steps.items() if len(group) == pictures]
    whole.sort(key=lambda name: fmean(point.bpp for point in steps[name]))
    groups = [steps[name] for name in whole]
    columns = {"quality": whole}
    columns[protocol.short_unit] = [
        _number(fmean(map(protocol.rate, group)), 3) for group in groups
    ]
    for metric in protocol.metrics:
        if metric.decibels:
            columns[metric.label] = [_number(_mean(group, metric.field), 4) for group in groups]
        columns[metric.title] = [_number(metric.mean(group), 2) for group in groups]
    for name in _LAYERS:
        rates = [_mean(group, name, protocol.samples) for group in groups]
        columns[name.removesuffix("_bpp")] = [_number(rate, 3) for rate in rates]
    for name, head in (("prediction_psnr", "prediction, dB"), ("upsampled_psnr", "compact, dB")):
        columns[head] = [_number(_mean(group, name), 2) for group in groups]
    columns["encode, s"] = [_number(_of(median, group, "encode_seconds"), 2) for group in groups]
    columns["decode, s"] = [_number(_of(median, group, "decode_seconds"), 2) for group in groups]
    columns["memory, MiB"] = [_number(_of(max, group, "peak_memory_mib"), 0) for group in groups]
    filled = {head: cells for head, cells in columns.items() if set(cells) != {NOTHING}}
    told = [
        f"{label(codec)}: {text}" for text in _stand_ins(codec, chosen.points, protocol.metrics)
    ]
    partly = [name for name in steps if name not in whole]
    if partly:
        told.append(f"Left out, as some pictures lack it: quality {', '.join(partly)}")
    title = f"{label(codec)}: means over {chosen.title}"
    return _table(title, protocol, list(filled), zip(*filled.values(), strict=True), told)


def bd_table(
    points: Sequence[Point],
    protocol: Protocol,
    anchor: str | None = None,
    codecs: Iterable[str] | None = None,
) -> str:
    """BD-rates of codecs against an anchor, by each metric of the protocol that they have.

    Args:
        points: Of any codecs.
        protocol: What rate and quality are; has anchor and codecs unless others are given.
        anchor: Name of the codec that the rates are against.
        codecs: Names; those without points are passed over.

    Raises:
        SmapcompError: There are no points of the anchor, or nothing to compare it with.
    """
    anchor = anchor or protocol.anchor
    compared = comparisons(points, protocol, anchor, codecs)
    chosen = select(points, protocol, [anchor, *compared])
    metrics = [
        metric
        for metric in protocol.metrics
        if any(by_metric[metric.key].mean.rate is not None for by_metric in compared.values())
    ]
    notes = _Notes()
    rows = []
    for codec, by_metric in compared.items():
        cells = [label(codec) + notes.of(_stand_ins(codec, chosen.points, metrics))]
        for metric in metrics:
            found = by_metric[metric.key]
            cells += [
                _percent(found.mean.rate) + notes.of(found.warning),
                _by_picture(found),
                _range(found.mean.quality_range),
            ]
        rows.append(cells)
    heads = ["codec"]
    for metric in metrics:
        heads += [metric.label, "by picture", metric.unit or "range"]
    left_out = [m.label for m in protocol.metrics if m not in metrics]
    lines = [
        f"More bits than {label(anchor)} for equal quality are + and lose, fewer are −. Of each "
        "metric: BD-rate of the mean curves, whose points are means at equal settings; mean "
        "± standard error of the pictures' own BD-rates, for which it does not matter how a "
        "setting spreads over pictures; the range of quality that both mean curves have",
        *(f"{label(anchor)}: {text}" for text in _stand_ins(anchor, chosen.points, metrics)),
        *(_verdict(by_metric, metrics) for by_metric in compared.values() if _is_own(by_metric)),
        *chosen.notes,
        *([f"Not measured with both: {', '.join(left_out)}."] if left_out else []),
    ]
    title = f"BD-rate against {label(anchor)}, {chosen.title}"
    return _table(title, protocol, heads, rows, [*lines, *notes.lines])


def equal_rates_table(
    points: Sequence[Point],
    protocol: Protocol,
    codec: str = "smapcomp",
    metric: Metric | None = None,
    codecs: Iterable[str] | None = None,
) -> str:
    """Quality of codecs at the mean rates of one of them, interpolated as BD-rates are.

    Args:
        points: Of any codecs.
        protocol: What rate and quality are; has the codecs unless others are given.
        codec: Whose rates.
        metric: Of the protocol; None: its first.
        codecs: Names; those without points are passed over.

    Raises:
        SmapcompError: The codec has no points.
    """
    metric = metric or protocol.metrics[0]
    chosen = select(points, protocol, [codec, *(protocol.codecs if codecs is None else codecs)])
    if codec not in chosen.codecs:
        raise SmapcompError(f"codec {codec!r} has no points on these pictures")
    curves = [curve(chosen.points, name, MEAN, protocol, metric) for name in chosen.codecs]
    notes = _Notes()
    heads = [protocol.short_unit]
    for found in curves:
        told = [*_stand_ins(found.codec, chosen.points, [metric])]
        told += [text for text in (found.problem, found.note) if text]
        heads.append(label(found.codec) + notes.of(told))
    rates = curves[0].rates
    columns = [curves[0].values, *(values_at(found, rates) for found in curves[1:])]
    rows = [
        [_number(rate, 3), *(_number(value, 2) for value in values)]
        for rate, *values in zip(rates, *columns, strict=True)
    ]
    lines = [f"{NOTHING}: beyond what was measured.", *chosen.notes, *notes.lines]
    title = f"{metric.title}, at the mean rates of {label(codec)}, {chosen.title}"
    return _table(title, protocol, heads, rows, lines)


def time_table(points: Sequence[Point], codecs: Iterable[str] | None = None) -> str:
    """Processor time and memory by codec and size of picture.

    Args:
        points: Those without times are passed over.
        codecs: Names; None: all that have times.

    Raises:
        SmapcompError: No point has times.
    """
    wanted = None if codecs is None else set(codecs)
    groups: dict[tuple[str, int], list[Point]] = {}
    for point in points:
        if point.encode_seconds is not None and (wanted is None or point.codec in wanted):
            groups.setdefault((point.codec, point.width * point.height), []).append(point)
    if not groups:
        raise SmapcompError("no point has times")
    rows = []
    for (codec, pixels), group in sorted(groups.items(), key=lambda item: item[0][1]):
        encode = _of(median, group, "encode_seconds")
        decode = _of(median, group, "decode_seconds")
        rows.append(
            [
                label(codec),
                _number(pixels / 1e6, 2),
                str(len(group)),
                _number(encode, 2),
                _number(decode, 2),
                _number(encode / pixels * 1e6, 2),
                _number(None if decode is None else decode / pixels * 1e6, 2),
                _number(_of(max, group, "peak_memory_mib"), 0),
            ]
        )
    heads = ["codec", "megapixels", "points", "encode, s", "decode, s"]
    heads += ["encode, s/MP", "decode, s/MP", "memory, MiB"]
    pictures = picture_set(point.picture for group in groups.values() for point in group)
    title = f"Processor time and peak memory, {pictures}"
    lines = [
        "Seconds of all threads and programs, median over pictures and qualities, without what is "
        "done once in a process; memory of the whole process, the greatest."
    ]
    places = sorted({p.environment for group in groups.values() for p in group if p.environment})
    if places:
        lines.append(f"Environment{'s' * (len(places) > 1)}: {', '.join(places)}.")
    return _table(title, None, heads, rows, lines)


class _Notes:
    """Footnotes with numbers, each text once."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def of(self, texts: str | Iterable[str]) -> str:
        """The marks of texts; empty ones have none."""
        marks = []
        for text in [texts] if isinstance(texts, str) else texts:
            if text and text not in self._texts:
                self._texts.append(text)
            if text:
                marks.append(str(self._texts.index(text) + 1).translate(_SUPERSCRIPTS))
        return (" " if marks else "") + " ".join(marks)

    @property
    def lines(self) -> list[str]:
        return [
            f"{str(number).translate(_SUPERSCRIPTS)} {text}."
            for number, text in enumerate(self._texts, 1)
        ]


def _table(
    title: str,
    protocol: Protocol | None,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    notes: Sequence[str],
) -> str:
    named = f"{title}. Protocol {protocol.title}." if protocol else f"{title}."
    lines = [f"**{named}**", "", "| " + " | ".join(heads) + " |"]
    lines.append("|---" + "|---:" * (len(heads) - 1) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    for note in notes:
        lines += ["", note.removesuffix(".") + "."]
    return "\n".join(lines) + "\n"


def _stand_ins(codec: str, points: Sequence[Point], metrics: Sequence[Metric]) -> list[str]:
    own = [point for point in points if point.codec == codec]
    return [m.stand_in_note for m in metrics if any(m.stands_in(point) for point in own)]


def _is_own(by_metric: dict[str, Comparison]) -> bool:
    codec = next(iter(by_metric.values())).codec
    return codec.partition(":")[0] == "smapcomp"


def _verdict(by_metric: dict[str, Comparison], metrics: Sequence[Metric]) -> str:
    """One sentence on where a codec saves and where it loses."""
    parts = {"saves": [], "loses": []}
    for metric in metrics:
        found = by_metric[metric.key]
        if found.mean.rate is None:
            continue
        told = [] if found.picture_mean is None else [f"by picture {_by_picture(found)}"]
        if found.mean.quality is not None:
            told.append(f"BD-{metric.label} {_signed(found.mean.quality, 2)} {metric.unit}".strip())
        text = f"{abs(found.mean.rate):.1f} % by {metric.label} ({', '.join(told)})"
        parts["loses" if found.mean.rate > 0 else "saves"].append(text)
    told = [f"{verb} {'; '.join(texts)}" for verb, texts in parts.items() if texts]
    name = label(next(iter(by_metric.values())).codec)
    return f"{name} {', and '.join(told) or 'cannot be compared'}"


def _by_picture(found: Comparison) -> str:
    if found.picture_mean is None:
        return NOTHING
    error = "" if found.picture_error is None else f" ± {found.picture_error:.1f}"
    return f"{_signed(found.picture_mean, 1)}{error} %"


def _mean(group: Sequence[Point], name: str, divisor: int = 1) -> float | None:
    mean = _of(fmean, group, name)
    return None if mean is None else mean / divisor


def _of(function, group: Sequence[Point], name: str) -> float | None:
    values = [getattr(point, name) for point in group]
    return None if None in values else function(values)


def _number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{_signed(value, 1)} %"


def _range(ends: tuple[float, float] | None) -> str:
    return NOTHING if ends is None else f"{ends[0]:.1f}–{ends[1]:.1f}"
