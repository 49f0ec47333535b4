"""Pictures as data URIs that are small and close to the originals."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from smapcomp import metrics

# Lowest PSNR of embedded pictures. At 46 dB, the embedding adds 1/40 of the squared error that a
# reconstruction of 30 dB has, so it does not change how reconstructions look or compare.
RECONSTRUCTION_FLOOR_DB = 46.0
ORIGINAL_FLOOR_DB = 44.0

# Reconstructions of Kodak pictures at 0.25 bits per pixel take 15 to 40 % of the bytes of lossless
# WebP at 46 dB. Speed 4 would take 10 % fewer bytes in five times the time.
_AVIF = {
    "subsampling": "4:4:4",
    "speed": 6,
    "max_threads": 1,
    "advanced": {"tune": "psnr", "sb-size": "64"},
}
# Start of the search, and a first estimate of the gain in PSNR for one step of quality.
_FIRST_QUALITY, _FIRST_SLOPE_DB = 91, 0.3
# The search stops so close above the floor; 0.1 dB is 1 % of the bytes.
_SLACK_DB = 0.2
# Size of lossless files that AVIF is not tried for; its headers alone take about 300 bytes.
_SMALL_BYTES = 1000
_THUMBNAIL_SIDE = 176


@dataclass(frozen=True)
class Embedded:
    """A picture as a data URI.

    Attributes:
        uri: The data URI.
        psnr: PSNR in dB of the embedded picture against the picture that it represents; may be
            infinite.
    """

    uri: str
    psnr: float


def embed(samples: np.ndarray, floor_db: float) -> Embedded:
    """Return the smaller of AVIF 4:4:4 and lossless WebP.

    Args:
        samples: uint8 RGB `[height, width, 3]`.
        floor_db: Lowest allowed PSNR of AVIF in dB.
    """
    lossless = _encoded(samples, "WEBP", lossless=True)
    small = len(lossless) < _SMALL_BYTES
    found = None if small else _smallest_avif(samples, floor_db)
    if found is None or len(lossless) <= len(found[0]):
        return Embedded(_uri(lossless, "image/webp"), float("inf"))
    return Embedded(_uri(found[0], "image/avif"), found[1])


def thumbnail(samples: np.ndarray) -> str:
    """Return a data URI of a small version of uint8 RGB `[height, width, 3]`."""
    image = Image.fromarray(samples)
    image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    return _uri(_encoded(np.asarray(image), "WEBP", quality=75), "image/webp")


def _smallest_avif(samples: np.ndarray, floor_db: float) -> tuple[bytes, float] | None:
    """Return the coarsest AVIF file above a PSNR, nearly, and its PSNR; `None` if there is none.

    PSNR is almost linear in AVIF's quality here, so the secant method finds the quality in two or
    three steps. Qualities known to be too coarse or fine enough bound the search.
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
        step = (floor_db + _SLACK_DB / 2 - psnr) / slope if last else -100.0
        quality = min(max(quality + round(step), too_coarse + 1), fine_enough - 1)
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
