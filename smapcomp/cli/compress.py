"""`smapcomp compress`."""

from collections.abc import Sequence
from typing import Any

from absl import flags

import smapcomp
from smapcomp import image_io, metrics
from smapcomp.cli.commands import Command, Flags, UsageError, define_limits
from smapcomp.cli.files import define_output, run_files
from smapcomp.cli.server import connected, define_server
from smapcomp.codec.codec import check_options
from smapcomp.codec.settings import (
    COMPACT_CODERS,
    DEFAULT_MODE,
    DEFAULT_QUALITY,
    DEFAULT_SPEED,
    DEFAULT_VARIANT,
    RESIDUAL_CODERS,
)
from smapcomp.codec.stream import MODES, SCALES
from smapcomp.codec.tiled_predictor import TiledPredictor
from smapcomp.zoo import VARIANTS

SUFFIX = ".smc"

TARGETS = ("target_bytes", "target_bpp", "target_psnr", "target_ms_ssim")
SETTINGS = (
    "compact_coder",
    "compact_scale",
    "compact_quality",
    "residual_coder",
    "residual_quality",
    "lossless",
    "speed",
)


def run(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Compresses one picture or many."""
    options = file_options(values)
    if values.server and values["engine"].present:
        raise UsageError("--server and --engine together; the server runs TensorFlow")
    remote = connected(values)
    if remote is not None:
        remote.check_model(values.variant, values.weights_dir)

    def work(source: str, target: str) -> dict[str, Any]:
        facts = compress_file(
            source, target, overwrite=values.overwrite, predictor=remote, **options
        )
        return {"output": target, **facts}

    def sentence(facts: dict[str, Any]) -> str:
        return "{output}: {width}x{height}, {bytes} bytes, {bpp:.3f} bpp".format(**facts)

    return run_files(values, arguments, SUFFIX, work, sentence)


def file_options(values: flags.FlagValues) -> dict[str, Any]:
    """The options of `compress_file` that the flags ask for.

    Raises:
        UsageError: Two flags don't go together.
        SmapcompError: As `check_options`.
    """
    given = [name for name in ("quality", *TARGETS) if values[name].present]
    if len(given) > 1:
        raise UsageError(f"--{' and --'.join(given)} together; one of them is allowed")
    options = {name: values[name].value for name in ("mode", "robust", *TARGETS)}
    options |= {name: values[name].value for name in SETTINGS}
    options["compact_scale"] = options["compact_scale"] and int(options["compact_scale"])
    options["quality"] = values.quality
    check_options(**options)
    rest = ("keep_metadata", "variant", "weights_dir", "max_pixels", "engine")
    return {**options, **{name: values[name].value for name in rest}}


def compress_file(
    source: str,
    target: str,
    *,
    overwrite: bool = False,
    keep_metadata: bool,
    max_pixels: int,
    predictor: TiledPredictor | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Compresses a file.

    Args:
        source: Of any format that Pillow reads.
        target: The stream's.
        overwrite: Whether a file of that name may be replaced.
        keep_metadata, max_pixels: As `image_io.read_picture` takes them.
        predictor, options: Of `smapcomp.compress`.

    Returns:
        `width`, `height`, `bytes` and `bpp` of the stream.

    Raises:
        SmapcompError: The picture can't be read or compressed, or the stream not be written.
    """
    image_io.check_output(target, overwrite=overwrite)
    picture = image_io.read_picture(source, max_pixels=max_pixels, keep_metadata=keep_metadata)
    data = smapcomp.compress(picture, max_pixels=max_pixels, predictor=predictor, **options)
    image_io.write_file(target, data, overwrite=overwrite)
    height, width, _ = picture.samples.shape
    bpp = metrics.bits_per_pixel(len(data), width, height)
    return {"width": width, "height": height, "bytes": len(data), "bpp": bpp}


def define_flags(define: Flags) -> None:
    define_goal(define)
    define.group("Output")
    define_output(define)
    define_codec(define)
    define_limits(define)
    define_server(define)


def define_goal(define: Flags) -> None:
    """Flags of the quality or the target."""
    define.group("How good, or how small: one of these")
    define.integer("quality", DEFAULT_QUALITY, "0..100: more is better and larger.", 0, 100)
    define.integer("target_bytes", None, "at most so many bytes, and no less than 2 % below.", 1)
    define.number("target_bpp", "bits per pixel: at most so many, and no less than 2 % below.")
    define.number("target_psnr", "at least so many dB over RGB, and no more than 0.1 above.")
    define.number("target_ms_ssim", "at least that MS-SSIM, 0..1, and no more than .001 above.")
    define.boolean("lossless", "keep every sample exactly.")


def define_codec(define: Flags) -> None:
    """Flags of how a picture is coded, and what of it."""
    define.boolean("keep_metadata", "carry ICC profile, EXIF and XMP.")
    define.boolean(
        "robust",
        "add what makes decoding the same on machines that round differently.",
    )
    define.group("Codec, for experts")
    define.choice(
        "mode",
        DEFAULT_MODE,
        MODES,
        "where the decoder's label map comes from: none, no label map; sent, from the stream; "
        "matched, the decoder segments the compact picture; mapped, the same and then corrected.",
    )
    define.choice(
        "compact_coder",
        None,
        COMPACT_CODERS,
        "who codes the compact picture: av1 or jxl_lossy; without loss jxl, or flif, by its "
        "program, which decoding needs too. A lossless one is the papers' design: quality is the "
        "residual's then. By default what the quality's operating point has.",
    )
    define.choice(
        "compact_scale",
        None,
        [str(scale) for scale in SCALES],
        "how many times smaller the sides of the compact picture are.",
    )
    define.integer("compact_quality", None, "of a lossy compact picture, 0..100.", 0, 100)
    define.choice(
        "residual_coder",
        None,
        RESIDUAL_CODERS,
        "who codes the residual; heic needs the package pillow-heif, bpg its programs, for "
        "decoding too.",
    )
    define.integer("residual_quality", None, "of the residual, 0..100; 0: none.", 0, 100)
    define.integer(
        "speed", DEFAULT_SPEED, "of AV1: 0, slow and small, to 10, quick and large.", 0, 10
    )
    define.choice("variant", DEFAULT_VARIANT, tuple(VARIANTS), "which set of networks.")


COMMAND = Command(
    ("IN OUT", "IN... --out_dir=DIR"),
    "Compresses pictures of any format that Pillow reads into streams.",
    (
        "smapcomp compress photo.jpg photo.smc",
        "smapcomp compress photo.png photo.smc --target_bpp=0.5",
        "smapcomp compress *.png --out_dir=small --quality=40",
    ),
    define_flags,
    run,
    (1, 1 << 20),
)
