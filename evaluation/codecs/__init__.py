"""The codecs that the evaluation can measure, by name."""

from collections.abc import Callable
from functools import partial

from evaluation.codecs import pillow_codec
from evaluation.codecs.base import Codec
from evaluation.codecs.bpg import Bpg
from evaluation.codecs.heic import Heic
from evaluation.codecs.imagecodecs_codec import Jpeg2000, JpegXl
from evaluation.codecs.own import Smapcomp
from evaluation.codecs.planes import Planes
from evaluation.codecs.published_design import MODES, PublishedDesign
from smapcomp.errors import MissingCoderError, SmapcompError

_FIXED: dict[str, Callable[[], Codec]] = {
    "jpeg-420": partial(pillow_codec.jpeg, "420"),
    "jpeg-444": partial(pillow_codec.jpeg, "444"),
    "webp-m6": pillow_codec.webp,
    "jpeg2000": Jpeg2000,
    "jxl-e7": JpegXl,
    "heic-420": partial(Heic, "420"),
    "heic-444": partial(Heic, "444"),
    "avif-420-default-s6": partial(pillow_codec.avif, "420", "default", 6),
    "avif-444-default-s6": partial(pillow_codec.avif, "444", "default", 6),
    "avif-444-psnr-s4": partial(pillow_codec.avif, "444", "psnr", 4),
    "bpg-420": partial(Bpg, "420"),
    "bpg-444": partial(Bpg, "444"),
    "bpg-rgb": partial(Bpg, "rgb"),
    "jpeg-planes": lambda: Planes(pillow_codec.jpeg("444"), "jpeg-planes", "JPEG, R G B apart"),
    "webp-planes": lambda: Planes(pillow_codec.webp(), "webp-planes", "WebP, R G B apart"),
    "jpeg2000-planes": lambda: Planes(Jpeg2000(), "jpeg2000-planes", "JPEG 2000, R G B apart"),
}

NAMES = ("smapcomp", *MODES, *_FIXED)
"""Names of all codecs, without options."""


def find(text: str) -> Codec:
    """Return the codec of a name with options.

    Args:
        text: A name in `NAMES`. Options may follow "smapcomp" and the names of the published
            designs, as in "smapcomp:mode=none,compact_coder=jxl".

    Raises:
        SmapcompError: There is no such codec or option.
    """
    name, colon, rest = text.partition(":")
    if name not in NAMES:
        raise SmapcompError(f"codec {name!r} is unknown; allowed: {', '.join(NAMES)}")
    options = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = part.partition("=")
        if not equals or not value or key in options:
            raise SmapcompError(f"codec {text!r}: option {part!r} is not NAME=VALUE, or repeated")
        options[key] = value
    if name in _FIXED:
        if options:
            raise SmapcompError(f"codec {text!r}: {name} has no options")
        return _FIXED[name]()
    return Smapcomp(options) if name == "smapcomp" else PublishedDesign(name, options)


def why_unavailable(text: str) -> str:
    """Return why a codec cannot be run on this machine; empty if it can.

    Args:
        text: As for `find`.

    Raises:
        SmapcompError: There is no such codec or option.
    """
    try:
        find(text).version()
    except MissingCoderError as error:
        return str(error)
    return ""
