"""HEIC: HEVC still pictures by libheif with x265, where pillow-heif is installed."""

import io

import numpy as np
from PIL import Image

from evaluation.codecs.base import Codec
from smapcomp.codec.coders.heic import INSTALL
from smapcomp.errors import MissingCoderError


class Heic(Codec):
    """libheif's defaults; quality q is x265's constant rate factor (100 - q) / 2."""

    extension = ".heic"
    qualities = (10, 25, 40, 50, 60, 70, 80)
    quality_range = (0, 100)

    def __init__(self, subsampling: str) -> None:
        """Args: subsampling, "420" or "444"."""
        self.name = f"heic-{subsampling}"
        self.label = f"HEIC {':'.join(subsampling)}"
        self.settings = f"chroma={subsampling}"
        self._subsampling = subsampling

    def version(self) -> str:
        library = _library()
        info = library.libheif_info()
        return f"libheif {info['libheif']}, {info['encoders'].get('x265', 'no x265')}"

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        buffer = io.BytesIO()
        height, width, _ = samples.shape
        _library().encode(
            "RGB",
            (width, height),
            np.ascontiguousarray(samples).tobytes(),
            buffer,
            quality=int(quality),
            # No thread pool: with one the rows are coded in parallel, which takes other bytes.
            enc_params={"chroma": self._subsampling, "x265:pools": "none"},
        )
        return buffer.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        return np.asarray(Image.fromarray(np.asarray(_library().open_heif(data))).convert("RGB"))


def _library():
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingCoderError(f"HEIC takes the package pillow-heif: {INSTALL}") from error
    return pillow_heif
