"""Interface of a codec that the evaluation measures."""

import abc

import numpy as np


class Codec(abc.ABC):
    """Still-picture codec with one setting, its quality.

    Attributes:
        name: Name of the codec with its options, as the flag `--codec` takes it.
        display_name: Name of the codec in tables and plots.
        extension: Extension of its files, with the dot.
        settings: Fixed settings besides the quality, as text for people.
        qualities: Qualities that are measured by default, the coarsest first.
        quality_range: Both ends of the quality scale, the coarsest first. If a smaller number means
            a better picture, the larger number comes first.
        integer_qualities: Whether the scale has whole numbers only.
    """

    name: str
    display_name: str
    extension: str
    settings: str
    qualities: tuple[float, ...]
    quality_range: tuple[float, float]
    integer_qualities: bool = True

    @abc.abstractmethod
    def version(self) -> str:
        """Return the version of the library or program that does the coding.

        Raises:
            MissingCoderError: The library or program is not installed.
        """

    @abc.abstractmethod
    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        """Encode a picture with one thread.

        Args:
            samples: uint8 RGB `[height, width, 3]`.
            quality: Quality on the codec's scale.

        Returns:
            The content of a whole file.
        """

    @abc.abstractmethod
    def decode(self, data: bytes) -> np.ndarray:
        """Decode the content of a file to uint8 RGB `[height, width, 3]`."""

    def prepare(self) -> None:
        """Load what is loaded once in a process, so that no point's time or memory includes it."""
        grey = np.full((64, 64, 3), 128, np.uint8)
        self.decode(self.encode(grey, self.qualities[-1]))

    def details(self, samples: np.ndarray, data: bytes) -> dict[str, float]:
        """Return further fields of the `Point` of a coded picture; this is not timed.

        Args:
            samples: The original, uint8 RGB `[height, width, 3]`.
            data: The coded file.
        """
        del samples, data
        return {}

    def encode_to_rate(self, samples: np.ndarray, target_bpp: float) -> tuple[bytes, float | None]:
        """Encode a picture at the quality whose file is nearest to a rate.

        Args:
            samples: uint8 RGB `[height, width, 3]`.
            target_bpp: Bits per pixel of the whole file.

        Returns:
            The file and its quality, or `None` in place of the quality if the codec took the rate
            itself.
        """
        height, width, _ = samples.shape
        coarse, fine = self.quality_range
        tried: dict[float, bytes] = {}

        def bpp(quality: float) -> float:
            if quality not in tried:
                tried[quality] = self.encode(samples, quality)
            return 8 * len(tried[quality]) / (height * width)

        # Bisection, because the rate may jump between qualities; 1/1000 of a scale is fine enough.
        while abs(fine - coarse) > (
            1 if self.integer_qualities else abs(self.quality_range[1]) / 1000 + 0.01
        ):
            middle = (coarse + fine) / 2
            middle = round(middle) if self.integer_qualities else middle
            if bpp(middle) < target_bpp:
                coarse = middle
            else:
                fine = middle
        quality = min((coarse, fine), key=lambda q: abs(bpp(q) - target_bpp))
        return tried[quality], quality
