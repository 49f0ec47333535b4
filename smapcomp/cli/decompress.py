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
from smapcomp.codec.tiled_predictor import TiledPredictor
from smapcomp.errors import DigestMismatchError


def run(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Decompresses one stream or many."""
    if values.server and values.weights_dir:
        raise UsageError("--server and --weights_dir together; the server has its own")
    options = file_options(values)
    remote = connected(values)

    def work(source: str, target: str) -> dict[str, Any]:
        facts = decompress_file(
            source, target, overwrite=values.overwrite, predictor=remote, **options
        )
        return {"output": target, **facts}

    def sentence(facts: dict[str, Any]) -> str:
        return "{output}: {width}x{height}".format(**facts)

    return run_files(values, arguments, f".{values.format}", work, sentence)


def file_options(values: flags.FlagValues) -> dict[str, Any]:
    """The options of `decompress_file` that the flags ask for."""
    names = ("stage", "allow_partial", "on_mismatch", "max_seconds")
    names += ("weights_dir", "max_pixels", "engine")
    return {name: values[name].value for name in names}


def decompress_file(
    source: str,
    target: str,
    *,
    overwrite: bool = False,
    allow_partial: bool,
    max_pixels: int,
    predictor: TiledPredictor | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Decompresses a file.

    Args:
        source: The stream's.
        target: The picture's; its extension tells the format.
        overwrite: Whether a file of that name may be replaced.
        allow_partial, max_pixels, predictor, options: As `smapcomp.decode` takes them.

    Returns:
        `width` and `height`.

    Raises:
        SmapcompError: The stream can't be read or decompressed, or the picture not be written.
    """
    image_io.check_output(target, overwrite=overwrite, image=True)
    data = read_stream(source, max_pixels)
    # A bad stream is found out before the seconds that loading networks takes.
    stream = container.unpack(data, max_pixels, allow_partial)
    alpha = stream.layer("alpha") is not None
    image_io.check_output(target, overwrite=overwrite, image=True, alpha=alpha)
    options = {"allow_partial": allow_partial, "max_pixels": max_pixels, **options}
    try:
        picture = smapcomp.decode(data, predictor=predictor, **options)
    except DigestMismatchError:
        if predictor is None:
            raise
        # The stream is of other arithmetic than the server's, perhaps of this machine's.
        picture = smapcomp.decode(data, **options)
    image_io.write_picture(target, picture, overwrite=overwrite)
    height, width, _ = picture.samples.shape
    return {"width": width, "height": height}


def define_flags(define: Flags) -> None:
    define.group("Output")
    define_output(define)
    define_decoding(define)
    define.group("For experts")
    define_limits(define)
    define_server(define)


def define_decoding(define: Flags) -> None:
    """Flags of what a stream becomes, and how much may be wrong with it."""
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
