"""Codecs that Pillow contains: JPEG, WebP and AVIF."""

import io
from typing import Any

import numpy as np
from PIL import Image, features

from evaluation.codecs.base import Codec

# Pillow's names of the libraries that implement its formats.
_LIBRARIES = {"JPEG": "libjpeg_turbo", "WEBP": "webp", "AVIF": "avif"}


class PillowCodec(Codec):
    """A format of Pillow with fixed options.

    Args:
        name: As in `Codec`.
        display_name: As in `Codec`.
        file_format: Pillow's name of the format.
        qualities: As in `Codec`.
        **options: Keyword arguments of `PIL.Image.Image.save`.
    """

    quality_range = (0, 100)

    def __init__(
        self,
        name: str,
        display_name: str,
        file_format: str,
        qualities: tuple[float, ...],
        **options: Any,
    ) -> None:
        self.name, self.display_name, self.qualities = name, display_name, qualities
        self.extension = "." + file_format.lower().replace("jpeg", "jpg")
        self.settings = " ".join(f"{key}={value}" for key, value in options.items())
        self._format, self._options = file_format, options

    def version(self) -> str:
        library = _LIBRARIES[self._format]
        return f"{library} {features.version(library)}"

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        """Encode uint8 RGB or grey `[height, width, 3 or 1]` to a whole file."""
        image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
        buffer = io.BytesIO()
        image.save(buffer, self._format, quality=int(quality), **self._options)
        return buffer.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(data), formats=[self._format]).convert("RGB"))


def jpeg(subsampling: str) -> PillowCodec:
    """Return progressive JPEG with optimised tables; `subsampling` is "420" or "444"."""
    colon = ":".join(subsampling)
    return PillowCodec(
        f"jpeg-{subsampling}",
        f"JPEG {colon}",
        "JPEG",
        (8, 15, 25, 40, 60, 75, 88),
        subsampling=colon,
        optimize=True,
        progressive=True,
    )


def webp() -> PillowCodec:
    """Return lossy WebP, which is always 4:2:0, with its slowest method."""
    return PillowCodec("webp-m6", "WebP", "WEBP", (5, 20, 40, 60, 80, 92), method=6)


def avif(subsampling: str, tune: str, speed: int) -> PillowCodec:
    """Return AVIF by libaom with one thread.

    Args:
        subsampling: "420" or "444".
        tune: Metric that libaom is tuned for, "psnr"; or "default" for libavif's choice.
        speed: 0 (slowest) to 10.
    """
    colon = ":".join(subsampling)
    tuned = tune != "default"
    options = {"advanced": {"tune": tune}} if tuned else {}
    return PillowCodec(
        f"avif-{subsampling}-{tune}-s{speed}",
        f"AVIF {colon}" + (f", tuned for {tune.upper()}" if tuned else ""),
        "AVIF",
        (8, 15, 25, 40, 55, 68, 80) if tuned else (20, 35, 50, 60, 70, 80, 88),
        subsampling=colon,
        speed=speed,
        max_threads=1,
        autotiling=False,
        **options,
    )
