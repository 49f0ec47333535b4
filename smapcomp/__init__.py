"""Image compression with an encoder and a decoder that agree on a semantic segmentation.

    data = smapcomp.compress(image, quality=60)
    image = smapcomp.decompress(data)

The functions come from `smapcomp.codec.codec` when they are first asked for: importing the
package costs nothing, and TensorFlow is loaded by the first call that needs a network.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["compress", "decode", "decompress", "info"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("smapcomp.codec.codec"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
