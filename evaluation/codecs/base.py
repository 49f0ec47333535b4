"""What the evaluation asks of a codec."""

import abc

import numpy as np


class Codec(abc.ABC):
    """A still-picture codec with one setting, its quality.

    Attributes:
        name: As `--codecs` takes it.
        label: For tables and plots.
        extension: Of its files, with the dot.
        settings: What it is told apart from the quality, to be read by people.
        qualities: The ladder that is measured unless another is asked for, from the coarsest on.
        quality_range: The two ends of its scale, the coarsest first; a codec whose scale falls
            with quality has the larger number first.
        whole: Whether only whole qualities exist.
    """

    name: str
    label: str
    extension: str
    settings: str
    qualities: tuple[float, ...]
    quality_range: tuple[float, float]
    whole: bool = True

    @abc.abstractmethod
    def version(self) -> str:
        """Of the library or program that does it.

        Raises:
            MissingCoderError: It is not installed.
        """

    @abc.abstractmethod
    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        """A whole file of uint8 RGB `[height, width, 3]`, by one thread."""

    @abc.abstractmethod
    def decode(self, data: bytes) -> np.ndarray:
        """uint8 RGB `[height, width, 3]` of such a file."""

    def prepare(self) -> None:
        """Loads what is loaded once in a process, so that no point's time or memory has it."""
        grey = np.full((64, 64, 3), 128, np.uint8)
        self.decode(self.encode(grey, self.qualities[-1]))

    def details(self, samples: np.ndarray, data: bytes) -> dict[str, float]:
        """Further fields of the `Point` of a coded picture; not timed."""
        del samples, data
        return {}

    def encode_at(self, samples: np.ndarray, target_bpp: float) -> tuple[bytes, float | None]:
        """The file nearest to a rate, and its quality, if it has one.

        Args:
            samples: uint8 RGB `[height, width, 3]`.
            target_bpp: Bits per pixel of the whole file.
        """
        height, width, _ = samples.shape
        coarse, fine = self.quality_range
        tried: dict[float, bytes] = {}

        def bpp(quality: float) -> float:
            if quality not in tried:
                tried[quality] = self.encode(samples, quality)
            return 8 * len(tried[quality]) / (height * width)

        # Halving: a rate may jump, so no slope is relied on. 1/1000 of a scale is enough of it.
        while abs(fine - coarse) > (1 if self.whole else abs(self.quality_range[1]) / 1000 + 0.01):
            middle = (coarse + fine) / 2
            middle = round(middle) if self.whole else middle
            if bpp(middle) < target_bpp:
                coarse = middle
            else:
                fine = middle
        quality = min((coarse, fine), key=lambda q: abs(bpp(q) - target_bpp))
        return tried[quality], quality
