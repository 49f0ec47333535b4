"""Ablations of coding: the codecs to measure for each group, and the differences between them."""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation import codecs
from evaluation.ablation_studies import tables
from evaluation.ablation_studies.tables import Row, make_row
from evaluation.analysis import bd
from evaluation.analysis.protocols import FAIR
from evaluation.analysis.statistics import mean_difference, mean_with_interval
from evaluation.measurement.points import Point
from smapcomp.codec.coders import find_coder
from smapcomp.codec.options import CompressOptions
from smapcomp.errors import MissingCoderError, SmapcompError

Options = Mapping[str, str]
CodecLadders = list[tuple[str, Sequence[float]]]

PAPERS_DESIGN = {"compact_coder": "jxl"}
"""Options of the papers' design: CompNet's compact image at 1/8 size, lossless, and a residual."""


@dataclass(frozen=True)
class Design:
    """Settings in which the modes are compared.

    Attributes:
        name: Name for people.
        options: Options of the codec.
        qualities: Qualities, the coarsest first.
    """

    name: str
    options: Options
    qualities: tuple[int, ...]


DESIGNS = (
    Design("papers' design", PAPERS_DESIGN, (20, 40)),
    Design("default design", {}, (40, 60)),
)
MODE_PAIRS = (("sent", "none"), ("matched", "none"), ("mapped", "none"), ("mapped", "matched"))

LOSSLESS, LOSSY_SCALE_8, LOSSY_ANY_SCALE = "lossless, CompNet", "lossy, scale 8", "lossy, any scale"
COMPACT_LAYERS = {
    LOSSLESS: (PAPERS_DESIGN, (10, 20, 40, 60)),
    LOSSY_SCALE_8: ({"compact_scale": "8"}, (25, 40, 50, 60)),
    LOSSY_ANY_SCALE: ({}, (30, 40, 50, 60)),
}
"""Options and qualities of each compact layer. All curves run from about 29 to 37 dB on Kodak, so
that they overlap."""
COMPACT_PAIRS = (
    (LOSSY_SCALE_8, LOSSLESS),
    (LOSSY_ANY_SCALE, LOSSLESS),
    (LOSSY_ANY_SCALE, LOSSY_SCALE_8),
)

RESIDUAL_LADDERS = {
    "av1": (10, 20, 40, 60),
    "heic": (15, 25, 35, 50),
}
"""Qualities of the residual coders; the others are compared with the first."""


def codec_name(common: Options, options: Options) -> str:
    """Return the name of smapcomp with options, as points have it, without default options.

    Args:
        common: Variant and weights folder, if they are not the default.
        options: Options of an ablation.
    """
    found = {**options, **common}
    if found.get("mode") == CompressOptions.mode:
        del found["mode"]
    text = ",".join(f"{key}={value}" for key, value in found.items())
    return codecs.find(f"smapcomp:{text}" if text else "smapcomp").name


def modes_ladders(common: Options) -> CodecLadders:
    """Return the codecs and qualities to measure for the group "modes"."""
    names = list(dict.fromkeys(mode for pair in MODE_PAIRS for mode in reversed(pair)))
    return [
        (codec_name(common, {**design.options, "mode": mode}), design.qualities)
        for design in DESIGNS
        for mode in names
    ]


def lossless_ladders(common: Options) -> CodecLadders:
    """Return the codecs and qualities to measure for the group "lossless"."""
    return [(codec_name(common, options), ladder) for options, ladder in COMPACT_LAYERS.values()]


def residual_ladders(common: Options) -> CodecLadders:
    """Return the codecs and qualities of the group "residual", for the installed coders."""
    return [
        (codec_name(common, _residual(coder)), RESIDUAL_LADDERS[coder])
        for coder in residual_coders()
    ]


def residual_coders() -> list[str]:
    """Return the names in `RESIDUAL_LADDERS` that are installed."""
    return [name for name in RESIDUAL_LADDERS if _installed(name)]


