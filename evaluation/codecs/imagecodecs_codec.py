"""JPEG 2000 and JPEG XL by the libraries that `imagecodecs` brings."""

import imagecodecs
import numpy as np

from evaluation.codecs.base import Codec


class Jpeg2000(Codec):
    """OpenJPEG with the irreversible (9/7) wavelet; quality is the PSNR that it aims at, dB."""

    name, label, extension = "jpeg2000", "JPEG 2000", ".jp2"
    settings = "irreversible"
    qualities = (25, 27.5, 30, 32.5, 35, 38, 41)
    quality_range = (15, 55)
    whole = False

    def version(self) -> str:
        return imagecodecs.jpeg2k_version()

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        """A whole file of uint8 RGB or grey `[height, width, 3 or 1]`."""
        planes = samples[..., 0] if samples.shape[2] == 1 else samples
        return imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(planes), level=quality, reversible=False, numthreads=1
        )

    def decode(self, data: bytes) -> np.ndarray:
        samples = imagecodecs.jpeg2k_decode(data, numthreads=1)
        return np.repeat(samples[..., None], 3, -1) if samples.ndim == 2 else samples


class JpegXl(Codec):
    """libjxl's VarDCT; quality is the Butteraugli distance, of which less is better."""

    name, label, extension = "jxl-e7", "JPEG XL", ".jxl"
    settings = "effort=7"
    qualities = (10, 6, 4, 2.5, 1.5, 1, 0.6)
    quality_range = (25, 0.05)
    whole = False

    def version(self) -> str:
        return imagecodecs.jpegxl_version()

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        return imagecodecs.jpegxl_encode(
            np.ascontiguousarray(samples), lossless=False, distance=quality, effort=7, numthreads=1
        )

    def decode(self, data: bytes) -> np.ndarray:
        return imagecodecs.jpegxl_decode(data, numthreads=1)
