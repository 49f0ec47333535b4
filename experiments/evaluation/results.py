"""What an evaluation shows of measured points: its tables, and the pages of its report."""

from collections.abc import Sequence

from experiments.evaluation.points import Point
from experiments.evaluation.protocols import Metric, Protocol
from experiments.evaluation.tables import bd_table, equal_rates_table, mean_table, time_table
from smapcomp.errors import SmapcompError

ANCHORS = ("avif-444-psnr-s4", "avif-444-default-s6", "webp-m6", "jpeg-420")
"""What BD-rates are against where the protocol's anchor has no points, the best first."""


def choose_anchor(points: Sequence[Point], protocol: Protocol, wanted: str | None) -> str:
    """The codec that BD-rates are against.

    Args:
        points: Of any codecs.
        protocol: Its anchor is taken where it has points, else the first of `ANCHORS` that has.
        wanted: Name of a codec that must have points; None for the choice.

    Raises:
        SmapcompError: None has points.
    """
    there = {point.codec for point in points}
    if wanted is not None:
        if wanted not in there:
            raise SmapcompError(
                f"anchor {wanted!r} has no points here; there are {', '.join(sorted(there))}"
            )
        return wanted
    for name in (protocol.anchor, *ANCHORS, *sorted(there)):
        if name in there:
            return name
    raise SmapcompError("there are no points")


def tables(
    points: Sequence[Point],
    timed: Sequence[Point],
    protocol: Protocol,
    anchor: str,
    names: Sequence[str],
) -> list[str]:
    """The tables of an evaluation, Markdown.

    Args:
        points: Measured ones and references.
        timed: On pictures of many sizes; may be empty.
        protocol: What is counted.
        anchor: Codec that BD-rates are against. Where it was not measured by one of the
            protocol's metrics there is a second table against one that was.
        names: Codecs to show, this project's first.
    """
    there = {point.codec for point in points}
    own = [name for name in names if name.partition(":")[0] == "smapcomp" and name in there]
    found = []
    if own:
        found.append(equal_rates_table(points, protocol, own[0], codecs=names))
    if there - {anchor}:
        found.append(bd_table(points, protocol, anchor, names))
    for metric in protocol.metrics:
        second = _other_anchor(points, metric, anchor)
        if second:
            found.append(bd_table(points, protocol, second, [*names, anchor]))
            break
    found += [mean_table(points, name, protocol) for name in own]
    found.append(time_table(timed or points, names))
    return found


def _other_anchor(points: Sequence[Point], metric: Metric, anchor: str) -> str | None:
    """The first of `ANCHORS` that was measured by a metric, where the anchor was not."""
    known = {point.codec for point in points if metric.of(point) is not None}
    if anchor in known:
        return None
    return next((name for name in ANCHORS if name in known), None)
