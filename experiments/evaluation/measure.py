"""Measures one codec on one picture at one quality, by decoding the file that was written."""

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ssimulacra2
from PIL import Image

from experiments.evaluation.codecs.base import Codec
from experiments.evaluation.points import Point
from smapcomp import image_io, metrics
from smapcomp.errors import SmapcompError


def measure(codec: Codec, picture: str | Path, quality: float, environment: str = "") -> Point:
    """Codes a picture to a file, decodes that file, and compares.

    Args:
        codec: What to measure.
        picture: A picture's file. Grey ones become RGB; alpha is left out.
        quality: On the codec's scale.
        environment: Of the point.

    Raises:
        SmapcompError: The picture does not read, the codec is not installed, or what it decodes to
            is of another size.
    """
    original = read_rgb(picture)
    height, width, _ = original.shape
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"coded{codec.extension}"
        # The peak is that of coding, and not of the comparison that comes after.
        has_peak = _reset_peak_memory()
        data, encode_seconds = _timed(codec.encode, original, quality)
        file.write_bytes(data)
        data = file.read_bytes()
        decoded, decode_seconds = _timed(codec.decode, data)
        peak_memory = _peak_memory_mib() if has_peak else None
    if decoded.shape != original.shape or decoded.dtype != np.uint8:
        raise SmapcompError(
            f"{codec.name} decodes {picture} to {decoded.dtype} {decoded.shape}, "
            f"must be uint8 {original.shape}"
        )
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
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
        peak_memory_mib=peak_memory,
        environment=environment,
        **codec.details(original, data),
    )


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


def _ssimulacra2(original: np.ndarray, decoded: np.ndarray) -> float | None:
    """As the package `ssimulacra2` has it; None where a side has no eight pixels, as it demands."""
    if min(original.shape[:2]) < 8:
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
