"""The command `smapcomp`: compress, decompress, info, compare.

Exit status: 0 done; 1 the input, the stream or the output is at fault, said in one line on standard
error; 2 the command line is. Output files appear whole or not at all.
"""

import json
import logging
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from absl import flags

import smapcomp
from smapcomp import image_io, metrics
from smapcomp.codec import container
from smapcomp.codec.codec import (
    DEFAULT_COMPACT_CODER,
    DEFAULT_MODE,
    DEFAULT_QUALITY,
    DEFAULT_VARIANT,
)
from smapcomp.errors import SmapcompError, StreamError
from smapcomp.quiet import import_keras
from smapcomp.zoo import VARIANTS

_EXIT_FAILED = 1
_EXIT_USAGE = 2
_EXIT_INTERRUPTED = 130

# More than any coder needs for noise at the highest quality; decided here, so that an endless
# input ends.
_MAX_STREAM_BYTES_PER_PIXEL = 8
_MAX_STREAM_BYTES_EXTRA = 1 << 20


@dataclass(frozen=True)
class _Command:
    """A sub-command: its positional arguments, what it does, its flags and its work."""

    arguments: tuple[str, ...]
    summary: str
    define_flags: Callable[[flags.FlagValues], None]
    run: Callable[[flags.FlagValues, Sequence[str]], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status.

    Args:
      argv: the words of the command line, the program's name first; `sys.argv` by default.
    """
    words = list(sys.argv if argv is None else argv)[1:]
    if not words:
        print(_usage(), file=sys.stderr)
        return _EXIT_USAGE
    name, *rest = words
    if name in ("--help", "-h", "help"):
        print(_usage())
        return 0
    if name == "--version":
        print(f"smapcomp {smapcomp.__version__}")
        return 0
    command = _COMMANDS.get(name)
    if command is None:
        return _usage_error("smapcomp", f"unknown command {name!r}; known: {', '.join(_COMMANDS)}")
    values = flags.FlagValues()
    values.set_gnu_getopt()
    command.define_flags(values)
    if {"--help", "-h"} & set(rest):
        print(_command_help(name, command, values))
        return 0
    try:
        arguments = values([name, *rest])[1:]
    except flags.Error as error:
        return _usage_error(f"smapcomp {name}", _one_line(error))
    if len(arguments) != len(command.arguments):
        wanted = " ".join(command.arguments)
        got = " ".join(arguments) or "nothing"
        return _usage_error(f"smapcomp {name}", f"wants {wanted}, got {got}")
    with _notices_on_stderr():
        return _run(command, values, arguments)


def _run(command: _Command, values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Does a command's work; whatever it was given wrong becomes one line."""
    try:
        command.run(values, arguments)
    except StreamError as error:
        return _failure(f"{arguments[0]}: {_one_line(error)}")
    except (SmapcompError, OSError) as error:
        return _failure(_one_line(error))
    except MemoryError:
        return _failure("not enough memory; --max_pixels sets a limit beforehand")
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    return 0


def _compress(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    source, target = arguments
    _check_target(source, target, values.overwrite)
    image = image_io.read_image(source, max_pixels=values.max_pixels)
    import_keras()
    data = smapcomp.compress(
        image,
        quality=values.quality,
        mode=values.mode,
        variant=values.variant,
        compact_coder=values.compact_coder,
        weights_dir=values.weights_dir,
        max_pixels=values.max_pixels,
    )
    image_io.write_file(target, data, overwrite=values.overwrite)
    height, width = image.shape[:2]
    bpp = metrics.bits_per_pixel(len(data), width, height)
    print(f"{target}: {width}x{height}, {len(data)} bytes, {bpp:.3f} bpp")


def _decompress(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    source, target = arguments
    _check_target(source, target, values.overwrite, image=True)
    data = _read_stream(source, values.max_pixels)
    # A bad stream is found out before the seconds that loading networks takes.
    container.unpack(data, values.max_pixels)
    import_keras()
    image = smapcomp.decompress(data, weights_dir=values.weights_dir, max_pixels=values.max_pixels)
    image_io.write_image(target, image, overwrite=values.overwrite)
    print(f"{target}: {image.shape[1]}x{image.shape[0]}")


def _info(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    facts = smapcomp.info(_read_stream(arguments[0], container.DEFAULT_MAX_PIXELS))
    print(json.dumps(facts, indent=2) if values.json else _format_facts(facts))


def _compare(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    a, b = (_as_rgb(image_io.read_image(path)) for path in arguments)
    if a.shape != b.shape:
        sizes = " and ".join(f"{x.shape[1]}x{x.shape[0]}" for x in (a, b))
        raise SmapcompError(f"{arguments[0]} and {arguments[1]} are of different sizes: {sizes}")
    psnr, ms_ssim = metrics.psnr(a, b), metrics.ms_ssim(a, b)
    if values.json:
        # JSON has no infinity: equal pictures have a null PSNR.
        scores = {
            "width": a.shape[1],
            "height": a.shape[0],
            "identical": math.isinf(psnr),
            "psnr": None if math.isinf(psnr) else psnr,
            "ms_ssim": ms_ssim,
        }
        print(json.dumps(scores, indent=2))
        return
    print(f"PSNR     {psnr:.3f} dB")
    too_small = f"none (a side is under {metrics.MS_SSIM_MIN_SIDE} pixels)"
    print(f"MS-SSIM  {too_small if ms_ssim is None else f'{ms_ssim:.5f}'}")


def _check_target(source: str, target: str, overwrite: bool, image: bool = False) -> None:
    image_io.check_output(target, overwrite=overwrite, image=image)
    if os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target):
        raise SmapcompError(f"{target}: is the input")


def _read_stream(path: str, max_pixels: int) -> bytes:
    limit = max_pixels * _MAX_STREAM_BYTES_PER_PIXEL + _MAX_STREAM_BYTES_EXTRA
    return image_io.read_file(path, limit)


def _as_rgb(image: np.ndarray) -> np.ndarray:
    """Grey becomes three equal channels, so that a grey picture can be held against an RGB one."""
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _format_facts(facts: dict[str, Any]) -> str:
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
    lines += ["", *(f"{a:<9} {b:<8} {c:>9} {d:>8}" for a, b, c, d in rows)]
    return "\n".join(lines)


def _format_value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, (list, tuple)):
        return " ".join(map(_format_value, value))
    return "-" if value is None else str(value)


def _define_codec_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_boolean("overwrite", False, "replace OUT if it exists.", flag_values=values)
    flags.DEFINE_string(
        "weights_dir",
        None,
        "folder of the networks' weights; by default those in the package.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "max_pixels",
        container.DEFAULT_MAX_PIXELS,
        "largest picture to accept, width times height.",
        lower_bound=1,
        flag_values=values,
    )


def _define_compress_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer(
        "quality",
        DEFAULT_QUALITY,
        "0..100: more is better and larger; 0 leaves the residual layer out.",
        lower_bound=0,
        upper_bound=100,
        flag_values=values,
    )
    flags.DEFINE_enum(
        "mode",
        DEFAULT_MODE,
        container.MODES,
        "where the decoder's label map comes from: none, no label map; sent, from the stream; "
        "matched, the decoder segments the compact picture; mapped, the same and then corrected.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "variant",
        DEFAULT_VARIANT,
        tuple(VARIANTS),
        "which set of networks.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "compact_coder",
        DEFAULT_COMPACT_CODER,
        container.CODERS["compact"],
        "who codes the compact picture: jxl, or flif, by its program, which decoding needs too.",
        flag_values=values,
    )
    _define_codec_flags(values)


def _define_json_flag(values: flags.FlagValues) -> None:
    flags.DEFINE_boolean("json", False, "print JSON.", flag_values=values)


_COMMANDS = {
    "compress": _Command(
        ("IN", "OUT"),
        "Compresses the picture IN, of any format that Pillow reads, into the stream OUT.",
        _define_compress_flags,
        _compress,
    ),
    "decompress": _Command(
        ("IN", "OUT"),
        "Decompresses the stream IN into the picture OUT, whose extension tells the format: "
        + " ".join(image_io.OUTPUT_EXTENSIONS)
        + ".",
        _define_codec_flags,
        _decompress,
    ),
    "info": _Command(
        ("IN",),
        "Tells what is in the stream IN: sizes in bytes and bits per pixel, model, digests.",
        _define_json_flag,
        _info,
    ),
    "compare": _Command(
        ("A", "B"),
        "Measures how far the picture B is from the picture A: PSNR and MS-SSIM over RGB.",
        _define_json_flag,
        _compare,
    ),
}


def _usage() -> str:
    lines = ["usage: smapcomp COMMAND ARGUMENTS [FLAGS]", ""]
    for name, command in _COMMANDS.items():
        call = " ".join([name, *command.arguments])
        lines += [f"  {call}", _wrap(command.summary, "      ")]
    lines += [
        "",
        "smapcomp COMMAND --help tells the command's flags, smapcomp --version the version.",
    ]
    return "\n".join(lines)


def _command_help(name: str, command: _Command, values: flags.FlagValues) -> str:
    call = " ".join(["smapcomp", name, *command.arguments, "[FLAGS]"])
    lines = [f"usage: {call}", "", _wrap(command.summary, ""), ""]
    for flag_name in values:
        flag = values[flag_name]
        if flag.boolean:
            lines.append(f"  --{flag_name}")
        else:
            default = "" if flag.default is None else flag.default
            lines.append(f"  --{flag_name}={default}")
        lines.append(_wrap(flag.help, "      "))
    return "\n".join(lines)


def _wrap(text: str, indent: str) -> str:
    width = min(100, shutil.get_terminal_size().columns)
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)


def _usage_error(where: str, message: str) -> int:
    print(f"{where}: {message} (see {where} --help)", file=sys.stderr)
    return _EXIT_USAGE


def _failure(message: str) -> int:
    print(f"smapcomp: {message}", file=sys.stderr)
    return _EXIT_FAILED


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _notices_on_stderr() -> Iterator[None]:
    """Shows the package's notices as lines of this command."""
    logger = logging.getLogger("smapcomp")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("smapcomp: %(message)s"))
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
