"""Ablations of what is coded: which codecs they need measured, and what the points tell."""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation import codecs
from evaluation.ablation_studies import tables
from evaluation.ablation_studies.tables import Row, row
from evaluation.analysis import bd
from evaluation.analysis.protocols import FAIR
from evaluation.analysis.statistics import mean_difference, mean_of
from evaluation.measurement.points import Point
from smapcomp.codec.coders import find_coder
from smapcomp.codec.options import CompressOptions
from smapcomp.errors import MissingCoderError, SmapcompError

Options = Mapping[str, str]
Wanted = list[tuple[str, Sequence[float]]]

PAPERS = {"compact_coder": "jxl"}
"""The papers' design: CompNet's image of an eighth without loss, and a residual."""


@dataclass(frozen=True)
class Design:
    """Settings in which the modes are compared.

    Attributes:
        name: For people.
        options: Of the codec.
        qualities: From the coarsest on.
    """

    name: str
    options: Options
    qualities: tuple[int, ...]


DESIGNS = (
    Design("papers' design", PAPERS, (20, 40)),
    Design("default design", {}, (40, 60)),
)
MODE_PAIRS = (("sent", "none"), ("matched", "none"), ("mapped", "none"), ("mapped", "matched"))

JXL, SCALE_8, FREE = "lossless, CompNet", "lossy, scale 8", "lossy, any scale"
COMPACT_LAYERS = {
    JXL: (PAPERS, (10, 20, 40, 60)),
    SCALE_8: ({"compact_scale": "8"}, (25, 40, 50, 60)),
    FREE: ({}, (30, 40, 50, 60)),
}
"""Options and ladder: each from about 29 to 37 dB on Kodak, so that the curves lie beside each
other."""
COMPACT_PAIRS = ((SCALE_8, JXL), (FREE, JXL), (FREE, SCALE_8))

RESIDUAL_LADDERS = {
    "av1": (10, 20, 40, 60),
    "heic": (15, 25, 35, 50),
}
"""Of the residual coders that may be installed; the first is what others are compared with."""


def codec_name(common: Options, options: Options) -> str:
    """The codec with options, as points call it: what is a default is not among them.

    Args:
        common: Variant and weights folder, if they are not the default.
        options: Those of an ablation.
    """
    found = {**options, **common}
    if found.get("mode") == CompressOptions.mode:
        del found["mode"]
    text = ",".join(f"{key}={value}" for key, value in found.items())
    return codecs.find(f"smapcomp:{text}" if text else "smapcomp").name


def modes_wanted(common: Options) -> Wanted:
    """What group "modes" needs measured."""
    names = list(dict.fromkeys(mode for pair in MODE_PAIRS for mode in reversed(pair)))
    return [
        (codec_name(common, {**design.options, "mode": mode}), design.qualities)
        for design in DESIGNS
        for mode in names
    ]


def lossless_wanted(common: Options) -> Wanted:
    """What group "lossless" needs measured."""
    return [(codec_name(common, options), ladder) for options, ladder in COMPACT_LAYERS.values()]


def residual_wanted(common: Options) -> Wanted:
    """What group "residual" needs measured, of the residual coders that are installed."""
    return [
        (codec_name(common, _residual(coder)), RESIDUAL_LADDERS[coder])
        for coder in residual_coders()
    ]


def residual_coders() -> list[str]:
    """The names in `RESIDUAL_LADDERS` that are installed."""
    return [name for name in RESIDUAL_LADDERS if _installed(name)]


def _installed(coder: str) -> bool:
    try:
        find_coder(coder).encode(np.zeros((64, 64, 3), np.uint8), 50, None)
    except MissingCoderError:
        return False
    return True


def modes_rows(points: Sequence[Point], common: Options, pictures: str) -> list[Row]:
    """Group "modes"."""
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
    """Group "lossless"."""
    names = {name: codec_name(common, options) for name, (options, _) in COMPACT_LAYERS.items()}
    rows: list[Row] = []
    for pair in COMPACT_PAIRS:
        codecs_of_pair = tuple(names[name] for name in pair)
        rows += _bd_rows("lossless", points, pictures, "", pair, codecs_of_pair)
    return rows


