"""Names of codecs in tables and plots."""

from evaluation import codecs
from smapcomp.errors import SmapcompError

OWN_CODEC = "smapcomp"
"""Name of this project's codec without options."""

PUBLISHED_NAMES = {
    "edms-published": "EDMS as published",
    "edms-published-figures": "EDMS, figures of its supplement",
    "bpg-rgb-published": "BPG RGB as published",
}
"""Display names of codecs of which only published figures are known."""


def display_name(codec: str) -> str:
    """Return a codec's name for people; the codec's own name if it has no other."""
    if codec in PUBLISHED_NAMES:
        return PUBLISHED_NAMES[codec]
    try:
        return codecs.find(codec).display_name
    except SmapcompError:
        return codec


def is_own(codec: str) -> bool:
    """Return whether a codec is this project's, with or without options."""
    return codec.partition(":")[0] == OWN_CODEC
