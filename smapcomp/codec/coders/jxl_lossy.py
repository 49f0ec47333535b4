"""Lossy JPEG XL (VarDCT) as bare codestreams."""

import imagecodecs
import numpy as np

from smapcomp.codec.jxl import decode_jxl

# Of libjxl. From effort 7 on it looks for patches, which are frames of their own and which
# `check_jxl_header` refuses; below 3 it only leaves out what makes VarDCT worth its while.
EFFORTS = (3, 6)


def quality_to_distance(quality: int) -> float:
    """The Butteraugli distance of a quality 0..100, as `JxlEncoderDistanceFromQuality` has it."""
    if quality >= 30:
        return 0.1 + (100 - quality) * 0.09
    return 53 / 3000 * quality**2 - 23 / 20 * quality + 25


def encode(samples: np.ndarray, quality: int, speed: int | None = None) -> bytes:
    """Codes uint8 [h, w, 1 or 3], taken as sRGB or grey of the same curve.

    Args:
      samples: the picture.
      quality: 0..100, libjxl's scale, which is that of JPEG by intention. Below 6 libjxl codes the
        picture at half size.
      speed: effort 10 - speed, within `EFFORTS`; None for the best of them.
    """
    low, high = EFFORTS
    # One thread: the bytes must not depend on the machine's number of cores.
    return imagecodecs.jpegxl_encode(
        np.ascontiguousarray(samples[..., 0] if samples.shape[2] == 1 else samples),
        lossless=False,
        distance=quality_to_distance(quality),
        effort=high if speed is None else min(high, max(low, 10 - speed)),
        usecontainer=False,
        numthreads=1,
    )


def decode(payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Decodes to uint8 of the given shape [h, w, 1 or 3].

    Raises:
      PayloadError: if the payload is no lossy codestream of one 8-bit sRGB or grey frame of that
        shape.
    """
    return decode_jxl(payload, shape, lossy=True)
