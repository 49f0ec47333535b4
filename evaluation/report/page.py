"""The report's page: its composition and its file."""

import base64
import dataclasses
import datetime
import hashlib
import json
import math
import numbers
import os
import string
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources

from evaluation.analysis.codec_names import is_own
from evaluation.analysis.protocols import PROTOCOLS
from evaluation.measurement.points import Point
from evaluation.plotting.styles import codec_styles
from evaluation.report import facts
from evaluation.report.content import ComparedPicture, Reconstruction, Section
from evaluation.report.embed import ORIGINAL_FLOOR_DB, RECONSTRUCTION_FLOOR_DB, embed, thumbnail
from evaluation.report.markup import unique_svg_ids
from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files

SCRIPTS = ("data.js", "state.js", "compare.js", "chart.js", "tables.js", "main.js")
"""Files of `scripts` in the order in which they are joined; they share one scope."""
STYLES = ("page.css", "results.css", "controls.css", "comparison.css", "chart.css", "media.css")
"""Files of `styles` in the order in which they are joined."""
POINT_FIELDS = (
    *("quality", "bytes", "bpp", "psnr", "psnr_planes", "ms_ssim", "ssimulacra2"),
    *("encode_seconds", "decode_seconds"),
)
"""Fields of `Point` that the page contains, besides codec and picture."""


def write_report(
    path: str | os.PathLike,
    *,
    title: str,
    summary: str,
    sections: Sequence[Section],
    points: Sequence[Point],
    pictures: Sequence[ComparedPicture],
    environments: Mapping[str, dict],
    protocols: Mapping[str, Sequence[str]],
    display_names: Mapping[str, str],
    commands: Sequence[str],
    made: datetime.date | None = None,
) -> None:
    """Write the page, whole or not at all; an existing file is replaced.

    Args:
        path: The HTML file.
        title: Title of the page, plain text.
        summary: Plain text under the title; empty lines separate paragraphs.
        sections: The results, in order.
        points: Measured points for the part "Picture by picture", which is left out without any.
        pictures: Pictures of the slider, which is left out without any.
        environments: Environments by the key in `Point.environment`.
        protocols: Names of protocols, each with the codecs that are compared by it, in the order of
            legends. Points of other codecs are left out.
        display_names: Names of codecs for people; a codec without one is called by its name.
        commands: Command lines that make the page.
        made: Date on the page; by default today.

    Raises:
        SmapcompError: A protocol is unknown, two pictures have one name, two reconstructions of a
            picture have the same codec and rate, one has another size than its original, or the
            file cannot be written.
    """
    _check(protocols, pictures)
    embedded = [_picture(picture) for picture in pictures]
    measured = {point.codec for point in points}
    compared = {
        name: [codec for codec in codecs if codec in measured] for name, codecs in protocols.items()
    }
    compared_points = [
        point for point in points if any(point.codec in c for c in compared.values())
    ]
    data = {
        "protocols": {name: _protocol(name, codecs) for name, codecs in compared.items()},
        "codecs": _codecs(protocols, pictures, display_names),
        "points": _points(compared_points),
        "pictures": embedded,
    }
    script = "\n".join(_file(f"scripts/{name}") for name in SCRIPTS)
    template = string.Template(_file("templates/report.html"))
    html = template.substitute(
        title=escape(title),
        policy=escape(_policy(script)),
        style="\n".join(_file(f"styles/{name}") for name in STYLES),
        date=(made or datetime.date.today()).isoformat(),
        summary=facts.paragraphs(summary),
        protocols=facts.definitions(
            {name: PROTOCOLS[name].title.removeprefix(f"{name}: ") for name in protocols}
        ),
        commands=escape("\n".join(commands)),
        environments=facts.environments(environments),
        codecs=facts.codecs(compared_points, display_names),
        contents=_contents(sections, bool(pictures), bool(compared_points)),
        results="\n".join(_section(number, section) for number, section in enumerate(sections, 1)),
        comparison=_comparison(embedded),
        drill_down=_file("templates/drill_down.html") if compared_points else "",
        data=_json(data),
        script=script,
    )
    image_files.write_file(path, html.encode("utf-8"), overwrite=True)


def _check(protocols: Mapping[str, Sequence[str]], pictures: Sequence[ComparedPicture]) -> None:
    for name in protocols:
        if name not in PROTOCOLS:
            raise SmapcompError(f"protocol {name!r} is unknown; allowed: {', '.join(PROTOCOLS)}")
    names = [picture.name for picture in pictures]
    for name in names:
        if names.count(name) > 1:
            raise SmapcompError(f"two pictures are named {name}")
    for picture in pictures:
        seen = set()
        for coded in picture.reconstructions:
            what = f"{picture.name}, {coded.codec} at {coded.target_bpp:g} bpp"
            if coded.image.shape != picture.original.shape:
                raise SmapcompError(
                    f"{what}: shape {coded.image.shape}, "
                    f"but the original has {picture.original.shape}"
                )
            if (coded.codec, coded.target_bpp) in seen:
                raise SmapcompError(f"{what}: two reconstructions")
            seen.add((coded.codec, coded.target_bpp))


