"""The sub-command `decompress`."""

from collections.abc import Sequence
from typing import Any

from absl import flags

from smapcomp.cli.batch import define_output, run_files
from smapcomp.cli.command import OUTPUT, Command, Flags, option_values
from smapcomp.cli.server import connect_server, define_server
from smapcomp.cli.standard_streams import input_file, output_file
from smapcomp.codec.options import DecodeOptions
from smapcomp.files import decompress_file
from smapcomp.pictures.image_files import OUTPUT_EXTENSIONS


def run(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Decompress one stream or many."""
    options = option_values(values, DecodeOptions)
    remote = connect_server(values, options)

    def convert(source: str, target: str) -> dict[str, Any]:
        facts = decompress_file(
            input_file(source),
            output_file(target),
            overwrite=values.overwrite,
            file_format=values.format,
            predictor=remote,
            **options,
        )
        return {"output": target, **facts}

    def describe(facts: dict[str, Any]) -> str:
        return "{output}: {width}x{height}".format(**facts)

    return run_files(values, arguments, f".{values.format}", convert, describe)


def define_options(define: Flags, leave_out: Sequence[str] = ()) -> None:
    """Define a flag for each option of `decompress_file`, and one for the pictures' format.

    Args:
        define: Definer of the flags.
        leave_out: Names of options that get no flag.
    """
    define.choice(
        OUTPUT,
        "format",
        "png",
        [extension[1:] for extension in OUTPUT_EXTENSIONS],
        "format of the pictures in --out_dir and on standard output; the extension of OUT selects "
        "that of a file.",
    )
    define.options(DecodeOptions, leave_out)


def define_flags(define: Flags) -> None:
    """Define the flags of the sub-command."""
    define_output(define)
    define_options(define)
    define_server(define)


COMMAND = Command(
    ("IN OUT", "IN... --out_dir=DIR"),
    "Decompresses streams into pictures. The extension of OUT selects the format: "
    + " ".join(OUTPUT_EXTENSIONS)
    + ". For IN and OUT, - is standard input and output.",
    (
        "smapcomp decompress photo.smc photo.png",
        "smapcomp decompress *.smc --out_dir=pictures --format=webp",
        "smapcomp decompress - - --format=jpg < photo.smc > photo.jpg",
    ),
    define_flags,
    run,
    (1, 1 << 20),
)
