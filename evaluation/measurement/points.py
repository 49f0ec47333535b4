"""Measured points, one a codec, picture and quality, and the tidy files that hold them."""

import csv
import dataclasses
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path

from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files as image_io


@dataclass(frozen=True)
class Point:
    """One picture, coded once by one codec to a file, and decoded from that file.

    What was not measured, or does not exist for a codec, is None, and empty in a file.

    Attributes:
        codec: Name in `codecs.NAMES`, with options if it has any, as `--codecs` takes it; of
            reference figures, the name of the codec that was measured for them.
        version: Of the codec's library or program; of smapcomp, with the digest of its weights.
        settings: What the codec was told apart from the quality, to be read by people.
        picture: File name without the extension; "mean" where only a mean was published.
        width, height: Of the picture, pixels.
        quality: On the codec's own scale; None where it was asked for a rate instead.
        bytes: Of the whole file, headers included.
        bpp: 8 bytes / (width height): bits per pixel.
        psnr: dB, from the mean squared error over all RGB samples.
        psnr_planes: dB, mean of the PSNR of R, G and B.
        ms_ssim: Over RGB, 0..1; None under 161 pixels a side.
        ssimulacra2: Up to 100.
        encode_seconds, decode_seconds: Processor time, of all threads and programs started. What
            is done once in a process, such as loading networks, is not in it.
        peak_memory_mib: Highest resident memory of the process while it encoded and decoded, MiB.
        environment: Key in the environments file, of where it was measured.
        compact_bpp, labels_bpp, residual_bpp, header_bpp: Of a stream's layers, bits per pixel.
        prediction_psnr, upsampled_psnr: dB, of FineNet's prediction and of the compact picture
            that it starts from.
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
        """−10 log10(1 − MS-SSIM): spreads what is close to 1."""
        return None if self.ms_ssim is None else ms_ssim_db(self.ms_ssim)

    @property
    def bits_per_sample(self) -> float:
        """A third of `bpp`, for three samples a pixel: what the papers' plots call bpp."""
        return self.bpp / 3


FIELDS = tuple(field.name for field in dataclasses.fields(Point))
_TEXT = ("codec", "version", "settings", "picture", "environment")
_WHOLE = ("width", "height", "bytes")


def ms_ssim_db(ms_ssim: float) -> float:
    """MS-SSIM in dB; infinity for 1."""
    return math.inf if ms_ssim >= 1 else -10 * math.log10(1 - ms_ssim)


def read_points(path: str | Path) -> list[Point]:
    """The points of a CSV file.

    Raises:
        SmapcompError: It has other columns, or a line that does not read.
    """
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SmapcompError(f"{path}: does not read: {error}") from error
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != FIELDS:
        raise SmapcompError(f"{path}: not a file of measured points; it has other columns")
    points = []
    for row in reader:
        try:
            points.append(Point(**{name: _value(name, row[name]) for name in FIELDS}))
        except (TypeError, ValueError) as error:
            raise SmapcompError(f"{path}: line {reader.line_num} does not read: {error}") from error
    return points


def write_points(path: str | Path, points: list[Point]) -> None:
    """Writes a CSV file, or, where the name ends in .json, a list of objects.

    JSON has no infinity: the PSNR of a picture that came back exactly is null there.
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
    image_io.write_file(path, text.encode("utf-8"), overwrite=True)


def _value(name: str, text: str) -> str | int | float | None:
    if name in _TEXT:
        return text
    if not text:
        return None
    return int(text) if name in _WHOLE else float(text)


def _text(value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
