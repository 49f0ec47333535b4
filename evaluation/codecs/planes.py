"""The papers' way with JPEG, JPEG 2000 and WebP: R, G and B as three separate grey files."""

import itertools
import struct

import numpy as np

from evaluation.codecs.base import Codec

_LENGTHS = struct.Struct(">II")


class Planes(Codec):
    """Another codec on each plane. The three files lie behind one another, behind the lengths of
    the first two, which adds 8 bytes to what the papers counted."""

    whole: bool

    def __init__(self, codec: Codec, name: str, label: str) -> None:
        """Args: codec, which must take grey `[height, width, 1]`."""
        self.name, self.label, self.extension = name, label, codec.extension + "3"
        self.settings = f"{codec.settings} on R, G, B".strip()
        self.qualities, self.quality_range = codec.qualities, codec.quality_range
        self.whole = codec.whole
        self._codec = codec

    def version(self) -> str:
        return self._codec.version()

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        files = [self._codec.encode(samples[..., c : c + 1], quality) for c in range(3)]
        return _LENGTHS.pack(len(files[0]), len(files[1])) + b"".join(files)

    def decode(self, data: bytes) -> np.ndarray:
        first, second = _LENGTHS.unpack_from(data)
        start = _LENGTHS.size
        ends = [start, start + first, start + first + second, len(data)]
        planes = [self._codec.decode(data[a:b])[..., 1] for a, b in itertools.pairwise(ends)]
        return np.stack(planes, axis=-1)
