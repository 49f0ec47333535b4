"""The residual layer: what the prediction lacks, as 8-bit samples of a picture coder.

Lossy, the residuals of a range are mapped to 0..255; lossless, they are taken modulo 256, of which
the prediction leaves one possible pixel.
"""

from dataclasses import dataclass

import numpy as np

from smapcomp.codec.blocks import decode_blocks, encode_blocks
from smapcomp.codec.coders import CODERS, find_coder
from smapcomp.codec.stream import (
    LOSSLESS_RESIDUAL_CODER,
    LOSSY_RESIDUAL_CODERS,
    MAX_RESIDUAL,
    Layer,
)

# Its layers follow the papers' protocol: the range of the residual is its minimum and maximum.
PAPERS_CODER = "bpg"
# Stands for a lossless residual of zero. In the middle, since from 0 on small residuals of either
# sign are far from each other, which takes 43 % more bytes.
ZERO_SAMPLE = np.uint8(128)
# Decided here: 65 dB of PSNR, far above what any quality reaches.
CLIP_MSE = 0.02


@dataclass(frozen=True)
class ResidualRange:
    """The residuals that the samples 0 and 255 stand for; -255 <= low < high <= 255."""

    low: int
    high: int

    def to_samples(self, residual: np.ndarray) -> np.ndarray:
        """Maps integer residuals to the nearest uint8 samples, clipping."""
        span = self.high - self.low
        residuals = np.arange(-MAX_RESIDUAL, MAX_RESIDUAL + 1)
        samples = (510 * (residuals - self.low) + span) // (2 * span)
        return np.clip(samples, 0, 255).astype(np.uint8)[residual + MAX_RESIDUAL]

    def to_residual(self, samples: np.ndarray) -> np.ndarray:
        """Maps uint8 samples to int16 residuals, rounding halves up."""
        span = self.high - self.low
        residuals = self.low + (2 * span * np.arange(256) + 255) // 510
        return residuals.astype(np.int16)[samples]

    def widened(self, factor: float) -> "ResidualRange":
        """Returns a range whose span is a factor >= 1 of this one's, as far as -255..255 allow."""
        extra = (factor - 1) * (self.high - self.low) / 2
        low = max(round(self.low - extra), -MAX_RESIDUAL)
        return ResidualRange(low, min(round(self.high + extra), MAX_RESIDUAL))


class Difference:
    """A picture minus its prediction, computed where it is looked at: int16 `[H, W, 1 or 3]`.

    Of a large picture it would take more memory than all else.
    """

    def __init__(self, pixels: np.ndarray, prediction: np.ndarray):
        self._pixels = pixels
        self._prediction = prediction
        self.shape = pixels.shape
        self.size = pixels.size

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, area) -> np.ndarray:
        return self._pixels[area].astype(np.int16) - self._prediction[area]


def choose_range(residual: "np.ndarray | Difference") -> ResidualRange:
    """Returns the narrowest range that clips no more than `CLIP_MSE`, half of it at either end.

    The wider the range, the less of the 8 bits is left for each residual, so a few far values cost
    all the others precision; but a fixed clip would ruin pictures with many of them. Measured with
    AVIF against this choice, mean BD-rate of five pictures: min to max +2 %, 0.01 % percentiles
    -0.5 %, without their bound on the error; against [-128, 127] min to max gains 12 %.
    """
    # By rows: a copy of the whole in 64 bits would take more memory than all else.
    counts = np.zeros(2 * MAX_RESIDUAL + 1, np.int64)
    for row in residual:
        counts += np.bincount(row.ravel() + MAX_RESIDUAL, minlength=len(counts))
    budget = residual.size * CLIP_MSE / 2
    low = _clip_point(counts, budget) - MAX_RESIDUAL
    high = MAX_RESIDUAL - _clip_point(counts[::-1], budget)
    return ResidualRange(min(low, -1), max(high, 1))


def _clip_point(counts: np.ndarray, budget: float) -> int:
    """Returns the largest index to which all lower ones can be clipped within the squared error."""
    below = np.cumsum(counts)[:-1]
    distance = np.concatenate([[0], np.cumsum(below)[:-1]])
    # (d + 1)^2 = d^2 + 2d + 1, summed over what lies below.
    error = np.concatenate([[0], np.cumsum(2 * distance + below)])
    return int(np.flatnonzero(error <= budget)[-1])


