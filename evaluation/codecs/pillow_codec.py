"""Codecs that Pillow has: JPEG, WebP and AVIF."""

import io
from typing import Any

import numpy as np
from PIL import Image, features

from evaluation.codecs.base import Codec

# Pillow's names of the libraries behind its formats.
_LIBRARIES = {"JPEG": "libjpeg_turbo", "WEBP": "webp", "AVIF": "avif"}


class PillowCodec(Codec):
    """A format of Pillow with fixed options."""

    quality_range = (0, 100)

    def __init__(
        self,
        name: str,
        label: str,
        file_format: str,
        qualities: tuple[float, ...],
        **options: Any,
    ) -> None:
        """Args: the attributes of `Codec`, Pillow's name of the format and what `save` is told."""
        self.name, self.label, self.qualities = name, label, qualities
        self.extension = "." + file_format.lower().replace("jpeg", "jpg")
        self.settings = " ".join(f"{key}={value}" for key, value in options.items())
        self._format, self._options = file_format, options

    def version(self) -> str:
        library = _LIBRARIES[self._format]
        return f"{library} {features.version(library)}"

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        """A whole file of uint8 RGB or grey `[height, width, 3 or 1]`."""
        image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
        buffer = io.BytesIO()
        image.save(buffer, self._format, quality=int(quality), **self._options)
        return buffer.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(data), formats=[self._format]).convert("RGB"))


def jpeg(subsampling: str) -> PillowCodec:
    """JPEG with optimised tables, progressive; subsampling "420" or "444"."""
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
    """Lossy WebP, which is 4:2:0, at its slowest method."""
    return PillowCodec("webp-m6", "WebP", "WEBP", (5, 20, 40, 60, 80, 92), method=6)


def avif(subsampling: str, tune: str, speed: int) -> PillowCodec:
    """AVIF by libaom, one thread. Tune "default" leaves the choice to libavif."""
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
