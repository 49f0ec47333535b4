"""Markdown tables of measured points; each title names the protocol and the pictures."""

from collections.abc import Iterable, Sequence
from statistics import fmean, median

from evaluation.analysis.bd import Comparison, build_curve, compare_with_anchor, values_at
from evaluation.analysis.codec_names import display_name, is_own
from evaluation.analysis.protocols import Metric, Protocol
from evaluation.analysis.references import MEAN
from evaluation.analysis.selection import describe_pictures, group_by_quality, select
from evaluation.measurement.points import Point
from smapcomp.errors import SmapcompError

MISSING = "–"
_LAYERS = ("compact_bpp", "labels_bpp", "residual_bpp", "header_bpp")
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def mean_table(points: Sequence[Point], codec: str, protocol: Protocol) -> str:
    """Return a table of a codec's means over pictures, for each quality that all pictures have.

    Times are medians and memory is the maximum over the pictures. Columns without measurements are
    left out.

    Args:
        points: Points of any codecs.
        codec: Name of the codec.
        protocol: Protocol that counts rate and quality.

    Raises:
        SmapcompError: The codec has no points.
    """
    chosen = select(points, protocol, [codec])
    steps = {name: list(group.values()) for name, group in group_by_quality(chosen.points).items()}
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
            columns[metric.name] = [_number(_mean(group, metric.field), 4) for group in groups]
        columns[metric.title] = [_number(metric.mean(group), 2) for group in groups]
    for name in _LAYERS:
        rates = [_mean(group, name, protocol.samples) for group in groups]
        columns[name.removesuffix("_bpp")] = [_number(rate, 3) for rate in rates]
    for name, head in (("prediction_psnr", "prediction, dB"), ("upsampled_psnr", "compact, dB")):
        columns[head] = [_number(_mean(group, name), 2) for group in groups]
    columns["encode, s"] = [
        _number(_aggregate(median, group, "encode_seconds"), 2) for group in groups
    ]
    columns["decode, s"] = [
        _number(_aggregate(median, group, "decode_seconds"), 2) for group in groups
    ]
    columns["memory, MiB"] = [
        _number(_aggregate(max, group, "peak_memory_mib"), 0) for group in groups
    ]
    filled = {head: cells for head, cells in columns.items() if set(cells) != {MISSING}}
    notes = [
        f"{display_name(codec)}: {text}"
        for text in _fallback_notes(codec, chosen.points, protocol.metrics)
    ]
    partly = [name for name in steps if name not in whole]
    if partly:
        notes.append(f"Left out, not measured on all pictures: quality {', '.join(partly)}")
    title = f"{display_name(codec)}: means over {chosen.title}"
    return _table(title, protocol, list(filled), zip(*filled.values(), strict=True), notes)


def bd_table(
    points: Sequence[Point],
    protocol: Protocol,
    anchor: str | None = None,
    codecs: Iterable[str] | None = None,
) -> str:
    """Return a table of BD-rates against an anchor, by each metric that was measured.

    Args:
        points: Points of any codecs.
        protocol: Protocol that counts rate and quality.
        anchor: Name of the anchor; by default the protocol's.
        codecs: Names of codecs, by default the protocol's; those without points are ignored.

    Raises:
        SmapcompError: The anchor has no points, or there is nothing to compare with it.
    """
    anchor = anchor or protocol.anchor
    compared = compare_with_anchor(points, protocol, anchor, codecs)
    chosen = select(points, protocol, [anchor, *compared])
    metrics = [
        metric
        for metric in protocol.metrics
        if any(by_metric[metric.key].mean.rate is not None for by_metric in compared.values())
    ]
    notes = _Footnotes()
    rows = []
    for codec, by_metric in compared.items():
        cells = [display_name(codec) + notes.marks(_fallback_notes(codec, chosen.points, metrics))]
        for metric in metrics:
            found = by_metric[metric.key]
            cells += [
                _percent(found.mean.rate) + notes.marks(found.warning),
                _by_picture(found),
                _range(found.mean.quality_range),
            ]
        rows.append(cells)
    heads = ["codec"]
    for metric in metrics:
        heads += [metric.name, "per-picture mean", metric.unit or "range"]
    left_out = [m.name for m in protocol.metrics if m not in metrics]
    lines = [
        f"Positive: more bits than {display_name(anchor)} for equal quality; negative: fewer. For "
        "each metric: the BD-rate of the mean curves, whose points are means over pictures at "
        "equal settings; the mean of the pictures' own BD-rates ± its standard error, which does "
        "not depend on how a setting distributes bits over pictures; the range of quality that "
        "both mean curves cover",
        *(
            f"{display_name(anchor)}: {text}"
            for text in _fallback_notes(anchor, chosen.points, metrics)
        ),
        *(
            _verdict(codec, by_metric, metrics)
            for codec, by_metric in compared.items()
            if is_own(codec)
        ),
        *chosen.notes,
        *([f"Not measured with both codecs: {', '.join(left_out)}."] if left_out else []),
    ]
    title = f"BD-rate against {display_name(anchor)}, {chosen.title}"
    return _table(title, protocol, heads, rows, [*lines, *notes.lines])


