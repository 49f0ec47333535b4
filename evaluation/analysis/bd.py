"""BD-rate and BD-quality: what one codec takes or gives against another, averaged over a range.

Curves are interpolated over the logarithm of the rate by Akima's method, which the authors of the
package `bjontegaard` found to be the most accurate and stable (Herglotz et al., arXiv 2202.12565
and 2304.12852). Video's common test conditions take PCHIP; on the reference points the two are at
most 0.2 percentage points apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite, sqrt
from statistics import fmean, stdev

import bjontegaard
import numpy as np
from bjontegaard.interpolation import interpolate

from evaluation.analysis.codec_names import label
from evaluation.analysis.protocols import Metric, Protocol
from evaluation.analysis.references import KODAK, MEAN
from evaluation.analysis.selection import by_step, picture_set, select
from evaluation.measurement.points import Point
from smapcomp.errors import SmapcompError

METHOD = "akima"

MIN_POINTS = 4
"""Of a curve, as the common test conditions have it; three leave a cubic to chance."""

MIN_OVERLAP = 0.5
"""Share of the quality range of two curves together that both must have for a BD-rate without a
warning. Below a half, most of what was measured does not count, and the figure says more about
where the codecs were measured than about the codecs."""


@dataclass(frozen=True)
class Curve:
    """Rate and quality of one codec, by rising rate.

    Attributes:
        codec: Its name.
        pictures: Over which each point is a mean; `MEAN` alone for a published one.
        rates: In the protocol's unit.
        values: In the metric's unit.
        problem: Why nothing can be interpolated; empty if all is well.
        note: What was left out; empty if nothing was.
    """

    codec: str
    pictures: tuple[str, ...]
    rates: tuple[float, ...]
    values: tuple[float, ...]
    problem: str = ""
    note: str = ""


@dataclass(frozen=True)
class Delta:
    """One curve against another.

    Attributes:
        rate: BD-rate, percent: of the anchor's bits, more (positive) or less at equal quality.
        quality: BD-quality, in the metric's unit: more or less of it at equal rates.
        quality_range: From where to where both curves go, in the metric's unit: the range of
            `rate`.
        rate_range: The same in the protocol's unit: the range of `quality`.
        overlap: The part that `quality_range` is of what the curves span together, 0..1.
        problem: Why a figure is None; empty if none is.
    """

    rate: float | None = None
    quality: float | None = None
    quality_range: tuple[float, float] | None = None
    rate_range: tuple[float, float] | None = None
    overlap: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Comparison:
    """A codec against an anchor by one metric.

    Attributes:
        codec, anchor: Their names.
        pictures: Over which the mean curves are.
        mean: Of the mean curves.
        by_picture: Of each picture's curves; empty where a codec is known by means alone.
        warning: What a reader must know besides the figures; empty if nothing.
    """

    codec: str
    anchor: str
    pictures: tuple[str, ...]
    mean: Delta
    by_picture: Mapping[str, Delta] = field(default_factory=dict)
    warning: str = ""

    @property
    def rates(self) -> list[float]:
        """The BD-rates of those pictures that have one, percent."""
        return [delta.rate for delta in self.by_picture.values() if delta.rate is not None]

    @property
    def picture_mean(self) -> float | None:
        """Mean of the pictures' BD-rates, percent."""
        return fmean(self.rates) if self.rates else None

    @property
    def picture_error(self) -> float | None:
        """Standard error of that mean, percentage points; None for fewer than two pictures."""
        rates = self.rates
        return stdev(rates) / sqrt(len(rates)) if len(rates) > 1 else None


