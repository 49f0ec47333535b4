"""Selection of the points that can be compared: those on the same pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evaluation.analysis.codec_names import display_name
from evaluation.analysis.protocols import Protocol
from evaluation.analysis.references import KODAK, MEAN
from evaluation.measurement.points import Point
from smapcomp.errors import SmapcompError


@dataclass(frozen=True)
class Selection:
    """Points of some codecs on the pictures that all of them have.

    Attributes:
        points: The points, published means included.
        codecs: Codecs that have points, in the requested order.
        pictures: Sorted names of the pictures.
        notes: What was left out, each a sentence for people.
    """

    points: tuple[Point, ...]
    codecs: tuple[str, ...]
    pictures: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """Description of the set of pictures, for a title."""
        return describe_pictures(self.pictures)


def select(
    points: Sequence[Point], protocol: Protocol, codecs: Iterable[str] | None = None
) -> Selection:
    """Select the points of codecs on the pictures that all these codecs have.

    A codec that has only a published mean is left out unless the pictures are those of the mean.

    Args:
        points: Measured and reference points of any codecs.
        protocol: Protocol whose codecs are the default.
        codecs: Names of codecs; those without points are ignored.

    Raises:
        SmapcompError: There are no points of these codecs, or no picture that all of them have.
    """
    wanted = tuple(dict.fromkeys(protocol.codecs if codecs is None else codecs))
    pictures: dict[str, set[str]] = {}
    for point in points:
        if point.codec in wanted:
            pictures.setdefault(point.codec, set()).add(point.picture)
    if not pictures:
        raise SmapcompError(f"no points of any of the codecs {', '.join(wanted)}")
    published = {codec for codec, names in pictures.items() if MEAN in names}
    measured = {codec: names for codec, names in pictures.items() if codec not in published}
    common = set.intersection(*measured.values()) if measured else set(KODAK)
    if not common:
        raise SmapcompError(f"no picture is measured with all of {', '.join(measured)}")
    notes = []
    missing = set().union(*measured.values()) - common
    if missing:
        lacking = [display_name(codec) for codec in measured if missing - measured[codec]]
        notes.append(
            f"Left out, not measured with {', '.join(lacking)}: {describe_pictures(missing)}."
        )
    kept = set(measured)
    if common == set(KODAK):
        kept |= published
    elif published:
        names = ", ".join(display_name(codec) for codec in wanted if codec in published)
        notes.append(f"Left out, only means over the 24 Kodak pictures are known: {names}.")
    return Selection(
        points=tuple(
            point
            for point in points
            if point.codec in kept
            and (point.picture == MEAN if point.codec in published else point.picture in common)
        ),
        codecs=tuple(codec for codec in wanted if codec in kept),
        pictures=tuple(sorted(common)),
        notes=tuple(notes),
    )


def group_by_quality(points: Iterable[Point]) -> dict[str, dict[str, Point]]:
    """Group one codec's points by quality.

    A picture that was measured twice at one quality with the same result counts once.

    Returns:
        Name of the quality to name of the picture to point, in the order of the points. A point
        that was measured at a rate has its settings as name of the quality.

    Raises:
        SmapcompError: Two results of one picture at one quality differ.
    """
    steps: dict[str, dict[str, Point]] = {}
    for point in points:
        # Points that were measured at a rate have no quality; their settings include the rate.
        name = point.settings if point.quality is None else f"{point.quality:g}"
        known = steps.setdefault(name, {}).setdefault(point.picture, point)
        if _result(known) != _result(point):
            raise SmapcompError(f"{point.picture} has two results at quality {name}")
    return steps


def describe_pictures(pictures: Iterable[str]) -> str:
    """Return the number of pictures, and whether they are Kodak pictures, as text."""
    names = set(pictures)
    if names <= set(KODAK):
        return f"{len(names)} Kodak picture{'s' * (len(names) != 1)}"
    return f"{len(names)} picture{'s' * (len(names) != 1)}"


def _result(point: Point) -> tuple:
    return point.bpp, point.psnr, point.psnr_planes, point.ms_ssim, point.ssimulacra2
