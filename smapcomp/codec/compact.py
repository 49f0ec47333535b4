"""The compact layer: the quantised compact image without loss, or the image itself with loss."""

import numpy as np
from PIL import Image

from smapcomp.codec.blocks import decode_blocks, encode_blocks
from smapcomp.codec.coders import find_coder
from smapcomp.codec.flif import decode_flif, encode_flif
from smapcomp.codec.jxl import decode_jxl, encode_jxl
from smapcomp.codec.stream import LOSSY_COMPACT_CODERS, Layer
from smapcomp.errors import PayloadError
from smapcomp.levels import max_level


def quantise_compact(values: np.ndarray, step: int) -> np.ndarray:
    """Rounds values in 0..255 (any shape) to uint8 levels: floor(value / step + 1/2)."""
    return np.floor(np.clip(values, 0, 255) / step + 0.5).astype(np.uint8)


def dequantise_compact(levels: np.ndarray, step: int) -> np.ndarray:
    """Returns the uint8 values min(255, level * step) of levels (any shape)."""
    return np.minimum(levels.astype(np.uint16) * step, 255).astype(np.uint8)


def encode_compact(levels: np.ndarray, coder: str = "jxl") -> Layer:
    """Codes levels, uint8 [h, w, 1 or 3], losslessly.

    The coder "flif" is the papers'; it is never chosen by itself, since few decoders have it.
    """
    encode = {"jxl": encode_jxl, "flif": encode_flif}[coder]
    return Layer("compact", coder, encode(levels))


def decode_compact(layer: Layer, shape: tuple[int, int, int], step: int) -> np.ndarray:
    """Decodes a compact layer.

    Args:
      layer: the compact layer of a stream.
      shape: `Stream.compact_shape`, [h, w, channels].
      step: the quantiser step, 1..128.

    Returns:
      Levels, uint8 of that shape, 0..max_level(step).

    Raises:
      PayloadError: if the payload is anything else.
      MissingCoderError: if it takes a program that is not installed.
    """
    decode = {"jxl": decode_jxl, "flif": decode_flif}[layer.coder]
    levels = decode(layer.payload, shape)
    if levels.max() > max_level(step):
        raise PayloadError(
            f"compact level {levels.max()}; at step {step} 0..{max_level(step)} are allowed"
        )
    return levels


def downsampled(padded: np.ndarray, scale: int) -> np.ndarray:
    """The plain compact image: Lanczos, decided here for its PSNR after up-sampling.

    Args:
      padded: uint8 [H, W, 1 or 3].
      scale: divides both sides.

    Returns:
      uint8 [H/scale, W/scale, 1 or 3].
    """
    if scale == 1:
        return padded
    height, width, channels = padded.shape
    image = Image.fromarray(padded[..., 0] if channels == 1 else padded)
    small = image.resize((width // scale, height // scale), Image.Resampling.LANCZOS)
    return np.asarray(small).reshape(height // scale, width // scale, channels)


def encode_lossy_compact(
    image: np.ndarray,
    quality: int,
    coder: str = "av1",
    gain: int = 0,
    speed: int | None = None,
) -> Layer:
    """Codes a compact image with loss.

    Args:
      image: uint8 [h, w, 1 or 3].
      quality: 0..100, the coder's scale.
      coder: one of `LOSSY_COMPACT_CODERS`.
      gain: 0..128. The contrast is lowered to (256 - gain) / 256 before the coder, which
        makes its steps coarser by as much: what lies between two qualities. 0 changes nothing.
      speed: 0 (slowest) to 10, None for the coder's default.

    Raises:
      SmapcompError: if the coder is another.
    """
    encode = find_coder(coder, LOSSY_COMPACT_CODERS).encode
    samples = _lowered(gain)
    payload = encode_blocks(image, lambda block: encode(samples[block], quality, speed))
    return Layer("compact", coder, payload)


def decode_lossy_compact(layer: Layer, shape: tuple[int, int, int], gain: int = 0) -> np.ndarray:
    """Decodes a lossy compact layer to a uint8 image of the given shape [h, w, 1 or 3].

    Raises:
      PayloadError: if the payload is no picture of that shape by the layer's coder.
    """
    decode = find_coder(layer.coder, LOSSY_COMPACT_CODERS).decode
    values = _raised(gain)
    return decode_blocks(layer.payload, shape, lambda payload, size: values[decode(payload, size)])


def _lowered(gain: int) -> np.ndarray:
    """The samples of the values 0..255: 128 + (value - 128) (256 - gain) / 256, half up."""
    return (128 + (((np.arange(256) - 128) * (256 - gain) + 128) >> 8)).astype(np.uint8)


def _raised(gain: int) -> np.ndarray:
    """Clipped values of the samples 0..255: 128 + (sample - 128) 256 / (256 - gain), half up."""
    divisor = 256 - gain
    values = 128 + (512 * (np.arange(256) - 128) + divisor) // (2 * divisor)
    return np.clip(values, 0, 255).astype(np.uint8)
