"""Results of an evaluation: its tables and the page of its report."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.analysis.codec_names import display_name, is_own
from evaluation.analysis.protocols import Metric, Protocol
from evaluation.analysis.tables import bd_table, equal_rates_table, mean_table, time_table
from evaluation.measurement import harness
from evaluation.measurement.measure import read_rgb
from evaluation.measurement.points import Point
from evaluation.report import (
    ComparedPicture,
    Reconstruction,
    Section,
    markdown_table_to_html,
    plot_to_html,
    write_report,
)
from smapcomp.errors import SmapcompError

FALLBACK_ANCHORS = ("avif-444-psnr-s4", "avif-444-default-s6", "webp-m6", "jpeg-420")
"""Anchors of BD-rates if the protocol's anchor has no points, the best first."""


def choose_anchor(points: Sequence[Point], protocol: Protocol, requested: str | None) -> str:
    """Return the codec that BD-rates are against.

    Args:
        points: Points of any codecs.
        protocol: Protocol whose anchor is preferred; without points of it, the first of
            `FALLBACK_ANCHORS` with points is used.
        requested: Name of a codec that must have points; `None` for the choice above.

    Raises:
        SmapcompError: The requested codec, or every codec, has no points.
    """
    measured = {point.codec for point in points}
    if requested is not None:
        if requested not in measured:
            known = ", ".join(sorted(measured))
            raise SmapcompError(f"anchor {requested!r} has no points; these have: {known}")
        return requested
    for name in (protocol.anchor, *FALLBACK_ANCHORS, *sorted(measured)):
        if name in measured:
            return name
    raise SmapcompError("there are no points")


def make_tables(
    points: Sequence[Point],
    timed: Sequence[Point],
    protocol: Protocol,
    anchor: str,
    names: Sequence[str],
) -> dict[str, str]:
    """Return the tables of an evaluation, heading to Markdown.

    Args:
        points: Measured points and references.
        timed: Points on pictures of several sizes; may be empty.
        protocol: Protocol that counts rate and quality.
        anchor: Codec that BD-rates are against. If it lacks one of the protocol's metrics, there is
            a second table against an anchor that has it.
        names: Codecs to include, this project's first.
    """
    measured = {point.codec for point in points}
    own = [name for name in names if is_own(name) and name in measured]
    found = {}
    if own:
        found["At equal rates"] = equal_rates_table(points, protocol, own[0], codecs=names)
    if measured - {anchor}:
        found["BD-rate"] = bd_table(points, protocol, anchor, names)
    for metric in protocol.metrics:
        second = _fallback_anchor(points, metric, anchor)
        if second:
            heading = f"BD-rate, with {metric.name}"
            found[heading] = bd_table(points, protocol, second, [*names, anchor])
            break
    for name in own:
        found[f"Points of {display_name(name)}"] = mean_table(points, name, protocol)
    found["Time and memory"] = time_table(timed or points, names)
    return found


def compared_pictures(
    pictures: Sequence[Path], names: Sequence[str], rates: Sequence[float], out: Path, jobs: int
) -> list[ComparedPicture]:
    """Return the pictures of the report's slider, coded at rates by each codec.

    Args:
        pictures: Files of pictures.
        names: Names of codecs.
        rates: Bits per pixel.
        out: Folder where the coded files are kept.
        jobs: Number of processes.

    Raises:
        SmapcompError: A picture cannot be coded.
    """
    if not rates:
        return []
    found = harness.measure_rates(names, dict.fromkeys(pictures, rates), out, jobs)
    compared: dict[str, list[Reconstruction]] = {}
    for (codec, picture, rate), (point, decoded) in found.items():
        compared.setdefault(picture, []).append(
            Reconstruction(
                codec=codec,
                display_name=display_name(codec),
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
    return [ComparedPicture(path.stem, read_rgb(path), compared[path.stem]) for path in pictures]


def write_page(
    path: Path,
    protocol: Protocol,
    names: Sequence[str],
    text: Mapping[str, str],
    plots: Sequence[Path],
    points: Sequence[Point],
    compared: Sequence[ComparedPicture],
    environments: Mapping[str, dict],
) -> None:
    """Write the report.

    Args:
        path: The HTML file.
        protocol: Protocol that counts rate and quality.
        names: Codecs to include.
        text: The tables of `make_tables`.
        plots: Files of plots; those in SVG are inserted.
        points: Measured points and references.
        compared: Pictures of the slider.
        environments: Environments in which the points were measured, by key.

    Raises:
        SmapcompError: The file cannot be written.
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
            f"{len(pictures)} pictures. Protocol {protocol.title}. Every picture was decoded "
            "from the file that was written."
        ),
        sections=sections,
        points=points,
        pictures=compared,
        environments=environments,
        protocols={protocol.name: names},
        display_names={name: display_name(name) for name in names},
        commands=[f"python -m evaluation.evaluate {shlex.join(sys.argv[1:])}"],
    )


def _caption(stem: str, protocol: Protocol) -> str:
    """Return the caption of a plot of `plots.write_plots` by the name of its file."""
    captions = {"time": "Processor time against picture size"}
    captions[f"{protocol.name}-bd-rate"] = "BD-rates: means over pictures, and of the mean curves"
    for metric in protocol.metrics:
        name = f"{protocol.name}-{metric.key.replace('_', '-')}"
        captions[name] = f"{metric.title}, against {protocol.unit}"
        captions[f"{name}-difference"] = (
            f"Difference of {metric.title} from the anchor at equal rates"
        )
    return captions[stem]


def _fallback_anchor(points: Sequence[Point], metric: Metric, anchor: str) -> str | None:
    """Return the first of `FALLBACK_ANCHORS` that has a metric, if the anchor lacks it."""
    known = {point.codec for point in points if metric.value(point) is not None}
    if anchor in known:
        return None
    return next((name for name in FALLBACK_ANCHORS if name in known), None)