def residual_rows(points: Sequence[Point], common: Options, pictures: str) -> list[Row]:
    """Group "residual"."""
    base, *others = residual_coders()
    rows: list[Row] = []
    for coder in others:
        names = tuple(codec_name(common, _residual(name)) for name in (coder, base))
        rows += _bd_rows("residual", points, pictures, "papers' design", (coder, base), names)
    return rows


LOSS_QUALITY = 50
"""The prediction alone does not depend on it."""


def losses_wanted(common: Mapping[str, Options]) -> Wanted:
    """What group "losses" needs measured.

    Args:
        common: Of each variant, variant and weights folder.
    """
    return [(_prediction(options), (LOSS_QUALITY,)) for options in common.values()]


def losses_rows(
    points: Sequence[Point], common: Mapping[str, Options], pictures: str, conditions: str
) -> list[Row]:
    """Group "losses": every variant against the first, and that against no FineNet at all.

    Args:
        points: Of `losses_wanted`.
        common: As there.
        pictures: Name of the set.
        conditions: How they were trained.
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
        """By picture.

        Raises:
            SmapcompError: Nothing was measured there.
        """
        if (codec, quality) not in self._points:
            raise SmapcompError(f"{codec}: no points of quality {quality:g}")
        return self._points[codec, quality]

    def paired(
        self, variant: str, base: str, quality: float, field: str
    ) -> tuple[list[float], list[float]]:
        """A field of both codecs' points, for the pictures of which both have it."""
        ours, theirs = self.at(variant, quality), self.at(base, quality)
        pairs = [
            (getattr(ours[picture], field), getattr(theirs[picture], field))
            for picture in sorted(ours.keys() & theirs.keys())
        ]
        return _columns(pairs)

    def paired_fields(
        self, codec: str, quality: float, variant: str, base: str
    ) -> tuple[list[float], list[float]]:
        """Two fields of one codec's points."""
        points = self.at(codec, quality)
        return _columns(
            [
                (getattr(points[name], variant), getattr(points[name], base))
                for name in sorted(points)
            ]
        )

    def slope(self, codec: str, qualities: Sequence[float], picture: str) -> float:
        """dB of PSNR for a factor of e in bits, between the ends of a ladder."""
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
    """Bits, PSNR, and PSNR at equal bits; `where` is the set, the conditions and the pair."""
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
        row("modes", *where, tables.BITS, mean_of(percent), bpp),
        _means("modes", *where, tables.PSNR, curves.paired(ours, theirs, quality, "psnr")),
        row("modes", *where, tables.PSNR_AT_EQUAL_BITS, mean_of(gains)),
    ]


def _means(group, pictures, conditions, pair, figure, found) -> Row:
    ours, theirs = found
    value = sum(ours) / len(ours)
    return row(group, pictures, conditions, pair, figure, mean_difference(ours, theirs), value)


def _bd_rows(group, points, pictures, conditions, pair, names) -> list[Row]:
    """BD-rates by each metric that at least two pictures have one for."""
    rows = []
    for metric in FAIR.metrics:
        found = bd.compare(points, *names, FAIR, metric)
        if found.warning:
            print(f"ablations: {' against '.join(pair)}: {found.warning}", file=sys.stderr)
        if len(found.rates) > 1:
            figure = tables.BD_RATES[metric.key]
            rows.append(row(group, pictures, conditions, pair, figure, mean_of(found.rates)))
    return rows


def _residual(coder: str) -> Options:
    first = next(iter(RESIDUAL_LADDERS))
    return PAPERS if coder == first else {**PAPERS, "residual_coder": coder}


def _prediction(common: Options) -> str:
    return codec_name(common, {**PAPERS, "mode": "none", "residual_coder": "none"})
