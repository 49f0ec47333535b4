"""BD-rate and BD-quality: mean difference of two codecs in rate or quality over a range.

Curves are interpolated over the logarithm of the rate by Akima's method, which the authors of the
package `bjontegaard` found to be the most accurate and stable (Herglotz et al., arXiv 2202.12565
and 2304.12852). The common test conditions of video coding use PCHIP; on the reference points both
methods differ by at most 0.2 percentage points.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite, sqrt
from statistics import fmean, stdev

import bjontegaard
import numpy as np
from bjontegaard.interpolation import interpolate

from evaluation.analysis.codec_names import display_name
from evaluation.analysis.protocols import Metric, Protocol
from evaluation.analysis.references import KODAK, MEAN
from evaluation.analysis.selection import describe_pictures, group_by_quality, select
from evaluation.measurement.points import Point
from smapcomp.errors import SmapcompError

METHOD = "akima"
"""Default method of interpolation."""

MIN_POINTS = 4
"""Fewest points of a curve, as in the common test conditions."""

MIN_OVERLAP = 0.5
"""Smallest share of the joint quality range that two curves must both cover for a BD-rate without a
warning. Below one half, most measured points do not count, and the result depends more on where the
codecs were measured than on the codecs."""


@dataclass(frozen=True)
class Curve:
    """Rate and quality of one codec, by rising rate.

    Attributes:
        codec: Name of the codec.
        pictures: Pictures that each point is a mean over; `MEAN` alone for a published mean.
        rates: Rates in the protocol's unit.
        values: Qualities in the metric's unit.
        problem: Why the curve cannot be interpolated; empty if it can.
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
    """Difference of one curve from another.

    Attributes:
        rate: BD-rate: percent more (positive) or fewer bits than the anchor at equal quality.
        quality: BD-quality: more or less quality at equal rates, in the metric's unit.
        quality_range: Range that both curves cover, in the metric's unit; `rate` is a mean over it.
        rate_range: Range that both curves cover, in the protocol's unit; `quality` is a mean over
            it.
        overlap: Share of the joint quality range of the two curves that both cover, 0..1.
        problem: Why a value is `None`; empty if none is.
    """

    rate: float | None = None
    quality: float | None = None
    quality_range: tuple[float, float] | None = None
    rate_range: tuple[float, float] | None = None
    overlap: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Comparison:
    """A codec compared with an anchor by one metric.

    Attributes:
        codec: Name of the codec.
        anchor: Name of the anchor.
        pictures: Pictures that the mean curves are over.
        mean: Difference of the mean curves.
        by_picture: Difference of each picture's curves; empty if only means are known of a codec.
        warning: What a reader must know besides the numbers; empty if nothing.
    """

    codec: str
    anchor: str
    pictures: tuple[str, ...]
    mean: Delta
    by_picture: Mapping[str, Delta] = field(default_factory=dict)
    warning: str = ""

    @property
    def rates(self) -> list[float]:
        """BD-rates of the pictures that have one, in percent."""
        return [delta.rate for delta in self.by_picture.values() if delta.rate is not None]

    @property
    def picture_mean(self) -> float | None:
        """Mean of the pictures' BD-rates, in percent."""
        return fmean(self.rates) if self.rates else None

    @property
    def picture_error(self) -> float | None:
        """Standard error of that mean in percentage points; `None` for fewer than two pictures."""
        rates = self.rates
        return stdev(rates) / sqrt(len(rates)) if len(rates) > 1 else None


def build_curve(
    points: Sequence[Point], codec: str, picture: str, protocol: Protocol, metric: Metric
) -> Curve:
    """Build one codec's curve.

    Args:
        points: Points of any codecs and pictures.
        codec: Name of the codec.
        picture: Name of a picture, or `MEAN` for the means of rate and quality at each quality over
            all the codec's pictures; qualities that lack a picture are left out. A published mean
            is used as it is.
        protocol: Protocol that counts the rate.
        metric: Metric of quality. Points where it is infinite, as the PSNR of an exact copy, are
            left out.
    """
    chosen = [point for point in points if point.codec == codec]
    published = [point for point in chosen if point.picture == MEAN]
    if picture != MEAN:
        chosen = [point for point in chosen if point.picture == picture]
    elif published:
        chosen = published
    pictures = tuple(sorted({point.picture for point in chosen}))
    if all(metric.value(point) is None for point in chosen):
        return Curve(codec, pictures, (), (), f"{metric.name} was not measured")
    try:
        steps = group_by_quality(chosen)
    except SmapcompError as error:
        return Curve(codec, pictures, (), (), str(error))
    found, notes = set(), []
    for name, group in steps.items():
        value = metric.mean(list(group.values()))
        if len(group) < len(pictures):
            lacking = f"{len(pictures) - len(group)} of {len(pictures)} pictures"
            notes.append(f"quality {name} left out, not measured on {lacking}")
        elif value is None:
            notes.append(f"quality {name} left out, {metric.name} was not measured")
        elif not isfinite(value):
            notes.append(f"quality {name} left out, a picture was restored exactly")
        else:
            # A set, as two qualities may give the same files.
            found.add((fmean(map(protocol.rate, group.values())), value))
    rates, values = zip(*sorted(found), strict=True) if found else ((), ())
    return Curve(codec, pictures, rates, values, _problem(rates, values, metric), "; ".join(notes))


