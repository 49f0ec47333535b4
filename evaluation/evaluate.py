r"""Answers how good the codec is: against which codecs, on which pictures, by which accounting.

    python -m evaluation.evaluate --pictures=kodak --out=out/kodak
    python -m evaluation.evaluate --pictures=kodak --out=out/kodak --protocol=paper
    python -m evaluation.evaluate --pictures=DIR --out=out/mine --codec=smapcomp@20,50,80 \
        --codec=smapcomp:mode=none,compact_coder=jxl@20,50,80 --codec=webp-m6 --anchor=webp-m6

Every codec codes every picture at every quality of its ladder to a file, and what is decoded from
that file is compared. The folder of --out gets points.csv and points.json, one line a point with
everything that was measured, environments.json, PROTOCOL.md, whose tables are printed too, plots/,
and PROTOCOL.html, a report that needs nothing beside it. What points.csv has is not measured again:
an interrupted run goes on where it was. Codecs that are not installed are left out with a notice;
on the Kodak pictures the committed reference figures stand in for them.

Exit status: 0 done; 1 a picture, a codec or a file is at fault, or a flag is wrong.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags

from data.picture_folder import find_pictures
from evaluation import codecs
from evaluation.analysis.protocols import PROTOCOLS, Protocol
from evaluation.codecs import NAMES
from evaluation.measurement import environment, harness
from evaluation.measurement.points import Point, write_points
from smapcomp.errors import MissingCoderError, SmapcompError
from smapcomp.pictures import image_files as image_io

FLAGS = flags.FLAGS

Wanted = list[tuple[str, list[float] | None]]


def parse_codec(text: str) -> tuple[str, list[float] | None]:
    """A codec and its ladder from its flag, `NAME[:OPTION=VALUE,...][@QUALITY,...]`.

    Raises:
        SmapcompError: There is no such codec, or a quality is not on its scale.
    """
    name, at, ladder = text.partition("@")
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


def parse_rate(text: str) -> float:
    """A rate from its flag, bits per pixel.

    Raises:
        app.UsageError: It is no number above 0.
    """
    try:
        rate = float(text)
    except ValueError:
        rate = 0
    if not 0 < rate < float("inf"):
        raise app.UsageError(f"--rate={text}: is no number above 0")
    return rate


def spread(pictures: Sequence[Path], count: int) -> list[Path]:
    """So many of the pictures, evenly spread, the first among them; all if there are no more."""
    count = min(count, len(pictures))
    return [pictures[number * len(pictures) // count] for number in range(count)]


def installed(wanted: Wanted) -> Wanted:
    """Those of the codecs that can be run here; the others are named on the standard error."""
    found = []
    for name, ladder in wanted:
        try:
            codecs.find(name).version()
        except MissingCoderError as error:
            print(f"{name} is not measured: {error}", file=sys.stderr)
        else:
            found.append((name, ladder))
    return found


def evaluate(
    pictures: Sequence[Path],
    protocol: Protocol,
    wanted: Wanted,
    out: Path,
    *,
    anchor: str | None,
    rates: Sequence[float],
    shown: int,
    jobs: int,
    times: bool,
) -> str:
    """Measures what is not measured yet, and writes tables, plots and the report.

    Args:
        pictures: Files.
        protocol: What is counted.
        wanted: Codecs and their ladders.
        out: Folder to write to.
        anchor: Codec that BD-rates are against, of `wanted` or of the references; None:
            `results.choose_anchor` takes one.
        rates: Bits per pixel at which the report shows pictures; none: it shows none.
        shown: How many pictures it shows at most.
        jobs: Processes.
        times: Whether to measure time on pictures of many sizes, too.

    Returns:
        The tables, Markdown.

    Raises:
        SmapcompError: A codec, a picture or a file is at fault.
    """
    # The processes that measure import this module, too, and need none of these.
    from evaluation import results
    from evaluation.analysis.references import with_references
    from evaluation.measurement.sizes import make_sizes
    from evaluation.plotting import plots

    here = installed(wanted)
    measured = harness.run(here, pictures, out, jobs) if here else []
    write_points(out / "points.json", measured)
    timed: list[Point] = []
    if times:
        sizes = make_sizes(pictures, out / "sizes")
        ladders = [(name, [codecs.find(name).qualities[3]]) for name, _ in here]
        timed = harness.run(ladders, sizes, out / "sizes", jobs)
    points = with_references(measured)
    anchor = results.choose_anchor(points, protocol, anchor)
    names = list(dict.fromkeys([*(name for name, _ in wanted), *protocol.codecs]))
    tables = results.tables(points, timed, protocol, anchor, names)
    text = "\n".join(tables.values())
    image_io.write_file(out / f"{protocol.name}.md", text.encode(), overwrite=True)
    figures = plots.write_plots(out / "plots", points, protocol, anchor, names, timed)
    names_here = [name for name, _ in here]
    views = results.shown_pictures(spread(pictures, shown), names_here, rates, out, jobs)
    environments = environment.read_environments(out / harness.ENVIRONMENTS)
    page = out / f"{protocol.name}.html"
    results.write_page(page, protocol, names, tables, figures, points, views, environments)
    return text


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    protocol = PROTOCOLS[FLAGS.protocol]
    rates = [parse_rate(text) for text in FLAGS.rate]
    try:
        if FLAGS.codec:
            wanted = [parse_codec(text) for text in FLAGS.codec]
        else:
            wanted = [(name, None) for name in protocol.codecs if name in NAMES]
        pictures = find_pictures(FLAGS.pictures, FLAGS.kodak_dir)
        tables = evaluate(
            pictures,
            protocol,
            wanted,
            Path(FLAGS.out),
            anchor=FLAGS.anchor,
            rates=rates,
            shown=FLAGS.shown,
            jobs=FLAGS.jobs,
            times=FLAGS.times,
        )
    except SmapcompError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nevaluate: interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    print(tables)


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Defines the job's flags."""
    flags.DEFINE_string(
        "pictures", None, "Folder of pictures, or `kodak`.", required=True, flag_values=values
    )
    flags.DEFINE_string(
        "kodak_dir",
        None,
        "Folder of the Kodak pictures; default: downloaded once.",
        flag_values=values,
    )
    flags.DEFINE_string("out", None, "Folder to write to.", required=True, flag_values=values)
    flags.DEFINE_enum(
        "protocol", "fair", list(PROTOCOLS), "What counts as rate and quality.", flag_values=values
    )
    flags.DEFINE_multi_string(
        "codec",
        None,
        "NAME[:OPTION=VALUE,...][@QUALITY,...], may be repeated; default: all of the protocol.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "anchor",
        None,
        "Codec that BD-rates are against; default: the protocol's, or the best measured.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "rate",
        [],
        "Bits per pixel at which the report shows pictures side by side; default: it shows none.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "shown", 8, "How many pictures the report shows at most.", 1, flag_values=values
    )
    flags.DEFINE_boolean(
        "times", False, "Measure time on pictures of many sizes, too.", flag_values=values
    )
    flags.DEFINE_integer("jobs", os.cpu_count(), "Processes.", 1, flag_values=values)


if __name__ == "__main__":
    define_flags()
    app.run(main)
