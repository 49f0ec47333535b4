"""Samples to the bytes of a PNG file and back, by Pillow."""

import io

import numpy as np
from PIL import Image


def to_png(samples: np.ndarray, **options) -> bytes:
    """uint8 `[h, w]` or `[h, w, 1 to 4]`."""
    squeezed = samples[..., 0] if samples.shape[-1] == 1 else samples
    buffer = io.BytesIO()
    Image.fromarray(squeezed).save(buffer, "PNG", **options)
    return buffer.getvalue()


def from_png(data: bytes) -> np.ndarray:
    """uint8 `[h, w]` or `[h, w, 3]`."""
    return np.asarray(Image.open(io.BytesIO(data)))
