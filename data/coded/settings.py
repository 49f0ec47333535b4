"""Settings of the coding of compact images; loads no TensorFlow, Keras or JAX."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from smapcomp.codec.coders import av1

QUALITY_RANGES = {1: (4, 97), 2: (10, 97), 4: (15, 98), 8: (20, 98)}
"""Default range of qualities for each compact scale. A smaller compact image is worth finer coding,
since each of its samples stands for more pixels."""

SPEED = av1.DEFAULT_SPEED
"""Default speed of libaom: that of the codec, since faster ones leave other artefacts."""


@dataclass(frozen=True)
class CompactCodingSettings:
    """How compact images are coded; the entry `compact` of a manifest's settings.

    Attributes:
        scale: How many times smaller the sides of the compact image are: 1, 2, 4 or 8.
        passes: Number of times that each picture is coded.
        seed: Seed of the qualities.
        qualities: Lowest and highest quality, 0..100 on AVIF's scale; all between are equally
            likely. Empty for the default range of the scale.
        speed: Speed of libaom, 0..10.

    Raises:
        ValueError: A value is not allowed.
    """

    scale: int
    passes: int = 1
    seed: int = 0
    qualities: tuple[int, ...] = ()
    speed: int = SPEED

    def __post_init__(self):
        if self.scale not in QUALITY_RANGES:
            allowed = ", ".join(map(str, QUALITY_RANGES))
            raise ValueError(f"scale must be one of {allowed}, got {self.scale}")
        qualities = tuple(self.qualities) or QUALITY_RANGES[self.scale]
        object.__setattr__(self, "qualities", qualities)
        if len(qualities) != 2 or not 0 <= qualities[0] <= qualities[1] <= 100:
            raise ValueError(f"qualities must be 0 <= lowest <= highest <= 100, got {qualities}")
        if self.passes < 1 or not 0 <= self.speed <= 10:
            raise ValueError(
                f"passes must be at least 1 and speed 0..10, got {self.passes}, {self.speed}"
            )

    def quality(self, name: str, number: int) -> int:
        """Return the quality of a picture in a pass.

        It depends on the arguments, the seed, the scale and the range alone.

        Args:
            name: Name of the picture.
            number: Number of the pass, from 0.
        """
        lowest, highest = self.qualities
        digest = hashlib.sha256(f"{self.seed} {number} {self.scale} {name}".encode()).digest()
        return lowest + int.from_bytes(digest[:8], "big") % (highest - lowest + 1)
