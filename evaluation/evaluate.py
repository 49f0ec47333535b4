r"""Measure codecs on pictures and compare them: tables, plots and a report.

    python -m evaluation.evaluate --pictures=kodak --out=out/kodak
    python -m evaluation.evaluate --pictures=kodak --out=out/kodak --protocol=paper
    python -m evaluation.evaluate --pictures=DIR --out=out/mine --codec=smapcomp@20,40,60,80 \
        --codec=smapcomp:mode=none,compact_coder=jxl@20,40,60,80 --codec=webp-m6 --anchor=webp-m6

Every codec codes every picture to a file at each of its qualities, and the picture that is decoded
from that file is compared with the original. The folder `--out` receives:

* `points.csv` and `points.json`, with all measurements of each point, and `environments.json`;
* `PROTOCOL.md`, the tables, which are printed as well;
* `plots/`, and `PROTOCOL.html`, a report in a single file.

Points in `points.csv` are not measured again, so an interrupted run continues where it stopped.
Codecs that are not installed are left out with a notice; on the Kodak pictures, committed reference
points replace them.

Exit status: 0 success; 1 a picture, a codec, a file or a flag is at fault; 130 interrupted.
"""

import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags

from data.picture_folder import find_pictures
from evaluation import codecs
from evaluation.analysis.protocols import PROTOCOLS, Protocol
from evaluation.analysis.references import with_references
from evaluation.measurement import environment, harness
from evaluation.measurement.points import Point, write_points
from evaluation.measurement.sizes import write_timing_pictures
from smapcomp.errors import SmapcompError
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.pictures import image_files

FLAGS = flags.FLAGS

CodecLadders = list[tuple[str, list[float] | None]]
"""Names of codecs with options, each with its qualities, or `None` for the codec's own."""


