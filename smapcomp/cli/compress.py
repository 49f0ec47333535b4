"""The sub-command `compress`."""

from collections.abc import Sequence
from typing import Any

from absl import flags

from smapcomp.cli.batch import define_output, run_files
from smapcomp.cli.command import Command, Flags, UsageError, option_values
from smapcomp.cli.server import connect_server, define_server
from smapcomp.cli.standard_streams import input_file, output_file
from smapcomp.codec.options import CONTENT, CompressOptions, option_table
from smapcomp.files import SUFFIX, compress_file

READING_FLAGS = ("keep_metadata", "to_srgb")
"""Flags of `define_options` that tell how a picture is read."""


def run(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Compress one picture or many."""
    options = file_options(values)
    remote = connect_server(values, options)
    if remote is not None:
        remote.check_model(values.variant)

    def convert(source: str, target: str) -> dict[str, Any]:
        facts = compress_file(
            input_file(source),
            output_file(target),
            overwrite=values.overwrite,
            predictor=remote,
            **options,
        )
        return {"output": target, **facts}

    def describe(facts: dict[str, Any]) -> str:
        return "{output}: {width}x{height}, {bytes} bytes, {bpp:.3f} bpp".format(**facts)

    return run_files(values, arguments, SUFFIX, convert, describe)


def file_options(values: flags.FlagValues) -> dict[str, Any]:
    """Return the flags of `define_options` as keyword arguments of `compress_file`.

    Raises:
        UsageError: Two flags contradict each other.
        SmapcompError: An option is not allowed.
    """
    goals = [
        name
        for name in option_table(CompressOptions)
        if name == "quality" or name.startswith("target_")
    ]
    present = [name for name in goals if values[name].present]
    if len(present) > 1:
        raise UsageError(f"--{' and --'.join(present)} together; one of them is allowed")
    options = option_values(values, CompressOptions)
    CompressOptions(**options)  # checks the options before any file is read
    reading = {name: values[name].value for name in READING_FLAGS}
    return {**options, **reading}


def define_options(define: Flags) -> None:
    """Define a flag for each option of `compress_file`."""
    define.options(CompressOptions)
    define.boolean(CONTENT, "keep_metadata", "keep colour profile, EXIF and XMP.")
    define.boolean(
        CONTENT,
        "to_srgb",
        "convert the samples to sRGB by the picture's colour profile, with relative colorimetric "
        "intent and black point compensation. The profile is not kept then.",
    )


def define_flags(define: Flags) -> None:
    """Define the flags of the sub-command."""
    define_options(define)
    define_output(define)
    define_server(define)


COMMAND = Command(
    ("IN OUT", "IN... --out_dir=DIR"),
    "Compresses pictures of any format that Pillow reads into streams. For IN and OUT, - is "
    "standard input and output.",
    (
        "smapcomp compress photo.jpg photo.smc",
        "smapcomp compress photo.png photo.smc --target_bpp=0.5",
        "smapcomp compress *.png --out_dir=small --quality=40",
        "smapcomp compress - - < photo.jpg > photo.smc",
    ),
    define_flags,
    run,
    (1, 1 << 20),
)
