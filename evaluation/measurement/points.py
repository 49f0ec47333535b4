"""Measured points, one for each codec, picture and quality, and their files."""

import csv
import dataclasses
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path

from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files


@dataclass(frozen=True)
class Point:
    """One picture, coded by one codec to a file and decoded from that file.

    A value that was not measured, or does not exist for the codec, is `None`, and empty in a CSV
    file.

    Attributes:
        codec: Name with options, as the flag `--codec` takes it; for reference points, the name of
            the codec that they are of.
        version: Version of the codec's library or program; for smapcomp, with a digest of the
            weights.
        settings: Fixed settings besides the quality, as text for people.
        picture: File name without the extension; "mean" if only a mean over pictures was published.
        width: Width in pixels.
        height: Height in pixels.
        quality: Quality on the codec's own scale; `None` if a rate was asked for instead.
        bytes: Size of the whole file, headers included.
        bpp: Bits per pixel: 8 · bytes / (width · height).
        psnr: PSNR in dB, from the mean squared error over all RGB samples.
        psnr_planes: Mean of the PSNR of R, G and B in dB.
        ms_ssim: MS-SSIM over RGB, 0..1; `None` for pictures with a side under 161 pixels.
        ssimulacra2: SSIMULACRA2, at most 100.
        encode_seconds: Processor time of all threads and started programs, without what is done
            once in a process, such as loading networks.
        decode_seconds: The same for decoding.
        peak_memory_mib: Peak resident memory of the process while it encoded and decoded, in MiB.
        environment: Key of the environment in which the point was measured.
        compact_bpp: Bits per pixel of the compact layer.
        labels_bpp: Bits per pixel of the label layer.
        residual_bpp: Bits per pixel of the residual layer.
        header_bpp: Bits per pixel of the header.
        prediction_psnr: PSNR of FineNet's prediction in dB.
        upsampled_psnr: PSNR of the up-sampled compact picture, FineNet's input, in dB.
    """

    codec: str
    version: str
    settings: str
    picture: str
    width: int
    height: int
    quality: float | None
    bytes: int | None
    bpp: float
    psnr: float | None
    psnr_planes: float | None = None
    ms_ssim: float | None = None
    ssimulacra2: float | None = None
    encode_seconds: float | None = None
    decode_seconds: float | None = None
    peak_memory_mib: float | None = None
    environment: str = ""
    compact_bpp: float | None = None
    labels_bpp: float | None = None
    residual_bpp: float | None = None
    header_bpp: float | None = None
    prediction_psnr: float | None = None
    upsampled_psnr: float | None = None

    @property
    def ms_ssim_db(self) -> float | None:
        """MS-SSIM in dB: −10 log10(1 − MS-SSIM)."""
        return None if self.ms_ssim is None else ms_ssim_db(self.ms_ssim)

    @property
    def bits_per_sample(self) -> float:
        """Bits per sample, which the papers' plots call bpp: a third of `bpp`."""
        return self.bpp / 3


FIELDS = tuple(field.name for field in dataclasses.fields(Point))
"""Columns of the CSV file."""
_TEXT_FIELDS = ("codec", "version", "settings", "picture", "environment")
_INTEGER_FIELDS = ("width", "height", "bytes")


def ms_ssim_db(ms_ssim: float) -> float:
    """Convert MS-SSIM in 0..1 to dB; 1 becomes infinity."""
    return math.inf if ms_ssim >= 1 else -10 * math.log10(1 - ms_ssim)


def read_points(path: str | Path) -> list[Point]:
    """Read the points of a CSV file.

    Raises:
        SmapcompError: The file has other columns, or a line that cannot be read.
    """
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SmapcompError(f"{path}: cannot be read: {error}") from error
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != FIELDS:
        raise SmapcompError(f"{path}: not a file of measured points; it has other columns")
    points = []
    for row in reader:
        try:
            points.append(Point(**{name: _value(name, row[name]) for name in FIELDS}))
        except (TypeError, ValueError) as error:
            message = f"{path}: line {reader.line_num} cannot be read: {error}"
            raise SmapcompError(message) from error
    return points


def write_points(path: str | Path, points: list[Point]) -> None:
    """Write points as a CSV file or, if the name ends in .json, as a list of objects.

    JSON has no infinity: the PSNR of an exactly restored picture is null there.
    """
    if str(path).endswith(".json"):
        rows = [
            {k: None if v == math.inf else v for k, v in dataclasses.asdict(point).items()}
            for point in points
        ]
        text = json.dumps(rows, indent=1) + "\n"
    else:
        file = io.StringIO()
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        for point in points:
            writer.writerow({name: _text(getattr(point, name)) for name in FIELDS})
        text = file.getvalue()
    image_files.write_file(path, text.encode("utf-8"), overwrite=True)


def _value(name: str, text: str) -> str | int | float | None:
    if name in _TEXT_FIELDS:
        return text
    if not text:
        return None
    return int(text) if name in _INTEGER_FIELDS else float(text)


def _text(value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