def full_range(residual: "np.ndarray | Difference") -> ResidualRange:
    """Returns the papers' range, from the minimum to the maximum; nothing is clipped."""
    rows = range(len(residual))
    low = min(min(int(residual[row].min()) for row in rows), MAX_RESIDUAL - 1)
    return ResidualRange(low, max(*(int(residual[row].max()) for row in rows), low + 1))


def encode_residual(
    residual: "np.ndarray | Difference",
    quality: int,
    coder: str = "av1",
    speed: int | None = None,
    widen: float = 1.0,
) -> tuple[Layer, ResidualRange]:
    """Codes a residual with loss.

    Args:
      residual: int16 [H, W, 1 or 3] in -255..255: the picture minus the 8-bit prediction, without
        padding.
      quality: 0..100, the coder's scale on the mapped samples; AV1 has 64 steps of it. A narrow
        range makes the steps finer, so pictures that are well predicted get more PSNR, which is
        cheap there: equal steps would take 6 % more bits at the same mean PSNR of ten pictures.
      coder: one of `LOSSY_RESIDUAL_CODERS`.
      speed: 0 (slowest) to 10, None for the coder's default.
      widen: factor >= 1 of the range, and thereby of any coder's quantiser steps: what lies between
        two qualities. Where the range is -255..255 it does nothing.

    Returns:
      The layer, and the range to be stored in the header.

    Raises:
      SmapcompError: if the coder is another.
      MissingCoderError: if it is not installed.
    """
    encode = find_coder(coder, LOSSY_RESIDUAL_CODERS).encode
    choose = full_range if coder == PAPERS_CODER else choose_range
    residual_range = choose(residual).widened(widen)
    payload = encode_blocks(
        residual, lambda block: encode(residual_range.to_samples(block), quality, speed)
    )
    return Layer("residual", coder, payload), residual_range


def decode_samples(layer: Layer, shape: tuple[int, int, int], whole: bool = False) -> np.ndarray:
    """Decodes a lossy residual layer to its samples.

    Args:
      layer: the residual layer of a stream; its payload is not empty.
      shape: [height, width, channels] of the picture, without padding.
      whole: whether the stream is of format version 1, which has no blocks.

    Returns:
      uint8 of that shape; `ResidualRange.to_residual` tells what they stand for.

    Raises:
      PayloadError: if the payload is no picture of that shape by the layer's coder.
      MissingCoderError: if the coder is not installed.
    """
    decode = find_coder(layer.coder, LOSSY_RESIDUAL_CODERS).decode
    return decode_blocks(layer.payload, shape, decode, whole=whole)


def decode_residual(
    layer: Layer | None, shape: tuple[int, int, int], residual_range: ResidualRange
) -> np.ndarray:
    """Decodes a lossy residual layer to int16 of the given shape, -255..255.

    As `decode_samples`; no layer and an empty payload mean zeros.
    """
    if layer is None or not layer.payload:
        return np.zeros(shape, np.int16)
    return residual_range.to_residual(decode_samples(layer, shape))


def encode_lossless_residual(
    pixels: np.ndarray, prediction: np.ndarray, speed: int | None = None
) -> Layer:
    """Codes what the prediction lacks so that the picture comes back exactly.

    Args:
      pixels: the picture, uint8 [H, W, 1 or 3], without padding.
      prediction: uint8 of the same shape.
      speed: 0 (slowest) to 10, None for the coder's default.

    Returns:
      The layer.
    """
    encode = CODERS[LOSSLESS_RESIDUAL_CODER].encode
    samples = pixels - prediction + ZERO_SAMPLE  # modulo 256, as uint8 are
    payload = encode_blocks(samples, lambda block: encode(block, 100, speed))
    return Layer("residual", LOSSLESS_RESIDUAL_CODER, payload)


def decode_lossless_residual(layer: Layer, prediction: np.ndarray) -> np.ndarray:
    """Returns the exact picture, uint8 of the prediction's shape [H, W, 1 or 3].

    Raises:
      PayloadError: if the payload is no lossless picture of that shape.
    """
    decode = find_coder(layer.coder, (LOSSLESS_RESIDUAL_CODER,)).decode
    samples = decode_blocks(layer.payload, prediction.shape, decode)
    return samples + prediction - ZERO_SAMPLE  # modulo 256, as uint8 are
