"""Lossless JPEG XL behind the interface of the picture coders."""

import numpy as np

from smapcomp.codec.jxl import decode_jxl, encode_jxl

# Effort 7. One effort slower takes several times as long for a percent or two.
DEFAULT_SPEED = 3


def encode(samples: np.ndarray, quality: int, speed: int | None = None) -> bytes:
    """Codes uint8 [h, w, 1 or 3] losslessly at libjxl's effort 10 - speed; ignores the quality."""
    del quality
    effort = max(1, 10 - (DEFAULT_SPEED if speed is None else speed))
    return encode_jxl(samples, efforts=(effort,))


def decode(payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Decodes to uint8 of the given shape; `PayloadError` for anything else."""
    return decode_jxl(payload, shape)