def curve(
    points: Sequence[Point], codec: str, picture: str, protocol: Protocol, metric: Metric
) -> Curve:
    """One codec's curve.

    Args:
        points: Of any codecs and pictures.
        codec: Whose curve.
        picture: Its name, or `MEAN`: at each quality step the means of rate and quality over all
            pictures that the codec has; steps that lack a picture are left out. A published mean is
            taken as it is.
        protocol: Has the rate.
        metric: Has the quality. Where it is infinite, as the PSNR of an exact copy, the step is
            left out.
    """
    chosen = [point for point in points if point.codec == codec]
    published = [point for point in chosen if point.picture == MEAN]
    if picture != MEAN:
        chosen = [point for point in chosen if point.picture == picture]
    elif published:
        chosen = published
    pictures = tuple(sorted({point.picture for point in chosen}))
    if all(metric.of(point) is None for point in chosen):
        return Curve(codec, pictures, (), (), f"{metric.label} was not measured")
    try:
        steps = by_step(chosen)
    except SmapcompError as error:
        return Curve(codec, pictures, (), (), str(error))
    found, notes = set(), []
    for name, group in steps.items():
        value = metric.mean(list(group.values()))
        if len(group) < len(pictures):
            lacking = f"{len(pictures) - len(group)} of {len(pictures)} pictures"
            notes.append(f"quality {name} left out, not measured on {lacking}")
        elif value is None:
            notes.append(f"quality {name} left out, where {metric.label} was not measured")
        elif not isfinite(value):
            notes.append(f"quality {name} left out, where a picture came back exactly")
        else:
            # A set: two steps may give the same files.
            found.add((fmean(map(protocol.rate, group.values())), value))
    rates, values = zip(*sorted(found), strict=True) if found else ((), ())
    return Curve(codec, pictures, rates, values, _problem(rates, values, metric), "; ".join(notes))


def compare(
    points: Sequence[Point],
    codec: str,
    anchor: str,
    protocol: Protocol,
    metric: Metric,
    method: str = METHOD,
) -> Comparison:
    """A codec against an anchor, on the pictures that both have.

    What can't be compared is None, and the warning says why.

    Args:
        points: Of any codecs and pictures.
        codec, anchor: Names in `points`.
        protocol, metric: What rate and quality are.
        method: Of interpolation: "akima" or "pchip".
    """
    names = {name: {p.picture for p in points if p.codec == name} for name in (codec, anchor)}
    published = any(MEAN in pictures for pictures in names.values())
    if published:
        common = set(KODAK)
        lacking = [n for n, pictures in names.items() if MEAN not in pictures and common - pictures]
    else:
        common = names[codec] & names[anchor]
        lacking = [] if common else [codec, anchor]
    if lacking:
        on = "all 24 Kodak pictures, of which the other is a mean" if published else "one picture"
        problem = f"{' and '.join(map(label, lacking))} not measured on {on}"
        return Comparison(codec, anchor, (), Delta(problem=problem), warning=problem)
    pictures = tuple(sorted(common))
    points = [p for p in points if p.codec in names and p.picture in common | {MEAN}]
    curves = [curve(points, name, MEAN, protocol, metric) for name in (anchor, codec)]
    mean = _delta(*curves, method)
    by_picture = {}
    if not published:
        for name in pictures:
            pair = [curve(points, c, name, protocol, metric) for c in (anchor, codec)]
            by_picture[name] = _delta(*pair, method)
    warnings = [mean.problem] if mean.problem else []
    if mean.rate is not None and mean.overlap < MIN_OVERLAP:
        warnings.append(
            f"only {100 * mean.overlap:.0f} % of the range of {metric.label} that the two curves "
            "span is compared"
        )
    warnings += [f"{label(c.codec)}: {c.note}" for c in dict.fromkeys(curves) if c.note]
    failed = {name: delta.problem for name, delta in by_picture.items() if delta.rate is None}
    if failed and mean.rate is not None:
        first, reason = next(iter(failed.items()))
        of = f"{len(failed)} of {len(by_picture)} pictures"
        warnings.append(f"no BD-rate of {of}, such as {first}: {reason}")
    if not published and any(names[name] != common for name in names):
        warnings.append(f"over what both have, {picture_set(common)}")
    return Comparison(codec, anchor, pictures, mean, by_picture, "; ".join(warnings))


