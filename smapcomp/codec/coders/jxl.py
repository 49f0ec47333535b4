"""Lossless JPEG XL of small uint8 pictures, as bare codestreams."""

import imagecodecs
import numpy as np

from smapcomp.codec.coders.jxl_header import check_jxl_header
from smapcomp.errors import PayloadError

EFFORTS = (7, 9, 10)
"""Efforts of libjxl that are tried. On compact images of photographs 9 is best at step 1, 10 by up
to 3 % at coarser steps."""

WITHOUT_PATCHES = 3
"""Decoding speed of libjxl at which it uses no patches. At 0 and efforts of 5 and more, it puts the
letters of pictures with text into frames of their own, which `check_jxl_header` refuses. At 3,
pictures with text or few colours are even smaller (1,844 bytes instead of 4,882 for a page of
text), photographs are up to 80 % larger."""

EFFORT_WITHOUT_PATCHES = 8
"""Effort at that decoding speed, about 1 second per megapixel. Effort 9 takes minutes for some
patterns."""

FEW_COLOURS = 64
"""Number of colours up to which a picture is taken for synthetic."""

REPEATED_SHARE = 0.5
"""Share of pixels equal to their left or upper neighbour from which a picture is taken for
synthetic."""

SMOOTH_BITS = 1.0
"""Bits per pixel at libjxl's effort 1, about 0.02 seconds per megapixel, below which a picture is
taken for synthetic. Gradients take 0.1 to 0.4, photographs 8 to 12."""


def encode_jxl(image: np.ndarray, efforts: tuple[int, ...] = EFFORTS) -> bytes:
    """Code a picture losslessly.

    Args:
        image: uint8 `[height, width, 1 or 3]`.
        efforts: Efforts to try; the smallest codestream that `decode_jxl` accepts is returned.
    """
    payloads = [_encode(image, effort) for effort in efforts]
    accepted = [payload for payload in payloads if _is_accepted(payload, image.shape)]
    if not accepted or is_synthetic(image):
        accepted.append(_encode(image, EFFORT_WITHOUT_PATCHES, WITHOUT_PATCHES))
    return min(accepted, key=len)


def is_synthetic(image: np.ndarray) -> bool:
    """Return whether a picture is probably text or graphics.

    Such pictures have few colours, many repeated pixels, or regular gradients.

    Args:
        image: uint8 `[height, width, 1 or 3]`.
    """
    colours = image[..., 0].astype(np.uint32)
    for channel in range(1, image.shape[2]):
        colours = colours << 8 | image[..., channel]
    repeated = np.zeros(colours.shape, bool)
    repeated[:, 1:] = colours[:, 1:] == colours[:, :-1]
    repeated[1:] |= colours[1:] == colours[:-1]
    if repeated.mean() >= REPEATED_SHARE or _has_few(colours):
        return True
    return 8 * len(_encode(image, 1)) < SMOOTH_BITS * colours.size


def _has_few(colours: np.ndarray) -> bool:
    """Return whether there are at most `FEW_COLOURS` different values."""
    values = colours.ravel()
    # np.unique takes seconds per million different values, so most pictures must not need it.
    if len(np.unique(values[:: 1 + len(values) // 4096])) > FEW_COLOURS:
        return False
    values = np.sort(values)
    return bool(1 + np.count_nonzero(values[1:] != values[:-1]) <= FEW_COLOURS)


def _is_accepted(payload: bytes, shape: tuple[int, int, int]) -> bool:
    try:
        check_jxl_header(payload, shape)
    except PayloadError:
        return False
    return True


def _encode(image: np.ndarray, effort: int, decoding_speed: int = 0) -> bytes:
    payload = imagecodecs.jpegxl_encode(
        np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image),
        lossless=True,
        effort=effort,
        decodingspeed=decoding_speed,
        usecontainer=False,
        numthreads=1,  # the bytes must not depend on the number of cores
    )
    return bytes(payload)


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
