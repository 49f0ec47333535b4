"""Lossless JPEG XL behind the interface of the picture coders."""

import numpy as np

from smapcomp.codec.coders.jxl import decode_jxl, encode_jxl

DEFAULT_SPEED = 3
"""Speed that stands for libjxl's effort 7. One effort higher takes several times as long and saves
one or two percent."""


def encode(samples: np.ndarray, quality: int, speed: int | None = None) -> bytes:
    """Code a picture losslessly at libjxl's effort 10 - speed.

    Args:
        samples: uint8 `[height, width, 1 or 3]`.
        quality: Ignored.
        speed: 0 (slowest) to 10; `None` for `DEFAULT_SPEED`.
    """
    del quality
    effort = max(1, 10 - (DEFAULT_SPEED if speed is None else speed))
    return encode_jxl(samples, efforts=(effort,))


def decode(payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Decode to uint8 of the given shape.

    Raises:
        PayloadError: The payload is not a lossless picture of that shape.
    """
    return decode_jxl(payload, shape)
