"""Picture coders behind one small interface: uint8 samples to bytes and back, one file each.

The compact and the residual layer choose among them by name. None of them is loaded before it is
used if it is optional, so that a decoder without it reads all streams that do without it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from smapcomp.codec.coders import av1, bpg, heic, jxl_lossless, jxl_lossy
from smapcomp.errors import SmapcompError

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class PictureCoder:
    """A coder of uint8 [h, w, 1 or 3]: grey, or RGB (samples that a coder treats as RGB).

    Attributes:
      name: the key of `CODERS`, and the name of the coder in a layer.
      encode: `encode(samples, quality, speed)` returns bytes, the same on any number of cores.
        Quality is 0..100 on the coder's own scale, more is better; speed 0 (slowest) to 10, None
        for the coder's default. Raises `MissingCoderError` if the coder is not installed.
      decode: `decode(payload, shape)` returns uint8 of that shape [h, w, 1 or 3]. Raises
        `PayloadError` for any other payload, before memory beyond what that shape takes is
        allocated; `MissingCoderError` if the coder is not installed.
      lossless: whether the samples come back as they were, whatever the quality.
    """

    name: str
    encode: Callable[[np.ndarray, int, int | None], bytes]
    decode: Callable[[bytes, Shape], np.ndarray]
    lossless: bool = False


CODERS = {
    coder.name: coder
    for coder in (
        PictureCoder("av1", av1.encode, av1.decode),
        PictureCoder("jxl_lossy", jxl_lossy.encode, jxl_lossy.decode),
        PictureCoder("heic", heic.encode, heic.decode),
        PictureCoder("bpg", bpg.encode, bpg.decode),
        PictureCoder("jxl", jxl_lossless.encode, jxl_lossless.decode, lossless=True),
    )
}


def find_coder(name: str, allowed: Iterable[str] = CODERS) -> PictureCoder:
    """Returns the coder of that name.

    Raises:
      SmapcompError: if the name is not an allowed one.
    """
    if name not in allowed:
        raise SmapcompError(f"coder {name!r}; allowed are {', '.join(allowed)}")
    return CODERS[name]
