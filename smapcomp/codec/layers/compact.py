"""The compact layer: CompNet's quantised image without loss, or a plain image with loss."""

import numpy as np
from PIL import Image

from smapcomp.codec.bitstream.stream import LOSSY_COMPACT_CODERS, Layer
from smapcomp.codec.coders import find_coder
from smapcomp.codec.coders.jxl import EFFORTS, decode_jxl, encode_jxl
from smapcomp.codec.layers.blocks import decode_blocks, encode_blocks
from smapcomp.design import max_level
from smapcomp.errors import PayloadError


def encode_compact(levels: np.ndarray, efforts: tuple[int, ...] = EFFORTS) -> Layer:
    """Code quantised levels losslessly.

    Args:
        levels: uint8 `[h, w, 1 or 3]`.
        efforts: Efforts of libjxl to try.
    """
    payload = encode_blocks(levels, lambda block: encode_jxl(block, efforts))
    return Layer("compact", "jxl", payload)


def decode_compact(layer: Layer, shape: tuple[int, int, int], step: int) -> np.ndarray:
    """Decode a lossless compact layer.

    Args:
        layer: The compact layer of a stream.
        shape: `Stream.compact_shape`: height, width, channels.
        step: Quantiser step, 1..128.

    Returns:
        Levels, uint8 of that shape, in 0..max_level(step).

    Raises:
        PayloadError: The payload does not decode to such levels.
    """
    levels = decode_blocks(layer.payload, shape, decode_jxl)
    if levels.max() > max_level(step):
        raise PayloadError(
            f"compact level {levels.max()}; at step {step} 0..{max_level(step)} are allowed"
        )
    return levels


def downsampled(padded: np.ndarray, scale: int) -> np.ndarray:
    """Return the plain compact image: the picture down-sampled by Pillow's Lanczos filter.

    Of Pillow's filters, Lanczos gives the highest PSNR after up-sampling.

    Args:
        padded: uint8 `[height, width, 1 or 3]`.
        scale: Divisor of both sides.

    Returns:
        uint8 `[height/scale, width/scale, 1 or 3]`.
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
    """Code a compact image with loss.

    Args:
        image: uint8 `[h, w, 1 or 3]`.
        quality: Quality on the coder's scale, 0..100.
        coder: One of `LOSSY_COMPACT_CODERS`.
        gain: Fine step, 0..128. The contrast is lowered to (256 - gain) / 256 before the coder,
            which makes its quantiser coarser by as much: a rate between those of two qualities. 0
            changes nothing.
        speed: 0 (slowest) to 10; `None` for the coder's default.

    Raises:
        SmapcompError: The coder is unknown.
    """
    encode = find_coder(coder, LOSSY_COMPACT_CODERS).encode
    samples = _lowered_contrast(gain)
    payload = encode_blocks(image, lambda block: encode(samples[block], quality, speed))
    return Layer("compact", coder, payload)


def decode_lossy_compact(layer: Layer, shape: tuple[int, int, int], gain: int = 0) -> np.ndarray:
    """Decode a lossy compact layer.

    Args:
        layer: The compact layer of a stream.
        shape: `Stream.compact_shape`: height, width, channels.
        gain: Fine step, 0..128, as in `encode_lossy_compact`.

    Returns:
        uint8 of that shape.

    Raises:
        PayloadError: The payload does not decode to that shape.
    """
    decode = find_coder(layer.coder, LOSSY_COMPACT_CODERS).decode
    values = _restored_contrast(gain)
    return decode_blocks(layer.payload, shape, lambda payload, size: values[decode(payload, size)])


def _lowered_contrast(gain: int) -> np.ndarray:
    """Return the sample of each value 0..255: 128 + (value - 128) (256 - gain) / 256, half up."""
    return (128 + (((np.arange(256) - 128) * (256 - gain) + 128) >> 8)).astype(np.uint8)


def _restored_contrast(gain: int) -> np.ndarray:
    """Return the value of each sample 0..255: 128 + (sample - 128) 256 / (256 - gain), half up."""
    divisor = 256 - gain
    values = 128 + (512 * (np.arange(256) - 128) + divisor) // (2 * divisor)
    return np.clip(values, 0, 255).astype(np.uint8)
