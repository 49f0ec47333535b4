"""Picture coders behind one small interface: 8-bit samples to bytes and back.

Each coder is a module of its own. The compact and the residual layer choose a coder by name. A
coder's optional library is imported on first use, so a decoder without it reads all streams that do
not need it.

To add a coder, write a module with `encode` and `decode`, list it in `CODERS` here and in
`bitstream.stream.CODERS` (CONTRIBUTING.md has a worked example).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from smapcomp.codec.coders import av1, heic, jxl_lossless
from smapcomp.errors import SmapcompError

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class PictureCoder:
    """Coder of uint8 pictures `[height, width, 1 or 3]`: grey, or RGB.

    Attributes:
        name: Key of `CODERS`, and the name of the coder in a layer.
        encode: `encode(samples, quality, speed)` returns bytes that do not depend on the number of
            cores. The quality is 0..100 on the coder's own scale, higher is better; the speed is 0
            (slowest) to 10, or `None` for the coder's default. Raises `MissingCoderError` if the
            coder is not installed.
        decode: `decode(payload, shape)` returns uint8 of that shape. Raises `PayloadError` for any
            other payload, before it allocates more memory than that shape needs;
            `MissingCoderError` if the coder is not installed.
        lossless: Whether decoding restores the samples exactly, whatever the quality.
    """

    name: str
    encode: Callable[[np.ndarray, int, int | None], bytes]
    decode: Callable[[bytes, Shape], np.ndarray]
    lossless: bool = False


CODERS = {
    coder.name: coder
    for coder in (
        PictureCoder("av1", av1.encode, av1.decode),
        PictureCoder("heic", heic.encode, heic.decode),
        PictureCoder("jxl", jxl_lossless.encode, jxl_lossless.decode, lossless=True),
    )
}


def find_coder(name: str, allowed: Iterable[str] = CODERS) -> PictureCoder:
    """Return the coder of a name.

    Args:
        name: Name of the coder.
        allowed: Names that may be asked for.

    Raises:
        SmapcompError: The name is not among `allowed`.
    """
    if name not in allowed:
        raise SmapcompError(f"coder {name!r}; allowed are {', '.join(allowed)}")
    return CODERS[name]