def _installed(coder: str) -> bool:
    try:
        find_coder(coder).encode(np.zeros((64, 64, 3), np.uint8), 50, None)
    except MissingCoderError:
        return False
    return True


def modes_rows(points: Sequence[Point], common: Options, pictures: str) -> list[Row]:
    """Return the rows of the group "modes"."""
    curves = Curves(points)
    rows: list[Row] = []
    for design in DESIGNS:
        for pair in MODE_PAIRS:
            ours, theirs = (codec_name(common, {**design.options, "mode": mode}) for mode in pair)
            for quality in design.qualities:
                where = (pictures, f"{design.name}, quality {quality}", pair)
                rows += _at_quality(curves, ours, theirs, quality, design.qualities, where)
            if "compact_coder" in design.options:
                found = curves.paired(ours, theirs, design.qualities[-1], "prediction_psnr")
                rows.append(_means("modes", pictures, design.name, pair, tables.PREDICTION, found))
    return rows


def lossless_rows(points: Sequence[Point], common: Options, pictures: str) -> list[Row]:
    """Return the rows of the group "lossless"."""
    names = {name: codec_name(common, options) for name, (options, _) in COMPACT_LAYERS.items()}
    rows: list[Row] = []
    for pair in COMPACT_PAIRS:
        codecs_of_pair = tuple(names[name] for name in pair)
        rows += _bd_rows("lossless", points, pictures, "", pair, codecs_of_pair)
    return rows


def residual_rows(points: Sequence[Point], common: Options, pictures: str) -> list[Row]:
    """Return the rows of the group "residual"."""
    base, *others = residual_coders()
    rows: list[Row] = []
    for coder in others:
        names = tuple(codec_name(common, _residual(name)) for name in (coder, base))
        rows += _bd_rows("residual", points, pictures, "papers' design", (coder, base), names)
    return rows


LOSS_QUALITY = 50
"""Quality at which predictions are measured; they do not depend on it."""


def losses_ladders(common: Mapping[str, Options]) -> CodecLadders:
    """Return the codecs and qualities to measure for the group "losses".

    Args:
        common: Name of each training variant to its options, variant and weights folder.
    """
    return [(_prediction(options), (LOSS_QUALITY,)) for options in common.values()]


def losses_rows(
    points: Sequence[Point], common: Mapping[str, Options], pictures: str, conditions: str
) -> list[Row]:
    """Return the rows of the group "losses".

    Every variant is compared with the first one, and the first one with no FineNet at all.

    Args:
        points: Points of `losses_ladders`.
        common: As for `losses_ladders`.
        pictures: Name of the set of pictures.
        conditions: How the variants were trained.
    """
    curves = Curves(points)
    names = {variant: _prediction(options) for variant, options in common.items()}
    base, *others = names
    found = curves.paired_fields(names[base], LOSS_QUALITY, "psnr", "upsampled_psnr")
    first = (base, "u, no FineNet")
    rows = [_means("losses", pictures, conditions, first, tables.PSNR, found)]
    for variant in others:
        for figure, field in ((tables.PSNR, "psnr"), (tables.MS_SSIM, "ms_ssim_db")):
            found = curves.paired(names[variant], names[base], LOSS_QUALITY, field)
            if found[0]:
                rows.append(_means("losses", pictures, conditions, (variant, base), figure, found))
    return rows


