"""JPEG, JPEG 2000 and WebP as the papers use them: R, G and B as three separate grey files."""

import itertools
import struct

import numpy as np

from evaluation.codecs.base import Codec

_LENGTHS = struct.Struct(">II")


class Planes(Codec):
    """Another codec, applied to each colour plane.

    The file contains the lengths of the first two plane files and then the three plane files. The
    lengths add 8 bytes to what the papers count.

    Args:
        codec: Codec of the planes; it must accept grey `[height, width, 1]`.
        name: As in `Codec`.
        display_name: As in `Codec`.
    """

    integer_qualities: bool

    def __init__(self, codec: Codec, name: str, display_name: str) -> None:
        self.name, self.display_name, self.extension = name, display_name, codec.extension + "3"
        self.settings = f"{codec.settings} on R, G, B".strip()
        self.qualities, self.quality_range = codec.qualities, codec.quality_range
        self.integer_qualities = codec.integer_qualities
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