def _codecs(
    protocols: Mapping[str, Sequence[str]],
    pictures: Sequence[ComparedPicture],
    display_names: Mapping[str, str],
) -> dict[str, dict]:
    """Return name and style of each codec, in the order of first appearance."""
    of_pictures = {
        coded.codec: coded.display_name for picture in pictures for coded in picture.reconstructions
    }
    names = dict.fromkeys([*(name for p in protocols.values() for name in p), *of_pictures])
    return {
        name: {
            "display_name": display_names.get(name) or of_pictures.get(name) or name,
            "colour": style.colour,
            "marker": style.marker,
            "dashes": style.dashes,
            "own": is_own(name),
        }
        for name, style in codec_styles(names).items()
    }


def _protocol(name: str, codecs: Sequence[str]) -> dict:
    protocol = PROTOCOLS[name]
    return {
        "unit": protocol.unit,
        "short_unit": protocol.short_unit,
        "samples": protocol.samples,
        "metrics": [dataclasses.asdict(metric) for metric in protocol.metrics],
        "codecs": codecs,
    }


def _points(points: Sequence[Point]) -> dict:
    """Return points as rows, which take far less space than objects with names."""
    return {
        "fields": ["codec", "picture", *POINT_FIELDS],
        "rows": [
            [point.codec, point.picture, *(_number(getattr(point, name)) for name in POINT_FIELDS)]
            for point in points
        ],
    }


def _picture(picture: ComparedPicture) -> dict:
    height, width, _ = picture.original.shape
    original = embed(picture.original, ORIGINAL_FLOOR_DB)
    return {
        "name": picture.name,
        "width": width,
        "height": height,
        "thumbnail": thumbnail(picture.original),
        "original": {"uri": original.uri, "embedded_psnr": _number(original.psnr)},
        "reconstructions": [_reconstruction(coded) for coded in picture.reconstructions],
    }


def _reconstruction(coded: Reconstruction) -> dict:
    embedded = embed(coded.image, RECONSTRUCTION_FLOOR_DB)
    names = ("target_bpp", "quality", "bytes", "bpp", "psnr", "ms_ssim", "ssimulacra2")
    return {
        "codec": coded.codec,
        **{name: _number(getattr(coded, name)) for name in names},
        "uri": embedded.uri,
        "embedded_psnr": _number(embedded.psnr),
    }


def _number(value: float | None) -> float | int | str | None:
    """Return a number for JSON.

    JSON has no infinity; JavaScript's `Number` parses the text "Infinity".
    """
    if value is None or math.isnan(value):
        return None
    if isinstance(value, numbers.Integral):
        return int(value)
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(f"{value:.6g}")


def _json(data: dict) -> str:
    """Return JSON that is safe in a <script> element: no name can end it or begin a comment."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _policy(script: str) -> str:
    """Return a content security policy that loads nothing and runs only the page's own script."""
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _contents(sections: Sequence[Section], pictures: bool, points: bool) -> str:
    entries = [(f"section-{n}", section.title) for n, section in enumerate(sections, 1)]
    if pictures:
        entries.append(("comparison", "Compare pictures"))
    if points:
        entries.append(("drill-down", "Picture by picture"))
    return "\n".join(f'<li><a href="#{name}">{escape(text)}</a></li>' for name, text in entries)


def _section(number: int, section: Section) -> str:
    html = unique_svg_ids(section.html, f"plot-{number}")
    return (
        f'<section id="section-{number}" aria-labelledby="title-{number}">\n'
        f'<h2 id="title-{number}">{escape(section.title)}</h2>\n{html}\n</section>'
    )


def _comparison(pictures: Sequence[dict]) -> str:
    if not pictures:
        return ""
    reconstructions = [float(s["embedded_psnr"]) for p in pictures for s in p["reconstructions"]]
    originals = [float(picture["original"]["embedded_psnr"]) for picture in pictures]
    return string.Template(_file("templates/comparison.html")).substitute(
        reconstruction_db=_least(reconstructions), original_db=_least(originals)
    )


def _least(values: Sequence[float]) -> str:
    least = min(values, default=math.inf)
    return (
        "exact"
        if math.isinf(least)
        else f"with a PSNR of {math.floor(least * 10) / 10:.1f} dB or more"
    )


def _file(name: str) -> str:
    return resources.files("evaluation.report").joinpath(name).read_text("utf-8")