class Curves:
    """Points by codec, quality and picture."""

    def __init__(self, points: Iterable[Point]) -> None:
        self._points: dict[tuple[str, float], dict[str, Point]] = {}
        for point in points:
            self._points.setdefault((point.codec, point.quality), {})[point.picture] = point

    def at(self, codec: str, quality: float) -> dict[str, Point]:
        """Return the points of a codec at a quality, by picture.

        Raises:
            SmapcompError: There are none.
        """
        if (codec, quality) not in self._points:
            raise SmapcompError(f"{codec}: no points of quality {quality:g}")
        return self._points[codec, quality]

    def paired(
        self, variant: str, base: str, quality: float, field: str
    ) -> tuple[list[float], list[float]]:
        """Return a field of two codecs' points, for the pictures for which both have it."""
        ours, theirs = self.at(variant, quality), self.at(base, quality)
        pairs = [
            (getattr(ours[picture], field), getattr(theirs[picture], field))
            for picture in sorted(ours.keys() & theirs.keys())
        ]
        return _columns(pairs)

    def paired_fields(
        self, codec: str, quality: float, variant: str, base: str
    ) -> tuple[list[float], list[float]]:
        """Return two fields of one codec's points, for the pictures that have both."""
        points = self.at(codec, quality)
        return _columns(
            [
                (getattr(points[name], variant), getattr(points[name], base))
                for name in sorted(points)
            ]
        )

    def slope(self, codec: str, qualities: Sequence[float], picture: str) -> float:
        """Return the gain in PSNR, in dB, when the bits grow by a factor of e.

        The gain is a mean between the ends of a range of qualities.
        """
        low, high = (self.at(codec, quality)[picture] for quality in (qualities[0], qualities[-1]))
        return (high.psnr - low.psnr) / math.log(high.bpp / low.bpp)


def _columns(pairs: list[tuple]) -> tuple[list[float], list[float]]:
    pairs = [pair for pair in pairs if None not in pair]
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]


def _at_quality(
    curves: Curves,
    ours: str,
    theirs: str,
    quality: int,
    ladder: Sequence[int],
    where: tuple[str, str, tuple[str, str]],
) -> list[Row]:
    """Return the rows of bits, PSNR, and PSNR at equal bits, at one quality.

    Args:
        curves: The points.
        ours: Name of the compared codec.
        theirs: Name of the codec that it is compared with.
        quality: Quality of both.
        ladder: All qualities, the coarsest first.
        where: Name of the set of pictures, conditions, and the pair of variants.
    """
    a, b = curves.at(ours, quality), curves.at(theirs, quality)
    names = sorted(a.keys() & b.keys())
    percent = [100 * (a[name].bpp / b[name].bpp - 1) for name in names]
    bpp = sum(a[name].bpp for name in names) / len(names)
    gains = [
        a[name].psnr
        - b[name].psnr
        - curves.slope(theirs, ladder, name) * math.log(a[name].bpp / b[name].bpp)
        for name in names
    ]
    return [
        make_row("modes", *where, tables.BITS, mean_with_interval(percent), bpp),
        _means("modes", *where, tables.PSNR, curves.paired(ours, theirs, quality, "psnr")),
        make_row("modes", *where, tables.PSNR_AT_EQUAL_BITS, mean_with_interval(gains)),
    ]


def _means(group, pictures, conditions, pair, figure, found) -> Row:
    ours, theirs = found
    value = sum(ours) / len(ours)
    return make_row(group, pictures, conditions, pair, figure, mean_difference(ours, theirs), value)


def _bd_rows(group, points, pictures, conditions, pair, names) -> list[Row]:
    """Return BD-rates by each metric for which at least two pictures have one."""
    rows = []
    for metric in FAIR.metrics:
        found = bd.compare_codecs(points, *names, FAIR, metric)
        if found.warning:
            print(f"ablations: {' against '.join(pair)}: {found.warning}", file=sys.stderr)
        if len(found.rates) > 1:
            figure = tables.BD_RATES[metric.key]
            rows.append(
                make_row(group, pictures, conditions, pair, figure, mean_with_interval(found.rates))
            )
    return rows


def _residual(coder: str) -> Options:
    first = next(iter(RESIDUAL_LADDERS))
    return PAPERS_DESIGN if coder == first else {**PAPERS_DESIGN, "residual_coder": coder}


def _prediction(common: Options) -> str:
    return codec_name(common, {**PAPERS_DESIGN, "mode": "none", "residual_coder": "none"})