def comparisons(
    points: Sequence[Point],
    protocol: Protocol,
    anchor: str | None = None,
    codecs: Iterable[str] | None = None,
) -> dict[str, dict[str, Comparison]]:
    """Codec to key of the metric to comparison, over the pictures that all of the codecs have.

    Args:
        points: Of any codecs.
        protocol: What rate and quality are; has anchor and codecs unless others are given.
        anchor: Name of the codec that the rates are against.
        codecs: Names; those without points are passed over.

    Raises:
        SmapcompError: There are no points of the anchor, or nothing to compare it with.
    """
    anchor = anchor or protocol.anchor
    wanted = [*(protocol.codecs if codecs is None else codecs), anchor]
    chosen = select(points, protocol, wanted)
    if anchor not in chosen.codecs:
        raise SmapcompError(f"anchor {anchor!r} has no points on these pictures")
    others = [codec for codec in chosen.codecs if codec != anchor]
    if not others:
        raise SmapcompError(f"nothing to compare with the anchor {anchor!r}")
    return {
        codec: {
            metric.key: compare(chosen.points, codec, anchor, protocol, metric)
            for metric in protocol.metrics
        }
        for codec in others
    }


def values_at(curve: Curve, rates: Sequence[float], method: str = METHOD) -> list[float | None]:
    """A curve's quality at rates; None beyond what was measured or where the curve has a problem.

    Args:
        curve: To be interpolated, over the logarithm of the rate.
        rates: In the protocol's unit.
        method: Of interpolation: "akima" or "pchip".
    """
    if curve.problem:
        return [None] * len(rates)
    known = np.log10(curve.rates)
    found = interpolate(known, np.array(curve.values), method)
    return [
        # Clipped: a logarithm may be rounded to beyond the end.
        float(found(np.clip(np.log10(rate), known[0], known[-1])))
        if curve.rates[0] <= rate <= curve.rates[-1]
        else None
        for rate in rates
    ]


def _problem(rates: Sequence[float], values: Sequence[float], metric: Metric) -> str:
    if len(rates) < MIN_POINTS:
        return f"{len(rates)} points where {MIN_POINTS} are needed"
    for (r1, v1), (r2, v2) in pairwise(zip(rates, values, strict=True)):
        if r1 == r2:
            return f"two values of {metric.label} at one rate, {r1:.4g}"
        if v2 <= v1:
            return f"{metric.label} does not rise between rates {r1:.4g} and {r2:.4g}"
    return ""


def _delta(anchor: Curve, test: Curve, method: str) -> Delta:
    problems = dict.fromkeys(f"{label(c.codec)}: {c.problem}" for c in (anchor, test) if c.problem)
    if problems:
        return Delta(problem="; ".join(problems))
    quality_range, overlap = _overlap(anchor.values, test.values)
    rate_range, _ = _overlap(anchor.rates, test.rates)
    arguments = (anchor.rates, anchor.values, test.rates, test.values, method)
    # The package's own warning about overlaps is turned off; there is one here.
    options = {"require_matching_points": False, "min_overlap": 0}
    rate = quality = None
    problems = []
    if quality_range:
        rate = float(bjontegaard.bd_rate(*arguments, **options))
    else:
        problems.append("the curves have no quality in common")
    if rate_range:
        quality = float(bjontegaard.bd_psnr(*arguments, **options))
    else:
        problems.append("the curves have no rate in common")
    return Delta(rate, quality, quality_range, rate_range, overlap, "; ".join(problems))


def _overlap(a: Sequence[float], b: Sequence[float]) -> tuple[tuple[float, float] | None, float]:
    """What two rising sequences have in common, and which part that is of what they span."""
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    if high <= low:
        return None, 0.0
    return (low, high), (high - low) / (max(a[-1], b[-1]) - min(a[0], b[0]))
