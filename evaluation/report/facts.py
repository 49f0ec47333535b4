"""HTML of what a report states about its making: text, environments and codecs."""

from collections.abc import Mapping, Sequence
from html import escape

from evaluation.measurement.points import Point


def paragraphs(text: str) -> str:
    """Return plain text as HTML paragraphs; empty lines separate them."""
    parts = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n".join(f"<p>{escape(part)}</p>" for part in parts if part)


def definitions(entries: Mapping[str, str]) -> str:
    """Return names and texts as an HTML definition list."""
    inner = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(text))}</dd></div>"
        for name, text in entries.items()
    )
    return f"<dl>{inner}</dl>"


def environments(found: Mapping[str, dict]) -> str:
    """Return environments by key as HTML; a mapping in one becomes a line of names and values."""
    parts = []
    for key, environment in found.items():
        entries = {name: _value(value) for name, value in environment.items()}
        parts.append(f"<h3><code>{escape(key)}</code></h3>{definitions(entries)}")
    return "\n".join(parts) or "<p>Not recorded.</p>"


def codecs(points: Sequence[Point], display_names: Mapping[str, str]) -> str:
    """Return a table of measured codecs, versions, settings and environments as HTML."""
    counts: dict[tuple[str, ...], int] = {}
    for point in points:
        display_name = display_names.get(point.codec, point.codec)
        key = (display_name, point.codec, point.version, point.settings, point.environment)
        counts[key] = counts.get(key, 0) + 1
    rows = [
        f"<tr><td>{escape(display_name)}</td><td><code>{escape(codec)}</code></td>"
        f"<td>{escape(version)}</td><td>{escape(settings)}</td>"
        f"<td><code>{escape(environment)}</code></td><td class='figure'>{count}</td></tr>"
        for (display_name, codec, version, settings, environment), count in counts.items()
    ]
    if not rows:
        return "<p>None.</p>"
    names = ("Codec", "Name", "Version", "Settings", "Environment")
    header = "".join(f"<th scope='col'>{name}</th>" for name in names)
    return (
        f"<div class='scroll' tabindex='0'><table><thead><tr>{header}"
        "<th scope='col' class='figure'>Points</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {text}" for name, text in value.items())
    return str(value)
