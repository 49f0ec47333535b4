"""Semantic layered image compression.

Encoder and decoder agree on a semantic segmentation that costs no bits. `compress`, `decompress`,
`decode` and `info` are the public functions. They are imported on first use, so importing the
package takes no time; TensorFlow is not needed.

Example:
    >>> import numpy as np, smapcomp
    >>> image = np.full((48, 64, 3), 200, np.uint8)
    >>> data = smapcomp.compress(image, quality=60)
    >>> smapcomp.info(data)["width"]
    64
    >>> smapcomp.decompress(data).shape
    (48, 64, 3)
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"
__all__ = ["compress", "decode", "decompress", "info"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("smapcomp.codec.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
