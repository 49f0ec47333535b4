"""The two protocols: what of a measured point counts as its rate and as its quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from evaluation.measurement.points import Point, ms_ssim_db


@dataclass(frozen=True)
class Metric:
    """A measure of quality, of which more is better.

    Attributes:
        key: Its name in code and file names.
        label: Its name for people.
        unit: "dB", or empty.
        field: Of `Point`: what is averaged over pictures.
        stand_in: Field of `Point` that is taken where `field` is None; empty for none.
        stand_in_note: What that does to a comparison.
        decibels: Whether the average becomes dB as MS-SSIM does. It does so after averaging, since
            of published figures there are no others than averages.
    """

    key: str
    label: str
    unit: str
    field: str
    stand_in: str = ""
    stand_in_note: str = ""
    decibels: bool = False

    @property
    def title(self) -> str:
        """Label and unit, as an axis has them."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    def of(self, point: Point) -> float | None:
        """A point's value, in `unit`; None where it was not measured."""
        return self.mean([point])

    def mean(self, points: Sequence[Point]) -> float | None:
        """Over pictures, in `unit`; None where one of them was not measured."""
        values = [self._raw(point) for point in points]
        if not values or None in values:
            return None
        mean = fmean(values)
        return ms_ssim_db(mean) if self.decibels else mean

    def stands_in(self, point: Point) -> bool:
        """Whether the point has the value of `stand_in` alone."""
        return getattr(point, self.field) is None and self._raw(point) is not None

    def _raw(self, point: Point) -> float | None:
        value = getattr(point, self.field)
        return getattr(point, self.stand_in) if value is None and self.stand_in else value


@dataclass(frozen=True)
class Protocol:
    """One way of counting.

    Attributes:
        name: As `--protocol` takes it.
        title: Name and what is counted; stands in every table and plot.
        unit: Of the rate.
        short_unit: The same for the head of a column.
        samples: Of a pixel: what bits per pixel are divided by to be the rate.
        metrics: What is compared; the first is the one that matters most.
        codecs: What is compared unless something else is asked for, in the order of tables.
        anchor: The codec that BD-rates are against unless another one is asked for.
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
        """In `unit`, header included."""
        return point.bpp / self.samples


_MS_SSIM = Metric("ms_ssim_db", "MS-SSIM", "dB", "ms_ssim", decibels=True)

# By Jensen's inequality: the logarithm of a mean is not below the mean of the logarithms.
_NEVER_BELOW = (
    "PSNR as published, the mean of the channels'; it is never below that of the mean squared "
    "error, so the comparison is in this codec's favour"
)
_NEVER_ABOVE = (
    "only the PSNR of the mean squared error was measured; it is never above the mean of the "
    "channels', so the comparison is against this codec"
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
