"""Measurement of one codec on one picture, by decoding the file that was written."""

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
from smapcomp.pictures import image_files
from smapcomp.pictures.picture import Picture

_SSIMULACRA2_MIN_SIDE = 8  # Shortest side in pixels that the package accepts.


def measure_at_quality(codec: Codec, picture: str | Path, quality: float) -> Point:
    """Encode a picture to a file at a quality, decode the file, and compare.

    Args:
        codec: The codec.
        picture: File of a picture. Grey pictures become RGB; alpha is left out.
        quality: Quality on the codec's scale.

    Raises:
        SmapcompError: The picture cannot be read, the codec is not installed, or the decoded
            picture has another size.
    """
    original = read_rgb(picture)
    # The peak covers the coding alone, not the comparison below.
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


def measure_at_rate(codec: Codec, picture: str | Path, target_bpp: float, file_stem: Path) -> Point:
    """Encode a picture at the quality whose file is nearest to a rate, and measure the result.

    Args:
        codec: As for `measure_at_quality`.
        picture: As for `measure_at_quality`.
        target_bpp: Bits per pixel of the whole file.
        file_stem: Path without an extension. The coded file is kept there with the codec's
            extension, and the decoded picture with ".png".

    Returns:
        The point. Its settings include the rate. It has no time and no memory, which would be those
        of the search.

    Raises:
        SmapcompError: As for `measure_at_quality`.
    """
    original = read_rgb(picture)
    data, quality = codec.encode_to_rate(original, target_bpp)
    file = file_stem.with_name(file_stem.name + codec.extension)
    file.parent.mkdir(parents=True, exist_ok=True)
    image_files.write_file(file, data, overwrite=True)
    data = file.read_bytes()
    decoded = codec.decode(data)
    point = _point(codec, picture, original, decoded, data, quality)
    image_files.write_picture(decoded_path(file_stem), Picture.from_array(decoded), overwrite=True)
    return dataclasses.replace(point, settings=settings_at_rate(codec, target_bpp))


def decoded_path(file_stem: Path) -> Path:
    """Return the path where `measure_at_rate` keeps the decoded picture."""
    return file_stem.with_name(file_stem.name + ".png")


def settings_at_rate(codec: Codec, target_bpp: float) -> str:
    """Return the settings of a point that `measure_at_rate` measured."""
    return f"{codec.settings} target_bpp={target_bpp:g}".strip()


def read_rgb(picture: str | Path) -> np.ndarray:
    """Read a picture file as uint8 RGB `[height, width, 3]`.

    Raises:
        SmapcompError: The file cannot be read.
    """
    samples = image_files.read_picture(picture).samples
    return np.repeat(samples, 3, axis=2) if samples.shape[2] == 1 else samples


def picture_metrics(original: np.ndarray, decoded: np.ndarray) -> dict[str, float | None]:
    """Return the metrics of a decoded picture, under the names of the fields of `Point`.

    Args:
        original: uint8 RGB `[height, width, 3]`.
        decoded: uint8 of the same shape.
    """
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
            f"{codec.name} decodes {picture} to {decoded.dtype} {decoded.shape} "
            f"instead of uint8 {original.shape}"
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
        **picture_metrics(original, decoded),
        **codec.details(original, data),
    )


def _ssimulacra2(original: np.ndarray, decoded: np.ndarray) -> float | None:
    """Return SSIMULACRA2 by the package `ssimulacra2`; `None` if a side is too short for it."""
    if min(original.shape[:2]) < _SSIMULACRA2_MIN_SIDE:
        return None
    with tempfile.TemporaryDirectory() as folder:
        # The package reads files only.
        paths = [str(Path(folder) / name) for name in ("original.bmp", "decoded.bmp")]
        for path, samples in zip(paths, (original, decoded), strict=True):
            Image.fromarray(samples).save(path)
        return float(ssimulacra2.compute_ssimulacra2(*paths))


def _timed(function: Callable, *arguments: Any) -> tuple[Any, float]:
    """Return a call's result and its processor seconds, of all threads and started programs."""
    before = _processor_seconds()
    result = function(*arguments)
    return result, _processor_seconds() - before


def _processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _reset_peak_memory() -> bool:
    """Reset the peak memory of this process; return whether the system can do so, as Linux can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak_memory_mib() -> float:
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
