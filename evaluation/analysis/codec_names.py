"""What codecs are called in tables and plots."""

from evaluation import codecs
from smapcomp.errors import SmapcompError

REFERENCES = {
    "edms-published": "EDMS as published",
    "edms-published-figures": "EDMS, figures of its supplement",
    "bpg-rgb-published": "BPG RGB as published",
}
"""Of codecs that are known by published figures alone."""


def label(codec: str) -> str:
    """A codec's label; its name where there is none."""
    if codec in REFERENCES:
        return REFERENCES[codec]
    try:
        return codecs.find(codec).label
    except SmapcompError:
        return codec
