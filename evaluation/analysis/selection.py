"""Which points can be held against one another: those on the same pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evaluation.analysis.codec_names import label
from evaluation.analysis.protocols import Protocol
from evaluation.analysis.references import KODAK, MEAN
from evaluation.measurement.points import Point
from smapcomp.errors import SmapcompError


@dataclass(frozen=True)
class Selection:
    """Points of some codecs on the pictures that all of them have.

    Attributes:
        points: Of these codecs on these pictures, published means included.
        codecs: Those that there are, in the order that was asked for.
        pictures: Sorted names.
        notes: What was left out, each a sentence for people.
    """

    points: tuple[Point, ...]
    codecs: tuple[str, ...]
    pictures: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The set of pictures, for a title."""
        return picture_set(self.pictures)


def select(
    points: Sequence[Point], protocol: Protocol, codecs: Iterable[str] | None = None
) -> Selection:
    """What can be compared.

    A codec that has a published mean alone is left out unless the pictures are those of the mean.

    Args:
        points: Measured and reference points, of any codecs.
        protocol: Has the codecs that are taken unless others are asked for.
        codecs: Names; those without points are passed over.

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
        lacking = [label(codec) for codec in measured if missing - measured[codec]]
        notes.append(
            f"Left out, as not measured with {', '.join(lacking)}: {picture_set(missing)}."
        )
    kept = set(measured)
    if common == set(KODAK):
        kept |= published
    elif published:
        names = ", ".join(label(codec) for codec in wanted if codec in published)
        notes.append(f"Left out, as known by means over the 24 Kodak pictures alone: {names}.")
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


def by_step(points: Iterable[Point]) -> dict[str, dict[str, Point]]:
    """One codec's points: name of the quality step to picture to point, in their order.

    A picture that was measured twice at one step, with the same result, counts once.

    Raises:
        SmapcompError: The results differ.
    """
    steps: dict[str, dict[str, Point]] = {}
    for point in points:
        # Points at a given rate have no quality; which rate it was stands in the settings.
        name = point.settings if point.quality is None else f"{point.quality:g}"
        known = steps.setdefault(name, {}).setdefault(point.picture, point)
        if _result(known) != _result(point):
            raise SmapcompError(f"{point.picture} has two results at quality {name}")
    return steps


def picture_set(pictures: Iterable[str]) -> str:
    """Their number, and whether they are the Kodak pictures."""
    names = set(pictures)
    if names <= set(KODAK):
        return f"{len(names)} Kodak picture{'s' * (len(names) != 1)}"
    return f"{len(names)} picture{'s' * (len(names) != 1)}"


def _result(point: Point) -> tuple:
    return point.bpp, point.psnr, point.psnr_planes, point.ms_ssim, point.ssimulacra2
