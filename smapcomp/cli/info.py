"""`smapcomp info`."""

import json
from collections.abc import Sequence
from typing import Any

from absl import flags

import smapcomp
from smapcomp.cli.commands import Command, define_json
from smapcomp.cli.files import read_stream
from smapcomp.codec.stream import DEFAULT_MAX_PIXELS


def run(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Prints what a stream says of itself."""
    facts = smapcomp.info(read_stream(arguments[0], DEFAULT_MAX_PIXELS))
    print(json.dumps(facts, indent=2) if values.json else format_facts(facts))
    return 0


def format_facts(facts: dict[str, Any]) -> str:
    """Lays the result of `smapcomp.info` out for reading: a line a fact, then a table of layers."""
    width = max(map(len, facts))
    lines = [
        f"{name:<{width}}  {_format_value(value)}"
        for name, value in facts.items()
        if name != "layers"
    ]
    rows = [("layer", "coder", "bytes", "bpp")]
    for layer in facts["layers"]:
        rows.append(tuple(_format_value(layer[key]) for key in ("kind", "coder", "bytes", "bpp")))
    lines += ["", *(f"{a:<9} {b:<9} {c:>9} {d:>8}" for a, b, c, d in rows)]
    return "\n".join(lines)


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, (list, tuple)):
        return " ".join(map(_format_value, value)) or "-"
    return "-" if value is None else str(value)


COMMAND = Command(
    ("IN",),
    "Tells what is in the stream IN: sizes in bytes and bits per pixel, coders, model, digests.",
    ("smapcomp info photo.smc",),
    define_json,
    run,
    (1, 1),
)
