"""Decoded pictures that stay in memory, for sources that are read many times."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

import numpy as np


class PictureCache:
    """Arrays by a key, the first that come, up to a limit.

    What doesn't fit is decoded each time it is wanted: with pictures in random order, throwing
    others out for it would only make room for what is as likely to be wanted. The same examples
    come with a cache and without.

    Args:
      limit: bytes of samples; the process takes little more.

    Attributes:
      used: bytes of the samples that it holds.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.used = 0
        self._arrays: dict[Hashable, np.ndarray] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of a key; made by `make` if it isn't there."""
        found = self._arrays.get(key)
        return self._keep(key, make()) if found is None else found

    def _keep(self, key: Hashable, array: np.ndarray) -> np.ndarray:
        with self._lock:
            if key not in self._arrays and self.used + array.nbytes <= self.limit:
                self._arrays[key] = array
                self.used += array.nbytes
        return array
