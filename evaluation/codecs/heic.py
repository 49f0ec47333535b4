"""HEIC: HEVC still pictures by libheif and x265, through the package `pillow-heif`."""

import io

import numpy as np
from PIL import Image

from evaluation.codecs.base import Codec
from smapcomp.codec.coders.heic import load_pillow_heif


class Heic(Codec):
    """HEIC with libheif's defaults; quality q sets x265's constant rate factor to (100 - q) / 2.

    Args:
        subsampling: "420" or "444".
    """

    extension = ".heic"
    qualities = (10, 25, 40, 50, 60, 70, 80)
    quality_range = (0, 100)

    def __init__(self, subsampling: str) -> None:
        self.name = f"heic-{subsampling}"
        self.display_name = f"HEIC {':'.join(subsampling)}"
        self.settings = f"chroma={subsampling}"
        self._subsampling = subsampling

    def version(self) -> str:
        info = load_pillow_heif().libheif_info()
        return f"libheif {info['libheif']}, {info['encoders'].get('x265', 'no x265')}"

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        buffer = io.BytesIO()
        height, width, _ = samples.shape
        load_pillow_heif().encode(
            "RGB",
            (width, height),
            np.ascontiguousarray(samples).tobytes(),
            buffer,
            quality=int(quality),
            # Without a thread pool, as parallel coding of rows gives other bytes.
            enc_params={"chroma": self._subsampling, "x265:pools": "none"},
        )
        return buffer.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        picture = load_pillow_heif().open_heif(data)
        return np.asarray(Image.fromarray(np.asarray(picture)).convert("RGB"))
