r"""Answers how good the codec is: against which codecs, on which pictures, by which accounting.

    python -m experiments.evaluate --pictures=kodak --out=out/kodak
    python -m experiments.evaluate --pictures=kodak --out=out/kodak --protocol=paper
    python -m experiments.evaluate --pictures=DIR --out=out/mine --codec=smapcomp@20,50,80 \
        --codec=smapcomp:mode=none,compact_coder=jxl@20,50,80 --codec=webp-m6

Every codec codes every picture at every quality of its ladder to a file, and what is decoded from
that file is compared. The folder of --out gets points.csv and points.json, one line a point with
everything that was measured, environments.json, tables.md, which is printed too, plots, and
report.html, which needs nothing beside it. What points.csv has is not measured again: an
interrupted run goes on where it was. Codecs that are not installed are left out with a notice; on
the Kodak pictures those of the reference figures stand in (experiments/evaluation/references).

Exit status: 0 done; 1 a picture, a codec or a file is at fault; 2 wrong flags.
"""

import sys
from collections.abc import Sequence

from absl import flags

from experiments.evaluation import codecs
from smapcomp.errors import MissingCoderError, SmapcompError

FLAGS = flags.FLAGS


def parse_codec(text: str) -> tuple[str, list[float] | None]:
    """A codec and its ladder from its flag, `NAME[:OPTION=VALUE,...][@QUALITY,...]`.

    Raises:
        SmapcompError: A quality is no number, or not on the codec's scale.
    """
    name, at, ladder = text.rpartition("@") if "@" in text else (text, "", "")
    codec = codecs.find(name)
    if not at:
        return codec.name, None
    low, high = sorted(codec.quality_range)
    qualities = []
    for part in ladder.split(","):
        try:
            quality = float(part)
        except ValueError:
            quality = float("nan")
        if not low <= quality <= high or (codec.whole and quality != int(quality)):
            kind = "whole number" if codec.whole else "number"
            raise SmapcompError(f"codec {text!r}: quality {part!r} is no {kind} {low:g}..{high:g}")
        qualities.append(quality)
    return codec.name, qualities


def installed(names: Sequence[str]) -> list[str]:
    """Those of the codecs that can be run here; the others are named on the standard error."""
    found = []
    for name in names:
        try:
            codecs.find(name).version()
        except MissingCoderError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
        else:
            found.append(name)
    return found