def compare_codecs(
    points: Sequence[Point],
    codec: str,
    anchor: str,
    protocol: Protocol,
    metric: Metric,
    method: str = METHOD,
) -> Comparison:
    """Compare a codec with an anchor on the pictures that both have.

    What cannot be compared is `None`, and the warning says why.

    Args:
        points: Points of any codecs and pictures.
        codec: Name of the codec.
        anchor: Name of the anchor.
        protocol: Protocol that counts the rate.
        metric: Metric of quality.
        method: Interpolation, "akima" or "pchip".
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
        subject = " and ".join(map(display_name, lacking))
        if published:
            problem = f"{subject} not measured on all 24 Kodak pictures; the other codec is a mean"
        else:
            problem = f"{subject} not measured on a common picture"
        return Comparison(codec, anchor, (), Delta(problem=problem), warning=problem)
    pictures = tuple(sorted(common))
    points = [p for p in points if p.codec in names and p.picture in common | {MEAN}]
    curves = [build_curve(points, name, MEAN, protocol, metric) for name in (anchor, codec)]
    mean = _delta(*curves, method)
    by_picture = {}
    if not published:
        for name in pictures:
            pair = [build_curve(points, c, name, protocol, metric) for c in (anchor, codec)]
            by_picture[name] = _delta(*pair, method)
    warnings = [mean.problem] if mean.problem else []
    if mean.rate is not None and mean.overlap < MIN_OVERLAP:
        warnings.append(
            f"only {100 * mean.overlap:.0f} % of the joint range of {metric.name} of the two "
            "curves is compared"
        )
    warnings += [f"{display_name(c.codec)}: {c.note}" for c in dict.fromkeys(curves) if c.note]
    failed = {name: delta.problem for name, delta in by_picture.items() if delta.rate is None}
    if failed and mean.rate is not None:
        first, reason = next(iter(failed.items()))
        share = f"{len(failed)} of {len(by_picture)} pictures"
        warnings.append(f"no BD-rate for {share}, such as {first}: {reason}")
    if not published and any(names[name] != common for name in names):
        warnings.append(f"compared on the common pictures only, {describe_pictures(common)}")
    return Comparison(codec, anchor, pictures, mean, by_picture, "; ".join(warnings))


def compare_with_anchor(
    points: Sequence[Point],
    protocol: Protocol,
    anchor: str | None = None,
    codecs: Iterable[str] | None = None,
) -> dict[str, dict[str, Comparison]]:
    """Compare codecs with an anchor on the pictures that all of them have.

    Args:
        points: Points of any codecs.
        protocol: Protocol that counts rate and quality.
        anchor: Name of the anchor; by default the protocol's.
        codecs: Names of codecs, by default the protocol's; those without points are ignored.

    Returns:
        Name of the codec to key of the metric to comparison.

    Raises:
        SmapcompError: The anchor has no points, or there is nothing to compare with it.
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
            metric.key: compare_codecs(chosen.points, codec, anchor, protocol, metric)
            for metric in protocol.metrics
        }
        for codec in others
    }


def values_at(curve: Curve, rates: Sequence[float], method: str = METHOD) -> list[float | None]:
    """Return a curve's quality at rates, by interpolation over the logarithm of the rate.

    Args:
        curve: The curve.
        rates: Rates in the protocol's unit.
        method: Interpolation, "akima" or "pchip".

    Returns:
        The qualities; `None` outside the measured range or if the curve has a problem.
    """
    if curve.problem:
        return [None] * len(rates)
    known = np.log10(curve.rates)
    found = interpolate(known, np.array(curve.values), method)
    return [
        # Clipped, as a logarithm may be rounded to beyond the end.
        float(found(np.clip(np.log10(rate), known[0], known[-1])))
        if curve.rates[0] <= rate <= curve.rates[-1]
        else None
        for rate in rates
    ]


def _problem(rates: Sequence[float], values: Sequence[float], metric: Metric) -> str:
    if len(rates) < MIN_POINTS:
        return f"{len(rates)} points, at least {MIN_POINTS} are needed"
    for (r1, v1), (r2, v2) in pairwise(zip(rates, values, strict=True)):
        if r1 == r2:
            return f"two values of {metric.name} at one rate, {r1:.4g}"
        if v2 <= v1:
            return f"{metric.name} does not rise between rates {r1:.4g} and {r2:.4g}"
    return ""


def _delta(anchor: Curve, test: Curve, method: str) -> Delta:
    problems = dict.fromkeys(
        f"{display_name(c.codec)}: {c.problem}" for c in (anchor, test) if c.problem
    )
    if problems:
        return Delta(problem="; ".join(problems))
    quality_range, overlap = _overlap(anchor.values, test.values)
    rate_range, _ = _overlap(anchor.rates, test.rates)
    arguments = (anchor.rates, anchor.values, test.rates, test.values, method)
    # The package's own warning about overlaps is turned off in favour of `Comparison.warning`.
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
    """Return the range that two rising sequences share, and its share of their joint range."""
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    if high <= low:
        return None, 0.0
    return (low, high), (high - low) / (max(a[-1], b[-1]) - min(a[0], b[0]))