def parse_codec(text: str) -> tuple[str, list[float] | None]:
    """Parse the flag of a codec, `NAME[:OPTION=VALUE,...][@QUALITY,...]`.

    Returns:
        The codec's name with options, and its qualities or `None`.

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
        whole = codec.integer_qualities
        if not low <= quality <= high or (whole and quality != int(quality)):
            kind = "whole number" if whole else "number"
            raise SmapcompError(
                f"codec {text!r}: quality {part!r} is not a {kind}, {low:g}..{high:g}"
            )
        qualities.append(quality)
    return codec.name, qualities


def parse_rate(text: str) -> float:
    """Parse the flag of a rate in bits per pixel.

    Raises:
        app.UsageError: The text is not a number above 0.
    """
    try:
        rate = float(text)
    except ValueError:
        rate = 0
    if not 0 < rate < float("inf"):
        raise app.UsageError(f"--rate={text}: is not a number above 0")
    return rate


def evenly_spread(pictures: Sequence[Path], count: int) -> list[Path]:
    """Return at most `count` pictures, evenly spread over all, the first one among them."""
    count = min(count, len(pictures))
    return [pictures[number * len(pictures) // count] for number in range(count)]


def installed_codecs(ladders: CodecLadders) -> CodecLadders:
    """Return the codecs that are installed; name the others on standard error."""
    found = []
    for name, qualities in ladders:
        reason = codecs.why_unavailable(name)
        if reason:
            print(f"{name} is not measured: {reason}", file=sys.stderr)
        else:
            found.append((name, qualities))
    return found


def evaluate(
    pictures: Sequence[Path],
    protocol: Protocol,
    ladders: CodecLadders,
    out: Path,
    *,
    anchor: str | None,
    rates: Sequence[float],
    report_pictures: int,
    jobs: int,
    times: bool,
) -> str:
    """Measure the points that are not measured yet; write tables, plots and the report.

    Args:
        pictures: Files of pictures.
        protocol: Protocol that counts rate and quality.
        ladders: Codecs and their qualities.
        out: Folder to write to.
        anchor: Codec that BD-rates are against, one of `ladders` or of the references; `None` for
            the choice of `results.choose_anchor`.
        rates: Bits per pixel at which the report compares pictures; it compares none if empty.
        report_pictures: Largest number of pictures that the report compares.
        jobs: Number of processes.
        times: Whether to measure time on pictures of several sizes as well.

    Returns:
        The tables in Markdown.

    Raises:
        SmapcompError: A codec, a picture or a file is at fault.
    """
    # Imported here because the measuring processes import this module too, and these load
    # Matplotlib and SciPy.
    from evaluation import results
    from evaluation.plotting import plots

    usable = installed_codecs(ladders)
    measured = harness.measure_qualities(usable, pictures, out, jobs) if usable else []
    write_points(out / "points.json", measured)
    timed: list[Point] = []
    if times:
        sizes = write_timing_pictures(pictures, out / "sizes")
        one_quality = [(name, [codecs.find(name).qualities[3]]) for name, _ in usable]
        timed = harness.measure_qualities(one_quality, sizes, out / "sizes", jobs)
    points = with_references(measured)
    anchor = results.choose_anchor(points, protocol, anchor)
    names = list(dict.fromkeys([*(name for name, _ in ladders), *protocol.codecs]))
    tables = results.make_tables(points, timed, protocol, anchor, names)
    text = "\n".join(tables.values())
    image_files.write_file(out / f"{protocol.name}.md", text.encode(), overwrite=True)
    figures = plots.write_plots(out / "plots", points, protocol, anchor, names, timed)
    compared = results.compared_pictures(
        evenly_spread(pictures, report_pictures), [name for name, _ in usable], rates, out, jobs
    )
    environments = environment.read_environments(out / harness.ENVIRONMENTS)
    page = out / f"{protocol.name}.html"
    results.write_page(page, protocol, names, tables, figures, points, compared, environments)
    return text


def main(arguments: list[str]) -> None:
    """Run the command.

    Args:
        arguments: The command line without its flags.
    """
    refuse_arguments(arguments)
    protocol = PROTOCOLS[FLAGS.protocol]
    rates = [parse_rate(text) for text in FLAGS.rate]
    with errors_in_one_line("evaluate"):
        if FLAGS.codec:
            ladders = [parse_codec(text) for text in FLAGS.codec]
        else:
            ladders = [(name, None) for name in protocol.codecs if name in codecs.NAMES]
        tables = evaluate(
            find_pictures(FLAGS.pictures, FLAGS.kodak_dir),
            protocol,
            ladders,
            Path(FLAGS.out),
            anchor=FLAGS.anchor,
            rates=rates,
            report_pictures=FLAGS.report_pictures,
            jobs=FLAGS.jobs,
            times=FLAGS.times,
        )
    print(tables)


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Define the command's flags."""
    string = functools.partial(flags.DEFINE_string, flag_values=values)
    integer = functools.partial(flags.DEFINE_integer, flag_values=values)
    string("pictures", None, "Folder of pictures, or `kodak`.", required=True)
    string("kodak_dir", None, "Folder of the Kodak pictures; downloaded once by default.")
    string("out", None, "Folder to write to.", required=True)
    flags.DEFINE_enum(
        "protocol", "fair", list(PROTOCOLS), "How rate and quality are counted.", flag_values=values
    )
    flags.DEFINE_multi_string(
        "codec",
        None,
        "NAME[:OPTION=VALUE,...][@QUALITY,...], repeatable; by default the protocol's codecs.",
        flag_values=values,
    )
    string(
        "anchor",
        None,
        "Codec that BD-rates are against; by default the protocol's or, without points of that, "
        "the best measured one.",
    )
    flags.DEFINE_list(
        "rate",
        [],
        "Bits per pixel at which the report compares pictures; none by default.",
        flag_values=values,
    )
    integer("report_pictures", 8, "Largest number of pictures that the report compares.", 1)
    flags.DEFINE_boolean(
        "times", False, "Measure time on pictures of several sizes as well.", flag_values=values
    )
    integer("jobs", os.cpu_count(), "Number of processes.", 1)


if __name__ == "__main__":
    define_flags()
    app.run(main)
