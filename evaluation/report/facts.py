"""What a report says about itself, as HTML: text, machines and libraries, codecs."""

from collections.abc import Mapping, Sequence
from html import escape

from evaluation.measurement.points import Point


def paragraphs(text: str) -> str:
    """Plain text, of which empty lines part paragraphs."""
    parts = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n".join(f"<p>{escape(part)}</p>" for part in parts if part)


def definitions(entries: Mapping[str, str]) -> str:
    """A list of names and what they mean."""
    inner = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(text))}</dd></div>"
        for name, text in entries.items()
    )
    return f"<dl>{inner}</dl>"


def environments(found: Mapping[str, dict]) -> str:
    """Each environment under its key; a mapping in it becomes one line of names and values."""
    parts = []
    for key, environment in found.items():
        entries = {name: _value(value) for name, value in environment.items()}
        parts.append(f"<h3><code>{escape(key)}</code></h3>{definitions(entries)}")
    return "\n".join(parts) or "<p>Not recorded.</p>"


def codecs(points: Sequence[Point], labels: Mapping[str, str]) -> str:
    """A table of what was measured: codecs, versions, settings and environments."""
    counts: dict[tuple[str, ...], int] = {}
    for point in points:
        label = labels.get(point.codec, point.codec)
        key = (label, point.codec, point.version, point.settings, point.environment)
        counts[key] = counts.get(key, 0) + 1
    rows = [
        f"<tr><td>{escape(label)}</td><td><code>{escape(codec)}</code></td>"
        f"<td>{escape(version)}</td><td>{escape(settings)}</td>"
        f"<td><code>{escape(environment)}</code></td><td class='figure'>{count}</td></tr>"
        for (label, codec, version, settings, environment), count in counts.items()
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
