"""JPEG 2000 and JPEG XL by the libraries in the package `imagecodecs`."""

import imagecodecs
import numpy as np

from evaluation.codecs.base import Codec


class Jpeg2000(Codec):
    """JPEG 2000 by OpenJPEG with the irreversible 9/7 wavelet.

    The quality is the target PSNR in dB.
    """

    name, display_name, extension = "jpeg2000", "JPEG 2000", ".jp2"
    settings = "irreversible"
    qualities = (25, 27.5, 30, 32.5, 35, 38, 41)
    quality_range = (15, 55)
    integer_qualities = False

    def version(self) -> str:
        return imagecodecs.jpeg2k_version()

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        """Encode uint8 RGB or grey `[height, width, 3 or 1]` to a whole file."""
        planes = samples[..., 0] if samples.shape[2] == 1 else samples
        return imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(planes), level=quality, reversible=False, numthreads=1
        )

    def decode(self, data: bytes) -> np.ndarray:
        samples = imagecodecs.jpeg2k_decode(data, numthreads=1)
        return np.repeat(samples[..., None], 3, -1) if samples.ndim == 2 else samples


class JpegXl(Codec):
    """Lossy JPEG XL by libjxl.

    The quality is the Butteraugli distance: a smaller number means a better picture.
    """

    name, display_name, extension = "jxl-e7", "JPEG XL", ".jxl"
    settings = "effort=7"
    qualities = (10, 6, 4, 2.5, 1.5, 1, 0.6)
    quality_range = (25, 0.05)
    integer_qualities = False

    def version(self) -> str:
        return imagecodecs.jpegxl_version()

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        return imagecodecs.jpegxl_encode(
            np.ascontiguousarray(samples), lossless=False, distance=quality, effort=7, numthreads=1
        )

    def decode(self, data: bytes) -> np.ndarray:
        return imagecodecs.jpegxl_decode(data, numthreads=1)
