"""What a caller puts into a report, beside measured points."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Section:
    """A part of the results.

    Attributes:
        title: Plain text.
        html: Made by `markdown_table_to_html`, `plot_to_html` or by hand; goes in as it is, but
            that the ids of SVG pictures are made unique.
    """

    title: str
    html: str


@dataclass(frozen=True)
class Shown:
    """What one codec made of a picture near one rate.

    Attributes:
        codec: As in `Point`.
        label: For people.
        target_bpp: Bits per pixel that were aimed at.
        quality: On the codec's own scale; None where it was asked for a rate instead.
        bytes: Of the whole file.
        bpp: Of the whole file, bits per pixel.
        psnr: dB, over all RGB samples.
        ms_ssim: Over RGB, 0..1.
        ssimulacra2: Up to 100.
        image: Reconstruction, uint8 RGB `[height, width, 3]`.
    """

    codec: str
    label: str
    target_bpp: float
    quality: float | None
    bytes: int
    bpp: float
    psnr: float | None
    ms_ssim: float | None
    ssimulacra2: float | None
    image: np.ndarray


@dataclass(frozen=True)
class ShownPicture:
    """A picture of the slider.

    Attributes:
        name: As `Point.picture` has it.
        original: uint8 RGB `[height, width, 3]`.
        shown: Of each codec and rate at most one; some may be missing.
    """

    name: str
    original: np.ndarray
    shown: list[Shown]
