"""Pictures as data URIs, small and close to what they stand for."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from smapcomp import metrics

# A reconstruction of 30 dB that is shown with an error of 46 dB looks, and differs from others, as
# the reconstruction does: 1/40 of its own squared error is added.
RECONSTRUCTION_FLOOR_DB = 46.0
ORIGINAL_FLOOR_DB = 44.0

# Bytes at 46 dB of what codecs make of Kodak pictures at .25 bits per pixel, against lossless WebP:
# 15 to 40 %. Of libaom's speeds, 4 takes 10 % less in five times as long.
_AVIF = {
    "subsampling": "4:4:4",
    "speed": 6,
    "max_threads": 1,
    "advanced": {"tune": "psnr", "sb-size": "64"},
}
# Where the search begins, and its first idea of how much a step of quality brings.
_FIRST_QUALITY, _FIRST_SLOPE_DB = 91, 0.3
# Good enough above the floor: 0.1 dB is 1 % of the bytes.
_SLACK_DB = 0.2
# Of a file that lossless coding can't be beaten on: AVIF has some 300 bytes before the first pixel.
_SMALL_BYTES = 1000
_THUMBNAIL_SIDE = 176


@dataclass(frozen=True)
class Embedded:
    """A picture in a page.

    Attributes:
        uri: A data URI.
        psnr: dB, of what it decodes to against what it stands for; may be infinite.
    """

    uri: str
    psnr: float


def embed(samples: np.ndarray, floor_db: float) -> Embedded:
    """The smallest of AVIF 4:4:4 and lossless WebP.

    Args:
        samples: uint8 RGB `[height, width, 3]`.
        floor_db: PSNR that AVIF must keep, dB.
    """
    lossless = _encoded(samples, "WEBP", lossless=True)
    small = len(lossless) < _SMALL_BYTES
    found = None if small else _smallest_avif(samples, floor_db)
    if found is None or len(lossless) <= len(found[0]):
        return Embedded(_uri(lossless, "image/webp"), float("inf"))
    return Embedded(_uri(found[0], "image/avif"), found[1])


def thumbnail(samples: np.ndarray) -> str:
    """A data URI of a small version of uint8 RGB `[height, width, 3]`."""
    image = Image.fromarray(samples)
    image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    return _uri(_encoded(np.asarray(image), "WEBP", quality=75), "image/webp")


def _smallest_avif(samples: np.ndarray, floor_db: float) -> tuple[bytes, float] | None:
    """The coarsest that keeps the floor, nearly, and its PSNR; None if none does.

    PSNR is almost linear in AVIF's quality here, so that the secant finds it in two or three
    steps; what is known to be too coarse or fine bounds them.
    """
    too_coarse, fine_enough = -1, 101
    quality, slope, last = _FIRST_QUALITY, _FIRST_SLOPE_DB, None
    found = None
    while too_coarse + 1 < fine_enough:
        data = _encoded(samples, "AVIF", quality=quality, **_AVIF)
        psnr = metrics.psnr(samples, _decoded(data))
        if psnr >= floor_db:
            fine_enough, found = quality, (data, psnr)
            if psnr < floor_db + _SLACK_DB:
                break
        else:
            too_coarse = quality
        if last is not None and np.isfinite(psnr):
            slope = max((psnr - last[1]) / (quality - last[0]), 0.05)
        last = (quality, psnr) if np.isfinite(psnr) else None
        away = (floor_db + _SLACK_DB / 2 - psnr) / slope if last else -100.0
        quality = min(max(quality + round(away), too_coarse + 1), fine_enough - 1)
    return found


def _encoded(samples: np.ndarray, file_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, file_format, **options)
    return buffer.getvalue()


def _decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
