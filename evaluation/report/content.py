"""Content of a report, besides measured points."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Section:
    """A section of the results.

    Attributes:
        title: Plain text.
        html: HTML by `markdown_table_to_html`, `plot_to_html` or by hand. It is inserted as it is,
            except that the ids in SVG elements are made unique.
    """

    title: str
    html: str


@dataclass(frozen=True)
class Reconstruction:
    """A picture, coded by one codec near one rate and decoded.

    Attributes:
        codec: Name of the codec, as in `Point`.
        display_name: Name for people.
        target_bpp: Requested bits per pixel.
        quality: Quality on the codec's own scale; `None` if the codec took the rate itself.
        bytes: Size of the whole file.
        bpp: Bits per pixel of the whole file.
        psnr: PSNR over all RGB samples in dB.
        ms_ssim: MS-SSIM over RGB, 0..1.
        ssimulacra2: SSIMULACRA2, at most 100.
        image: Decoded picture, uint8 RGB `[height, width, 3]`.
    """

    codec: str
    display_name: str
    target_bpp: float
    quality: float | None
    bytes: int
    bpp: float
    psnr: float | None
    ms_ssim: float | None
    ssimulacra2: float | None
    image: np.ndarray


@dataclass(frozen=True)
class ComparedPicture:
    """A picture of the slider.

    Attributes:
        name: Name of the picture, as in `Point`.
        original: uint8 RGB `[height, width, 3]`.
        reconstructions: At most one for each codec and rate; some may be missing.
    """

    name: str
    original: np.ndarray
    reconstructions: list[Reconstruction]
