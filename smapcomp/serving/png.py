"""PNG files in memory, in which requests carry pictures."""

import io

import numpy as np
from PIL import Image

PNG_COMPRESSION = 1
"""Compression level of requests and replies, of 0..9. A photograph takes a tenth more bytes than at
level 6 and is written four times as fast; higher levels are slower than a network connection."""


def encode_png(samples: np.ndarray) -> bytes:
    """Encode samples, uint8 `[h, w]` or `[h, w, 3]`, as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "PNG", compress_level=PNG_COMPRESSION)
    return buffer.getvalue()
