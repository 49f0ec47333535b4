"""Lines and markers of codecs in plots: the same in every plot, and distinct without colours."""

from collections.abc import Iterable
from dataclasses import dataclass

from evaluation.analysis.codec_names import OWN_CODEC, is_own

# Okabe and Ito's colours, which people with any common colour blindness can distinguish.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
DARK, GREY, LIGHT = "#444444", "#777777", "#999999"


@dataclass(frozen=True)
class Style:
    """Style of a line.

    Attributes:
        colour: Colour as `#RRGGBB`.
        marker: Marker by Matplotlib's name.
        dashes: Lengths on and off in line widths; empty for a solid line.
        width: Width of the line in points.
        size: Size of the marker in points.
    """

    colour: str
    marker: str
    dashes: tuple[float, ...] = ()
    width: float = 1.1
    size: float = 4.5


_KNOWN = {
    OWN_CODEC: Style(VERMILLION, "o", (), 2.4, 6),
    "bpg-444": Style(BLACK, "s"),
    "bpg-420": Style(DARK, "s", (1, 1)),
    "bpg-rgb": Style(BLACK, "s", (6, 1.5)),
    "bpg-rgb-published": Style(DARK, "d", (1, 1), 1.1, 5.5),
    "avif-444-psnr-s4": Style(BLUE, "^", (5, 1.5)),
    "avif-444-default-s6": Style(SKY, "v", (7, 2)),
    "avif-420-default-s6": Style(SKY, "<", (1, 1)),
    "heic-444": Style(GREEN, "D", (3, 1), 1.1, 4),
    "heic-420": Style(GREEN, "d", (1, 2)),
    "jxl-e7": Style(ORANGE, "P", (6, 1.5, 1, 1.5), 1.1, 5.5),
    "webp-m6": Style(DARK, "X", (2, 1.5), 1.1, 5),
    "webp-planes": Style(DARK, "X", (3, 1.5), 1.1, 5),
    "jpeg2000": Style(GREY, "p", (4, 1.5, 1, 1.5), 1.1, 5),
    "jpeg2000-planes": Style(GREY, "p", (5, 1, 1, 1), 1.1, 5),
    "jpeg-420": Style(LIGHT, "<", (1, 1.5)),
    "jpeg-444": Style(LIGHT, ">", (1, 1)),
    "jpeg-planes": Style(LIGHT, "<", (2, 1.5)),
    "edms-published": Style(PURPLE, "*", (8, 2, 2, 2), 1.6, 8),
    "edms-design": Style(PURPLE, "h", (), 1.6, 6),
    "dsslic-design": Style(BLUE, "8", (3, 1.5), 1.6, 5.5),
}

_VARIANTS = tuple(
    Style(VERMILLION, marker, dashes, 1.6, 5)
    for marker, dashes in (("^", (4, 1.5)), ("s", (1, 1)), ("D", (5, 1, 1, 1)), ("v", (2, 2)))
)

_OTHERS = (
    Style(BLUE, "1", (), 1.1, 7),
    Style(GREEN, "2", (4, 1), 1.1, 7),
    Style(PURPLE, "3", (1, 1), 1.1, 7),
    Style(ORANGE, "4", (5, 1, 1, 1), 1.1, 7),
    Style(SKY, "+", (2, 2), 1.1, 7),
    Style(BLACK, "x", (7, 2), 1.1, 5.5),
)


def codec_styles(codecs: Iterable[str]) -> dict[str, Style]:
    """Return a style for each codec of one figure.

    Unknown codecs take turns with a few further styles.
    """
    found, variants, others = {}, 0, 0
    for codec in codecs:
        if codec in _KNOWN:
            found[codec] = _KNOWN[codec]
        elif is_own(codec):
            found[codec] = _VARIANTS[variants % len(_VARIANTS)]
            variants += 1
        else:
            found[codec] = _OTHERS[others % len(_OTHERS)]
            others += 1
    return found
