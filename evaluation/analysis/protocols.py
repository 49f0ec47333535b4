"""The two protocols, which say how rate and quality of a measured point are counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from evaluation.measurement.points import Point, ms_ssim_db


@dataclass(frozen=True)
class Metric:
    """A measure of quality; a larger value is better.

    Attributes:
        key: Name in code and in file names.
        name: Name for people.
        unit: "dB", or empty.
        field: Field of `Point` that is averaged over pictures.
        fallback_field: Field of `Point` to use if `field` is `None`; empty for none.
        fallback_note: How the use of `fallback_field` changes a comparison.
        decibels: Whether the mean is converted to dB as for MS-SSIM. The conversion follows the
            averaging, because only averages were published.
    """

    key: str
    name: str
    unit: str
    field: str
    fallback_field: str = ""
    fallback_note: str = ""
    decibels: bool = False

    @property
    def title(self) -> str:
        """Name and unit, for an axis."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    def value(self, point: Point) -> float | None:
        """Return a point's value in `unit`; `None` if it was not measured."""
        return self.mean([point])

    def mean(self, points: Sequence[Point]) -> float | None:
        """Return the mean over pictures in `unit`; `None` if one of them was not measured."""
        values = [self._raw(point) for point in points]
        if not values or None in values:
            return None
        mean = fmean(values)
        return ms_ssim_db(mean) if self.decibels else mean

    def uses_fallback(self, point: Point) -> bool:
        """Return whether the point has `fallback_field` only."""
        return getattr(point, self.field) is None and self._raw(point) is not None

    def _raw(self, point: Point) -> float | None:
        value = getattr(point, self.field)
        return (
            getattr(point, self.fallback_field) if value is None and self.fallback_field else value
        )


@dataclass(frozen=True)
class Protocol:
    """A way to count rate and quality.

    Attributes:
        name: Name, as the flag `--protocol` takes it.
        title: Name and what is counted, for the title of tables and plots.
        unit: Unit of the rate.
        short_unit: The same for the head of a column.
        samples: Divisor that turns bits per pixel into the rate: 1, or the 3 samples of a pixel.
        metrics: Metrics to compare, the most important first.
        codecs: Codecs to compare by default, in the order of tables.
        anchor: Default codec to compute BD-rates against.
    """

    name: str
    title: str
    unit: str
    short_unit: str
    samples: int
    metrics: tuple[Metric, ...]
    codecs: tuple[str, ...]
    anchor: str

    def rate(self, point: Point) -> float:
        """Return a point's rate in `unit`, header included."""
        return point.bpp / self.samples


_MS_SSIM = Metric("ms_ssim_db", "MS-SSIM", "dB", "ms_ssim", decibels=True)

# By Jensen's inequality: the logarithm of a mean is at least the mean of the logarithms.
_NEVER_BELOW = (
    "the published PSNR is the mean of the channels' PSNR, which is never below the PSNR of the "
    "mean squared error, so the comparison favours this codec"
)
_NEVER_ABOVE = (
    "only the PSNR of the mean squared error was measured, which is never above the mean of the "
    "channels' PSNR, so the comparison is unfavourable to this codec"
)

FAIR = Protocol(
    name="fair",
    title="fair: bits per pixel of the whole file; PSNR of the mean squared error over RGB",
    unit="bits per pixel",
    short_unit="bpp",
    samples=1,
    metrics=(
        Metric("psnr", "PSNR", "dB", "psnr", "psnr_planes", _NEVER_BELOW),
        _MS_SSIM,
        Metric("ssimulacra2", "SSIMULACRA2", "", "ssimulacra2"),
    ),
    codecs=(
        "smapcomp",
        "bpg-444",
        "avif-444-psnr-s4",
        "avif-444-default-s6",
        "heic-444",
        "jxl-e7",
        "webp-m6",
        "jpeg2000",
        "jpeg-420",
        "edms-published",
    ),
    anchor="bpg-444",
)

PAPER = Protocol(
    name="paper",
    title="paper: bits per sample, a third of the bits per pixel; mean of the channels' PSNR",
    unit="bits per sample",
    short_unit="bits/sample",
    samples=3,
    metrics=(
        Metric("psnr_planes", "PSNR", "dB", "psnr_planes", "psnr", _NEVER_ABOVE),
        _MS_SSIM,
    ),
    codecs=(
        "smapcomp",
        "edms-design",
        "dsslic-design",
        "bpg-rgb",
        "webp-planes",
        "jpeg2000-planes",
        "jpeg-planes",
        "edms-published",
        "bpg-rgb-published",
    ),
    anchor="bpg-rgb-published",
)

PROTOCOLS = {protocol.name: protocol for protocol in (FAIR, PAPER)}
"""Name to protocol."""
