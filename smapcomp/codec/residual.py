"""The residual layer: what the prediction lacks, mapped to 8-bit samples and coded by AVIF, lossy."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image

from smapcomp.codec.container import Layer
from smapcomp.errors import PayloadError

SPEED = 6


@dataclass(frozen=True)
class ResidualRange:
    """The residuals that the samples 0 and 255 stand for; -255 <= low < high <= 255."""

    low: int
    high: int

    def to_samples(self, residual: np.ndarray) -> np.ndarray:
        """Maps integer residuals to uint8 samples, rounding halves up and clipping."""
        scaled = (residual.astype(np.float32) - self.low) * (255 / (self.high - self.low))
        return np.clip(np.floor(scaled + 0.5), 0, 255).astype(np.uint8)

    def to_residual(self, samples: np.ndarray) -> np.ndarray:
        """Maps uint8 samples to int16 residuals."""
        scaled = samples.astype(np.float32) * ((self.high - self.low) / 255) + self.low
        return np.floor(scaled + 0.5).astype(np.int16)


CENTRED = ResidualRange(-128, 127)


def encode_residual(residual: np.ndarray, quality: int) -> tuple[Layer, ResidualRange]:
    """Codes a residual.

    Args:
      residual: int16 [H, W, 1 or 3] in -255..255: the picture minus the 8-bit prediction, without padding.
      quality: 0..100.

    Returns:
      The layer, and the range to be stored in the header.
    """
    samples = CENTRED.to_samples(residual)
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    buffer = io.BytesIO()
    image.save(
        buffer,
        format="AVIF",
        quality=quality,
        subsampling="4:0:0" if samples.shape[2] == 1 else "4:4:4",
        speed=SPEED,
        max_threads=1,
        advanced={"tune": "psnr"},
    )
    return Layer("residual", "avif", buffer.getvalue()), CENTRED


def decode_residual(
    layer: Layer | None, shape: tuple[int, int, int], residual_range: ResidualRange
) -> np.ndarray:
    """Decodes a residual layer.

    Args:
      layer: the residual layer of a stream, or None; None and an empty payload mean a residual of zeros.
      shape: [height, width, channels] of the picture, without padding.
      residual_range: the range in the stream's header; ignored for an empty residual.

    Returns:
      int16 of that shape, -255..255.

    Raises:
      PayloadError: if the payload is no AVIF still picture of that shape.
    """
    if layer is None or not layer.payload:
        return np.zeros(shape, np.int16)
    height, width, channels = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(layer.payload), formats=["AVIF"])
        if image.size != (width, height) or getattr(image, "n_frames", 1) != 1:
            raise PayloadError(f"AVIF picture of {image.size} pixels, must be {(width, height)}")
        samples = np.asarray(image.convert("RGB"))[..., :channels]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombWarning) as error:
        if isinstance(error, PayloadError):
            raise
        raise PayloadError(f"AVIF picture does not decode: {error}") from error
    return residual_range.to_residual(samples)
