"""Puts a report's page together and writes it."""

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

from evaluation.analysis.protocols import PROTOCOLS
from evaluation.measurement.points import Point
from evaluation.plotting.styles import is_own, styles
from evaluation.report import facts
from evaluation.report.content import Section, Shown, ShownPicture
from evaluation.report.embed import ORIGINAL_FLOOR_DB, RECONSTRUCTION_FLOOR_DB, embed, thumbnail
from evaluation.report.markup import unique_svg_ids
from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files as image_io

# In the order in which they are joined; they share one scope.
SCRIPTS = ("data.js", "state.js", "compare.js", "chart.js", "tables.js", "main.js")
POINT_FIELDS = (
    *("quality", "bytes", "bpp", "psnr", "psnr_planes", "ms_ssim", "ssimulacra2"),
    *("encode_seconds", "decode_seconds"),
)


def write_report(
    path: str | os.PathLike,
    *,
    title: str,
    summary: str,
    sections: Sequence[Section],
    points: Sequence[Point],
    pictures: Sequence[ShownPicture],
    environments: Mapping[str, dict],
    protocols: Mapping[str, Sequence[str]],
    labels: Mapping[str, str],
    commands: Sequence[str],
    made: datetime.date | None = None,
) -> None:
    """Writes the page, whole or not at all; a file of that name is replaced.

    Args:
        path: The HTML file.
        title: Of the page, plain text.
        summary: Plain text under the title; empty lines part paragraphs.
        sections: The results, in order.
        points: All that were measured, for the drill-down; without any, it is left out.
        pictures: For the slider; without any, it is left out.
        environments: By the key that `Point.environment` has.
        protocols: Names among `PROTOCOLS`, each with the codecs that are compared under it, in the
            order of legends; others' points are not shown.
        labels: Of codecs, for people; a codec without one goes by its name.
        commands: Command lines that make the page again.
        made: Date on the page; today's by default.

    Raises:
        SmapcompError: A protocol is unknown, two reconstructions of a picture are of one codec and
            rate, one has another size than its original, or the file can't be written.
    """
    _check(protocols, pictures)
    embedded = [_picture(picture) for picture in pictures]
    measured = {point.codec for point in points}
    compared = {
        name: [codec for codec in codecs if codec in measured] for name, codecs in protocols.items()
    }
    shown_points = [point for point in points if any(point.codec in c for c in compared.values())]
    data = {
        "protocols": {name: _protocol(name, codecs) for name, codecs in compared.items()},
        "codecs": _codecs(protocols, pictures, labels),
        "points": _points(shown_points),
        "pictures": embedded,
    }
    script = "\n".join(_file(name) for name in SCRIPTS)
    template = string.Template(_file("report.html"))
    html = template.substitute(
        title=escape(title),
        policy=escape(_policy(script)),
        style=_file("report.css"),
        date=(made or datetime.date.today()).isoformat(),
        summary=facts.paragraphs(summary),
        protocols=facts.definitions(
            {name: PROTOCOLS[name].title.removeprefix(f"{name}: ") for name in protocols}
        ),
        commands=escape("\n".join(commands)),
        environments=facts.environments(environments),
        codecs=facts.codecs(shown_points, labels),
        contents=_contents(sections, bool(pictures), bool(shown_points)),
        results="\n".join(_section(number, section) for number, section in enumerate(sections, 1)),
        comparison=_comparison(embedded),
        drill_down=_file("drill_down.html") if shown_points else "",
        data=_json(data),
        script=script,
    )
    image_io.write_file(path, html.encode("utf-8"), overwrite=True)


def _check(protocols: Mapping[str, Sequence[str]], pictures: Sequence[ShownPicture]) -> None:
    for name in protocols:
        if name not in PROTOCOLS:
            raise SmapcompError(f"protocol {name!r}: unknown; known are {', '.join(PROTOCOLS)}")
    names = [picture.name for picture in pictures]
    for name in names:
        if names.count(name) > 1:
            raise SmapcompError(f"two pictures named {name}; views of the page would mix")
    for picture in pictures:
        seen = set()
        for shown in picture.shown:
            what = f"{picture.name}, {shown.codec} at {shown.target_bpp:g} bpp"
            if shown.image.shape != picture.original.shape:
                raise SmapcompError(
                    f"{what}: {shown.image.shape}, but the original {picture.original.shape}"
                )
            if (shown.codec, shown.target_bpp) in seen:
                raise SmapcompError(f"{what}: there twice")
            seen.add((shown.codec, shown.target_bpp))


def _codecs(
    protocols: Mapping[str, Sequence[str]],
    pictures: Sequence[ShownPicture],
    labels: Mapping[str, str],
) -> dict[str, dict]:
    """What each codec looks like, in the order in which they first come."""
    of_pictures = {shown.codec: shown.label for picture in pictures for shown in picture.shown}
    names = dict.fromkeys([*(name for p in protocols.values() for name in p), *of_pictures])
    return {
        name: {
            "label": labels.get(name) or of_pictures.get(name) or name,
            "colour": style.colour,
            "marker": style.marker,
            "dashes": style.dashes,
            "own": is_own(name),
        }
        for name, style in styles(names).items()
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
    """Points as rows: far smaller than objects with names."""
    return {
        "fields": ["codec", "picture", *POINT_FIELDS],
        "rows": [
            [point.codec, point.picture, *(_number(getattr(point, name)) for name in POINT_FIELDS)]
            for point in points
        ],
    }


def _picture(picture: ShownPicture) -> dict:
    height, width, _ = picture.original.shape
    original = embed(picture.original, ORIGINAL_FLOOR_DB)
    return {
        "name": picture.name,
        "width": width,
        "height": height,
        "thumbnail": thumbnail(picture.original),
        "original": {"uri": original.uri, "embedded_psnr": _number(original.psnr)},
        "shown": [_shown(shown) for shown in picture.shown],
    }


def _shown(shown: Shown) -> dict:
    embedded = embed(shown.image, RECONSTRUCTION_FLOOR_DB)
    names = ("target_bpp", "quality", "bytes", "bpp", "psnr", "ms_ssim", "ssimulacra2")
    return {
        "codec": shown.codec,
        **{name: _number(getattr(shown, name)) for name in names},
        "uri": embedded.uri,
        "embedded_psnr": _number(embedded.psnr),
    }


def _number(value: float | None) -> float | int | str | None:
    """JSON has no infinity; JavaScript's Number() reads this one."""
    if value is None or math.isnan(value):
        return None
    if isinstance(value, numbers.Integral):
        return int(value)
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(f"{value:.6g}")


def _json(data: dict) -> str:
    """JSON that may stand in a <script>: no name in it can end the element or begin a comment."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _policy(script: str) -> str:
    """A content security policy: nothing is loaded, and no script runs but the page's own."""
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
    reconstructions = [float(s["embedded_psnr"]) for p in pictures for s in p["shown"]]
    originals = [float(picture["original"]["embedded_psnr"]) for picture in pictures]
    return string.Template(_file("comparison.html")).substitute(
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
