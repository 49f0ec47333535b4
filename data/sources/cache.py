"""Decoded pictures that stay in memory, for sources that are read many times."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

import numpy as np


class PictureCache:
    """Arrays by key, up to a limit of memory; what comes first stays.

    Nothing is evicted: pictures come in random order, so that an array that would be evicted is as
    likely to be read next as the one that would replace it. What does not fit is decoded at every
    read. The examples of a source are the same with and without a cache.

    Args:
        limit: Most bytes of samples to keep.

    Attributes:
        used: Bytes of samples that are kept.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.used = 0
        self._arrays: dict[Hashable, np.ndarray] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array of a key, which `make` computes if it is not kept."""
        found = self._arrays.get(key)
        return self._keep(key, make()) if found is None else found

    def _keep(self, key: Hashable, array: np.ndarray) -> np.ndarray:
        with self._lock:
            if key not in self._arrays and self.used + array.nbytes <= self.limit:
                self._arrays[key] = array
                self.used += array.nbytes
        return array
