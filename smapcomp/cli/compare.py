"""The sub-command `compare`."""

import json
import math
from collections.abc import Sequence

import numpy as np
from absl import flags

from smapcomp import metrics
from smapcomp.cli.command import Command, UsageError, define_json
from smapcomp.cli.standard_streams import DASH, input_file, input_name
from smapcomp.errors import SmapcompError
from smapcomp.files import picture_file
from smapcomp.pictures import image_files
from smapcomp.pictures.picture import Picture


def run(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Print PSNR and MS-SSIM of two pictures, and whether they have the same alpha."""
    if list(arguments) == [DASH, DASH]:
        raise UsageError("- and - together; standard input is one picture")
    pictures = tuple(map(_read, arguments))
    a, b = (_as_rgb(picture.samples) for picture in pictures)
    if a.shape != b.shape:
        sizes = " and ".join(f"{x.shape[1]}x{x.shape[0]}" for x in (a, b))
        names = " and ".join(map(input_name, arguments))
        raise SmapcompError(f"{names} are of different sizes: {sizes}")
    visible, same_alpha = _visible_pixels(*pictures)
    psnr, ms_ssim = metrics.psnr(a, b, visible), metrics.ms_ssim(a, b, visible)
    alpha = "identical" if same_alpha else "differs"
    if values.json:
        # JSON has no infinity: equal pictures have a null PSNR.
        scores = {
            "width": a.shape[1],
            "height": a.shape[0],
            "identical": math.isinf(psnr) and same_alpha,
            "alpha": alpha,
            "psnr": None if math.isinf(psnr) else psnr,
            "ms_ssim": ms_ssim,
        }
        print(json.dumps(scores, indent=2))
        return 0
    print(f"PSNR     {psnr:.3f} dB")
    too_small = f"none (a side is under {metrics.MS_SSIM_MIN_SIDE} pixels)"
    print(f"MS-SSIM  {too_small if ms_ssim is None else f'{ms_ssim:.5f}'}")
    if visible is not None:
        print(f"alpha    {alpha}")
    return 0


def _read(argument: str) -> Picture:
    with picture_file(input_file(argument)) as path:
        return image_files.read_picture(path)


def _visible_pixels(a: Picture, b: Picture) -> tuple[np.ndarray | None, bool]:
    """Return which pixels are visible in either picture, and whether the alpha is the same.

    `None` stands for all pixels of two pictures without alpha.
    """
    if a.alpha is None and b.alpha is None:
        return None, True
    first, second = (
        np.full(x.samples.shape[:2], 255, np.uint8) if x.alpha is None else x.alpha for x in (a, b)
    )
    return (first > 0) | (second > 0), np.array_equal(first, second)


def _as_rgb(image: np.ndarray) -> np.ndarray:
    """Repeat a grey channel three times, so that a grey picture can be compared with RGB."""
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


COMMAND = Command(
    ("A B",),
    "Compares the pictures A and B: PSNR and MS-SSIM over RGB of visible pixels, and alpha. One of "
    "them may be - for standard input.",
    ("smapcomp compare photo.png back.png",),
    define_json,
    run,
    (2, 2),
)
