"""Decoded pictures that stay in memory, for sources that are read many times."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

Reader = Callable[..., np.ndarray]


class PictureCache:
    """Decoded files by their paths, the first that come, up to a limit.

    What doesn't fit is decoded each time it is wanted: with pictures in random order, throwing
    others out for it would only make room for what is as likely to be wanted. The same examples
    come with a cache and without.

    Args:
      limit: bytes of decoded samples; the process takes little more.

    Attributes:
      used: bytes of the samples that it holds.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.used = 0
        self._arrays: dict[bytes, np.ndarray] = {}
        self._lock = threading.Lock()

    def reader(self, read: Reader) -> Reader:
        """`read(path, ...)`, which decodes a file, as a function that does it once a path."""

        def kept(path: bytes, *others) -> np.ndarray:
            found = self._arrays.get(path)
            return self._keep(path, read(path, *others)) if found is None else found

        return kept

    def _keep(self, path: bytes, array: np.ndarray) -> np.ndarray:
        with self._lock:
            if path not in self._arrays and self.used + array.nbytes <= self.limit:
                self._arrays[path] = array
                self.used += array.nbytes
        return array
