"""Lossless JPEG XL of small uint8 images, as bare codestreams."""

import imagecodecs
import numpy as np

from smapcomp.errors import PayloadError

SIGNATURE = b"\xff\x0a"
# Efforts that win on compact images of photographs, by the quantiser step (measured: 9 for step 1, 10 from step 4 on).
EFFORTS = (9, 10)


def encode_jxl(image: np.ndarray) -> bytes:
    """Codes uint8 [h, w, 1] or [h, w, 3] losslessly; the smallest of several efforts."""
    image = np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image)
    candidates = (
        imagecodecs.jpegxl_encode(
            image, lossless=True, effort=effort, usecontainer=False, numthreads=1
        )
        for effort in EFFORTS
    )
    return min(candidates, key=len)


def decode_jxl(payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Decodes a codestream to uint8 of the given shape [h, w, 1 or 3].

    Raises:
      PayloadError: if the bytes are no codestream of an 8-bit image of that shape.
    """
    if not payload.startswith(SIGNATURE):
        raise PayloadError(
            f"JPEG XL codestream starts with {payload[:2].hex()}, must be {SIGNATURE.hex()}"
        )
    try:
        image = imagecodecs.jpegxl_decode(payload, numthreads=1)
    except (RuntimeError, ValueError) as error:
        raise PayloadError(f"JPEG XL codestream does not decode: {error}") from error
    if image.ndim == 2:
        image = image[..., None]
    if image.shape != shape or image.dtype != np.uint8:
        raise PayloadError(f"JPEG XL image is {image.dtype} {image.shape}, must be uint8 {shape}")
    return image
