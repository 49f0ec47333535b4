"""The sub-command `info`."""

import json
from collections.abc import Sequence
from typing import Any

from absl import flags

import smapcomp
from smapcomp.cli.command import Command, define_json
from smapcomp.cli.standard_streams import input_file
from smapcomp.design import DEFAULT_MAX_PIXELS
from smapcomp.files import read_stream


def run(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Print what a stream contains."""
    facts = smapcomp.info(read_stream(input_file(arguments[0]), DEFAULT_MAX_PIXELS))
    print(json.dumps(facts, indent=2) if values.json else format_facts(facts))
    return 0


def format_facts(facts: dict[str, Any]) -> str:
    """Format the result of `smapcomp.info`: a line for each fact, then a table of layers."""
    width = max(map(len, facts))
    lines = [
        f"{name:<{width}}  {_format_value(value)}"
        for name, value in facts.items()
        if name != "layers"
    ]
    keys = ("kind", "coder", "bytes", "bpp")
    rows = [["layer", *keys[1:]]]
    rows += [[_format_value(layer[key]) for key in keys] for layer in facts["layers"]]
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
    "Describes the stream IN: sizes in bytes and bits per pixel, coders, model, digests. IN is a "
    "file, or - for standard input.",
    ("smapcomp info photo.smc",),
    define_json,
    run,
    (1, 1),
)
