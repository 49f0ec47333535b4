"""What an evaluation shows of measured points: its tables, and the page of its report."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.analysis.codec_names import label
from evaluation.analysis.protocols import Metric, Protocol
from evaluation.analysis.tables import bd_table, equal_rates_table, mean_table, time_table
from evaluation.measurement import harness
from evaluation.measurement.measure import read_rgb
from evaluation.measurement.points import Point
from evaluation.plotting.styles import is_own
from evaluation.report import (
    Section,
    Shown,
    ShownPicture,
    markdown_table_to_html,
    plot_to_html,
    write_report,
)
from smapcomp.errors import SmapcompError

ANCHORS = ("avif-444-psnr-s4", "avif-444-default-s6", "webp-m6", "jpeg-420")
"""What BD-rates are against where the protocol's anchor has no points, the best first."""


def choose_anchor(points: Sequence[Point], protocol: Protocol, wanted: str | None) -> str:
    """The codec that BD-rates are against.

    Args:
        points: Of any codecs.
        protocol: Its anchor is taken where it has points, else the first of `ANCHORS` that has.
        wanted: Name of a codec that must have points; None for the choice.

    Raises:
        SmapcompError: None has points.
    """
    there = {point.codec for point in points}
    if wanted is not None:
        if wanted not in there:
            raise SmapcompError(
                f"anchor {wanted!r} has no points here; there are {', '.join(sorted(there))}"
            )
        return wanted
    for name in (protocol.anchor, *ANCHORS, *sorted(there)):
        if name in there:
            return name
    raise SmapcompError("there are no points")


def tables(
    points: Sequence[Point],
    timed: Sequence[Point],
    protocol: Protocol,
    anchor: str,
    names: Sequence[str],
) -> dict[str, str]:
    """The tables of an evaluation, heading to Markdown.

    Args:
        points: Measured ones and references.
        timed: On pictures of many sizes; may be empty.
        protocol: What is counted.
        anchor: Codec that BD-rates are against. Where it was not measured by one of the
            protocol's metrics there is a second table against one that was.
        names: Codecs to show, this project's first.
    """
    there = {point.codec for point in points}
    own = [name for name in names if is_own(name) and name in there]
    found = {}
    if own:
        found["At equal rates"] = equal_rates_table(points, protocol, own[0], codecs=names)
    if there - {anchor}:
        found["BD-rate"] = bd_table(points, protocol, anchor, names)
    for metric in protocol.metrics:
        second = _other_anchor(points, metric, anchor)
        if second:
            heading = f"BD-rate, with {metric.label}"
            found[heading] = bd_table(points, protocol, second, [*names, anchor])
            break
    for name in own:
        found[f"Points of {label(name)}"] = mean_table(points, name, protocol)
    found["Time and memory"] = time_table(timed or points, names)
    return found


def shown_pictures(
    pictures: Sequence[Path], names: Sequence[str], rates: Sequence[float], out: Path, jobs: int
) -> list[ShownPicture]:
    """The pictures of the report's slider, coded at the rates by each codec.

    Args:
        pictures: Files.
        names: Codecs.
        rates: Bits per pixel.
        out: Folder where the coded files are kept.
        jobs: Processes.

    Raises:
        SmapcompError: Coding fails.
    """
    if not rates:
        return []
    found = harness.run_matched(names, dict.fromkeys(pictures, rates), out, jobs)
    shown: dict[str, list[Shown]] = {}
    for (codec, picture, rate), (point, decoded) in found.items():
        shown.setdefault(picture, []).append(
            Shown(
                codec=codec,
                label=label(codec),
                target_bpp=rate,
                quality=point.quality,
                bytes=point.bytes,
                bpp=point.bpp,
                psnr=point.psnr,
                ms_ssim=point.ms_ssim,
                ssimulacra2=point.ssimulacra2,
                image=read_rgb(decoded),
            )
        )
    return [ShownPicture(path.stem, read_rgb(path), shown[path.stem]) for path in pictures]


def write_page(
    path: Path,
    protocol: Protocol,
    names: Sequence[str],
    text: Mapping[str, str],
    plots: Sequence[Path],
    points: Sequence[Point],
    shown: Sequence[ShownPicture],
    environments: Mapping[str, dict],
) -> None:
    """Writes the report.

    Args:
        path: The HTML file.
        protocol: What is counted.
        names: Codecs to show.
        text: The tables, as `tables` gives them.
        plots: Files of figures; those in SVG go in.
        points: Measured ones and references.
        shown: Pictures of the slider.
        environments: Where points were measured.

    Raises:
        SmapcompError: The file can't be written.
    """
    drawn = "\n".join(
        plot_to_html(plot.read_text("utf-8"), _caption(plot.stem, protocol))
        for plot in plots
        if plot.suffix == ".svg"
    )
    sections = [Section(heading, markdown_table_to_html(table)) for heading, table in text.items()]
    sections.insert(2, Section("Plots", drawn))
    pictures = {point.picture for point in points if point.environment}
    write_report(
        path,
        title="smapcomp against other codecs",
        summary=(
            f"{len(pictures)} pictures. Protocol {protocol.title}. Every figure is of a picture "
            "decoded from the file that was written."
        ),
        sections=sections,
        points=points,
        pictures=shown,
        environments=environments,
        protocols={protocol.name: names},
        labels={name: label(name) for name in names},
        commands=[f"python -m evaluation.evaluate {shlex.join(sys.argv[1:])}"],
    )


def _caption(stem: str, protocol: Protocol) -> str:
    """What a figure of `plots.write_plots` shows, by the name of its file."""
    captions = {"time": "Processor time against the size of the picture"}
    captions[f"{protocol.name}-bd-rate"] = "BD-rates, by picture and of the mean curves"
    for metric in protocol.metrics:
        name = f"{protocol.name}-{metric.key.replace('_', '-')}"
        captions[name] = f"{metric.title}, against {protocol.unit}"
        captions[f"{name}-difference"] = f"{metric.title}, against the anchor at equal rates"
    return captions[stem]


def _other_anchor(points: Sequence[Point], metric: Metric, anchor: str) -> str | None:
    """The first of `ANCHORS` that was measured by a metric, where the anchor was not."""
    known = {point.codec for point in points if metric.of(point) is not None}
    if anchor in known:
        return None
    return next((name for name in ANCHORS if name in known), None)