def equal_rates_table(
    points: Sequence[Point],
    protocol: Protocol,
    codec: str = "smapcomp",
    metric: Metric | None = None,
    codecs: Iterable[str] | None = None,
) -> str:
    """Return a table of the codecs' quality at one codec's mean rates.

    The quality between measured points is interpolated as for BD-rates.

    Args:
        points: Points of any codecs.
        protocol: Protocol that counts rate and quality.
        codec: Name of the codec that the rates are taken from.
        metric: Metric of the protocol; by default its first.
        codecs: Names of codecs, by default the protocol's; those without points are ignored.

    Raises:
        SmapcompError: The codec has no points.
    """
    metric = metric or protocol.metrics[0]
    chosen = select(points, protocol, [codec, *(protocol.codecs if codecs is None else codecs)])
    if codec not in chosen.codecs:
        raise SmapcompError(f"codec {codec!r} has no points on these pictures")
    curves = [build_curve(chosen.points, name, MEAN, protocol, metric) for name in chosen.codecs]
    notes = _Footnotes()
    heads = [protocol.short_unit]
    for found in curves:
        texts = [*_fallback_notes(found.codec, chosen.points, [metric])]
        texts += [text for text in (found.problem, found.note) if text]
        heads.append(display_name(found.codec) + notes.marks(texts))
    rates = curves[0].rates
    columns = [curves[0].values, *(values_at(found, rates) for found in curves[1:])]
    rows = [
        [_number(rate, 3), *(_number(value, 2) for value in values)]
        for rate, *values in zip(rates, *columns, strict=True)
    ]
    lines = [f"{MISSING}: outside the measured range.", *chosen.notes, *notes.lines]
    title = f"{metric.title}, at the mean rates of {display_name(codec)}, {chosen.title}"
    return _table(title, protocol, heads, rows, lines)


def time_table(points: Sequence[Point], codecs: Iterable[str] | None = None) -> str:
    """Return a table of processor time and memory by codec and size of the picture.

    Args:
        points: Points; those without times are ignored.
        codecs: Names of codecs; by default all that have times.

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
        encode = _aggregate(median, group, "encode_seconds")
        decode = _aggregate(median, group, "decode_seconds")
        rows.append(
            [
                display_name(codec),
                _number(pixels / 1e6, 2),
                str(len(group)),
                _number(encode, 2),
                _number(decode, 2),
                _number(encode / pixels * 1e6, 2),
                _number(None if decode is None else decode / pixels * 1e6, 2),
                _number(_aggregate(max, group, "peak_memory_mib"), 0),
            ]
        )
    heads = ["codec", "megapixels", "points", "encode, s", "decode, s"]
    heads += ["encode, s/MP", "decode, s/MP", "memory, MiB"]
    pictures = describe_pictures(point.picture for group in groups.values() for point in group)
    title = f"Processor time and peak memory, {pictures}"
    lines = [
        "Times are processor seconds of all threads and programs, the median over pictures and "
        "qualities, without what is done once in a process. Memory is the maximum of the whole "
        "process."
    ]
    places = sorted({p.environment for group in groups.values() for p in group if p.environment})
    if places:
        lines.append(f"Environment{'s' * (len(places) > 1)}: {', '.join(places)}.")
    return _table(title, None, heads, rows, lines)


class _Footnotes:
    """Numbered footnotes; equal texts share a number."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def marks(self, texts: str | Iterable[str]) -> str:
        """Return the marks of texts, after a space; empty texts have none."""
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


def _fallback_notes(codec: str, points: Sequence[Point], metrics: Sequence[Metric]) -> list[str]:
    own = [point for point in points if point.codec == codec]
    return [m.fallback_note for m in metrics if any(m.uses_fallback(point) for point in own)]


def _verdict(codec: str, by_metric: dict[str, Comparison], metrics: Sequence[Metric]) -> str:
    """Return one sentence on the metrics by which a codec saves bits or needs more."""
    parts: dict[str, list[str]] = {"saves bits": [], "needs more bits": []}
    for metric in metrics:
        found = by_metric[metric.key]
        if found.mean.rate is None:
            continue
        details = []
        if found.picture_mean is not None:
            details.append(f"per-picture mean {_by_picture(found)}")
        if found.mean.quality is not None:
            gain = f"BD-{metric.name} {_signed(found.mean.quality, 2)} {metric.unit}"
            details.append(gain.strip())
        text = f"{abs(found.mean.rate):.1f} % by {metric.name} ({', '.join(details)})"
        parts["needs more bits" if found.mean.rate > 0 else "saves bits"].append(text)
    clauses = [f"{verb}: {'; '.join(texts)}" for verb, texts in parts.items() if texts]
    return f"{display_name(codec)} {', and '.join(clauses) or 'cannot be compared'}"


def _by_picture(found: Comparison) -> str:
    if found.picture_mean is None:
        return MISSING
    error = "" if found.picture_error is None else f" ± {found.picture_error:.1f}"
    return f"{_signed(found.picture_mean, 1)}{error} %"


def _mean(group: Sequence[Point], name: str, divisor: int = 1) -> float | None:
    mean = _aggregate(fmean, group, name)
    return None if mean is None else mean / divisor


def _aggregate(function, group: Sequence[Point], name: str) -> float | None:
    values = [getattr(point, name) for point in group]
    return None if None in values else function(values)


def _number(value: float | None, digits: int) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def _percent(value: float | None) -> str:
    return MISSING if value is None else f"{_signed(value, 1)} %"


def _range(ends: tuple[float, float] | None) -> str:
    return MISSING if ends is None else f"{ends[0]:.1f}–{ends[1]:.1f}"
