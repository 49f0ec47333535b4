"""The alpha layer: transparency, coded losslessly."""

import numpy as np

from smapcomp.codec.blocks import decode_blocks, encode_blocks
from smapcomp.codec.jxl import decode_jxl, encode_jxl
from smapcomp.codec.stream import Layer
from smapcomp.errors import SmapcompError

# One effort, since higher ones take seconds a megapixel and planes of alpha are mostly flat.
_EFFORTS = (7,)


def encode_alpha(alpha: np.ndarray) -> Layer:
    """Codes alpha, uint8 [H, W], losslessly.

    Raises:
      SmapcompError: if it is no such array.
    """
    if alpha.dtype != np.uint8 or alpha.ndim != 2 or alpha.size == 0:
        raise SmapcompError(f"alpha {alpha.dtype} {alpha.shape}; uint8 [H, W] is needed")
    payload = encode_blocks(alpha[:, :, None], lambda block: encode_jxl(block, _EFFORTS))
    return Layer("alpha", "jxl", payload)


def decode_alpha(layer: Layer, shape: tuple[int, int]) -> np.ndarray:
    """Decodes an alpha layer to uint8 [H, W] of the given shape, that of the picture.

    Raises:
      PayloadError: if the payload is anything else.
    """
    return decode_blocks(layer.payload, (*shape, 1), decode_jxl)[:, :, 0]
