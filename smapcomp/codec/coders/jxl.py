"""Lossless JPEG XL of small uint8 pictures, as bare codestreams."""

import imagecodecs
import numpy as np

from smapcomp.codec.coders.jxl_header import check_jxl_header
from smapcomp.errors import PayloadError

EFFORTS = (7, 9, 10)
"""Efforts of libjxl that are tried. On compact images of photographs 9 is best at step 1, 10 by up
to 3 % at coarser steps."""

EFFORT_WITHOUT_PATCHES = 4
"""Highest effort that does not search for patches. The others put the letters of pictures with text
into a frame of their own, which `check_jxl_header` refuses."""


def encode_jxl(image: np.ndarray, efforts: tuple[int, ...] = EFFORTS) -> bytes:
    """Code a picture losslessly.

    Args:
        image: uint8 `[height, width, 1 or 3]`.
        efforts: Efforts to try; the smallest codestream that `decode_jxl` accepts is returned.
    """
    channels = image.shape[2]
    pixels = np.ascontiguousarray(image[..., 0] if channels == 1 else image)
    payloads = [_encode(pixels, effort) for effort in efforts]
    decodable = [payload for payload in payloads if _is_accepted(payload, image.shape)]
    return min(decodable, key=len) if decodable else _encode(pixels, EFFORT_WITHOUT_PATCHES)


def _is_accepted(payload: bytes, shape: tuple[int, int, int]) -> bool:
    try:
        check_jxl_header(payload, shape)
    except PayloadError:
        return False
    return True


def _encode(pixels: np.ndarray, effort: int) -> bytes:
    # One thread: the bytes must not depend on the number of cores.
    codestream = imagecodecs.jpegxl_encode(
        pixels, lossless=True, effort=effort, usecontainer=False, numthreads=1
    )
    return bytes(codestream)


def decode_jxl(payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Decode a lossless codestream.

    Args:
        payload: The codestream.
        shape: Height, width and channels (1 or 3) of the picture.

    Returns:
        uint8 of that shape.

    Raises:
        PayloadError: The payload is not a codestream of one lossless 8-bit frame of that shape.
    """
    check_jxl_header(payload, shape)
    try:
        image = imagecodecs.jpegxl_decode(payload, numthreads=1)
    except (RuntimeError, ValueError) as error:
        raise PayloadError(f"JPEG XL codestream does not decode: {error}") from error
    if image.dtype != np.uint8 or image.size != np.prod(shape):
        raise PayloadError(f"JPEG XL image is {image.dtype} {image.shape}, must be uint8 {shape}")
    return image.reshape(shape)
