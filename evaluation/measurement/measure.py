"""Measures one codec on one picture, by decoding the file that was written."""

import dataclasses
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ssimulacra2
from PIL import Image

from evaluation.codecs.base import Codec
from evaluation.measurement.points import Point
from smapcomp import metrics
from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files as image_io
from smapcomp.pictures.picture import Picture

_SSIMULACRA2_MIN_SIDE = 8


def measure(codec: Codec, picture: str | Path, quality: float) -> Point:
    """Codes a picture to a file at a quality of the codec's scale, decodes it, and compares.

    Args:
        codec: What to measure.
        picture: A picture's file. Grey ones become RGB; alpha is left out.
        quality: On the codec's scale.

    Raises:
        SmapcompError: The picture does not read, the codec is not installed, or what it decodes to
            is of another size.
    """
    original = read_rgb(picture)
    # The peak is that of coding, and not of the comparison that comes after.
    has_peak = _reset_peak_memory()
    data, encode_seconds = _timed(codec.encode, original, quality)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"coded{codec.extension}"
        file.write_bytes(data)
        data = file.read_bytes()
    decoded, decode_seconds = _timed(codec.decode, data)
    peak_memory = _peak_memory_mib() if has_peak else None
    return dataclasses.replace(
        _point(codec, picture, original, decoded, data, quality),
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
        peak_memory_mib=peak_memory,
    )


def measure_at(codec: Codec, picture: str | Path, target_bpp: float, keep: Path) -> Point:
    """As `measure`, at a rate: the codec's quality is searched that comes nearest to it.

    Args:
        codec, picture: As `measure` has them.
        target_bpp: Bits per pixel of the whole file.
        keep: Path without an extension. The coded file is kept there with the codec's extension,
            and what it decodes to with ".png".

    Returns:
        The point, with the rate behind its settings and without time and memory, which would be
        those of the search.
    """
    original = read_rgb(picture)
    data, quality = codec.encode_at(original, target_bpp)
    file = keep.with_name(keep.name + codec.extension)
    file.parent.mkdir(parents=True, exist_ok=True)
    image_io.write_file(file, data, overwrite=True)
    data = file.read_bytes()
    decoded = codec.decode(data)
    point = _point(codec, picture, original, decoded, data, quality)
    image_io.write_picture(kept_picture(keep), Picture.from_array(decoded), overwrite=True)
    return dataclasses.replace(point, settings=settings_at(codec, target_bpp))


def kept_picture(keep: Path) -> Path:
    """Where `measure_at` keeps what the file decodes to."""
    return keep.with_name(keep.name + ".png")


def settings_at(codec: Codec, target_bpp: float) -> str:
    """The settings of a point of `measure_at`."""
    return f"{codec.settings} target_bpp={target_bpp:g}".strip()


def read_rgb(picture: str | Path) -> np.ndarray:
    """A picture's file as uint8 RGB `[height, width, 3]`.

    Raises:
        SmapcompError: It does not read.
    """
    samples = image_io.read_picture(picture).samples
    return np.repeat(samples, 3, axis=2) if samples.shape[2] == 1 else samples


def compare(original: np.ndarray, decoded: np.ndarray) -> dict[str, float | None]:
    """The metrics among the fields of `Point`, of uint8 RGB `[height, width, 3]`."""
    return {
        "psnr": metrics.psnr(original, decoded),
        "psnr_planes": metrics.psnr_planes(original, decoded),
        "ms_ssim": metrics.ms_ssim(original, decoded),
        "ssimulacra2": _ssimulacra2(original, decoded),
    }


def _point(
    codec: Codec,
    picture: str | Path,
    original: np.ndarray,
    decoded: np.ndarray,
    data: bytes,
    quality: float,
) -> Point:
    if decoded.shape != original.shape or decoded.dtype != np.uint8:
        raise SmapcompError(
            f"{codec.name} decodes {picture} to {decoded.dtype} {decoded.shape}, "
            f"must be uint8 {original.shape}"
        )
    height, width, _ = original.shape
    return Point(
        codec=codec.name,
        version=codec.version(),
        settings=codec.settings,
        picture=Path(picture).stem,
        width=width,
        height=height,
        quality=quality,
        bytes=len(data),
        bpp=metrics.bits_per_pixel(len(data), width, height),
        **compare(original, decoded),
        **codec.details(original, data),
    )


def _ssimulacra2(original: np.ndarray, decoded: np.ndarray) -> float | None:
    """As the package `ssimulacra2` has it; None where a side is shorter than it allows."""
    if min(original.shape[:2]) < _SSIMULACRA2_MIN_SIDE:
        return None
    with tempfile.TemporaryDirectory() as folder:
        # The package takes files alone.
        paths = [str(Path(folder) / name) for name in ("original.bmp", "decoded.bmp")]
        for path, samples in zip(paths, (original, decoded), strict=True):
            Image.fromarray(samples).save(path)
        return float(ssimulacra2.compute_ssimulacra2(*paths))


def _timed(function: Callable, *arguments: Any) -> tuple[Any, float]:
    """What it returns, and the processor seconds of all threads and programs that it took."""
    before = _processor_seconds()
    result = function(*arguments)
    return result, _processor_seconds() - before


def _processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _reset_peak_memory() -> bool:
    """Whether the system can tell the peak from now on: Linux can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak_memory_mib() -> float:
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
