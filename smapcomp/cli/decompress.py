"""`smapcomp decompress`."""

from collections.abc import Sequence
from typing import Any

from absl import flags

import smapcomp
from smapcomp import image_io
from smapcomp.cli.commands import Command, Flags, UsageError, define_limits
from smapcomp.cli.files import define_output, read_stream, run_files
from smapcomp.cli.server import connected, define_server
from smapcomp.codec import container
from smapcomp.codec.decoder_options import ON_MISMATCH, STAGES
from smapcomp.quiet import import_keras


def run(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Decompresses one stream or many."""
    if values.server and values.weights_dir:
        raise UsageError("--server and --weights_dir together; the server has its own")
    remote = connected(values)

    def work(source: str, target: str) -> dict[str, Any]:
        image_io.check_output(target, overwrite=values.overwrite, image=True)
        data = read_stream(source, values.max_pixels)
        # A bad stream is found out before the seconds that loading networks takes.
        stream = container.unpack(data, values.max_pixels, values.allow_partial)
        alpha = stream.layer("alpha") is not None
        image_io.check_output(target, overwrite=values.overwrite, image=True, alpha=alpha)
        if remote is None:
            import_keras()
        picture = smapcomp.decode(
            data,
            stage=values.stage,
            allow_partial=values.allow_partial,
            on_mismatch=values.on_mismatch,
            weights_dir=values.weights_dir,
            max_pixels=values.max_pixels,
            max_seconds=values.max_seconds,
            predictor=remote,
        )
        image_io.write_picture(target, picture, overwrite=values.overwrite)
        height, width, _ = picture.samples.shape
        return {"output": target, "width": width, "height": height}

    def sentence(facts: dict[str, Any]) -> str:
        return "{output}: {width}x{height}".format(**facts)

    return run_files(values, arguments, f".{values.format}", work, sentence)


def define_flags(define: Flags) -> None:
    define.group("Output")
    define_output(define)
    define.choice(
        "format",
        "png",
        [extension[1:] for extension in image_io.OUTPUT_EXTENSIONS],
        "of the pictures in --out_dir; without it OUT's extension tells.",
    )
    define.choice(
        "stage",
        "full",
        STAGES,
        "how far to decode: compact, the small picture enlarged; prediction, what the networks "
        "make of it; full, with the residual.",
    )
    define.group("Damaged and foreign streams")
    define.boolean("allow_partial", "take a file that was cut off as far as it goes.")
    define.choice(
        "on_mismatch",
        "error",
        ON_MISMATCH,
        "what to do if this machine computes another prediction than the encoder did.",
    )
    define.number("max_seconds", "give up a file that takes longer.")
    define.group("For experts")
    define_limits(define)
    define_server(define)


COMMAND = Command(
    ("IN OUT", "IN... --out_dir=DIR"),
    "Decompresses streams into pictures. The extension of OUT tells the format: "
    + " ".join(image_io.OUTPUT_EXTENSIONS)
    + ".",
    (
        "smapcomp decompress photo.smc photo.png",
        "smapcomp decompress *.smc --out_dir=pictures --format=webp",
    ),
    define_flags,
    run,
    (1, 1 << 20),
)
