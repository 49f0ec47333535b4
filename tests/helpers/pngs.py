"""PNG files in memory, by Pillow."""

import io

import numpy as np
from PIL import Image


def encode_png(samples: np.ndarray, **options) -> bytes:
    """Encode uint8 `[h, w]` or `[h, w, 1 to 4]` as a PNG file."""
    squeezed = samples[..., 0] if samples.shape[-1] == 1 else samples
    buffer = io.BytesIO()
    Image.fromarray(squeezed).save(buffer, "PNG", **options)
    return buffer.getvalue()


def decode_png(data: bytes) -> np.ndarray:
    """Decode a PNG file to uint8 `[h, w]` or `[h, w, 3]`."""
    return np.asarray(Image.open(io.BytesIO(data)))
