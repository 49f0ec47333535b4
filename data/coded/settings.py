"""How the compact images are coded that lossy FineNets learn from; imports no framework."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from smapcomp.codec.coders import av1

QUALITIES = {1: (4, 97), 2: (10, 97), 4: (15, 98), 8: (20, 98)}
"""Lowest and highest quality by compact scale, decided here: a smaller compact image is worth
coding finer, as each of its samples stands for more pixels."""

SPEED = av1.DEFAULT_SPEED
"""Of libaom: the codec's own, since faster ones leave other artefacts."""


@dataclass(frozen=True)
class CompactSettings:
    """How compact images are made; part of `manifest.Manifest.settings`.

    Attributes:
      scale: 1, 2, 4 or 8, by which the compact image is smaller.
      passes: how often each picture is coded.
      seed: of the qualities.
      qualities: lowest and highest, 0..100 on AVIF's scale; all between are equally likely.
      speed: of libaom, 0..10.

    Raises:
      ValueError: a value is not allowed.
    """

    scale: int
    passes: int = 1
    seed: int = 0
    qualities: tuple[int, int] = ()
    speed: int = SPEED

    def __post_init__(self):
        if self.scale not in QUALITIES:
            allowed = ", ".join(map(str, QUALITIES))
            raise ValueError(f"scale must be one of {allowed}, got {self.scale}")
        qualities = tuple(self.qualities) or QUALITIES[self.scale]
        object.__setattr__(self, "qualities", qualities)
        if len(qualities) != 2 or not 0 <= qualities[0] <= qualities[1] <= 100:
            raise ValueError(f"qualities must be 0 <= lowest <= highest <= 100, got {qualities}")
        if self.passes < 1 or not 0 <= self.speed <= 10:
            raise ValueError(
                f"passes must be at least 1 and speed 0..10, got {self.passes}, {self.speed}"
            )

    def quality(self, name: str, number: int) -> int:
        """The quality of a picture in a pass: a function of the seed, the name and the number."""
        lowest, highest = self.qualities
        digest = hashlib.sha256(f"{self.seed} {number} {self.scale} {name}".encode()).digest()
        return lowest + int.from_bytes(digest[:8], "big") % (highest - lowest + 1)
