"""The sub-command `compare`."""

import json
import math
from collections.abc import Sequence

import numpy as np
from absl import flags

from smapcomp import metrics
from smapcomp.cli.command import Command, define_json
from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files


def run(values: flags.FlagValues, arguments: Sequence[str]) -> int:
    """Print PSNR and MS-SSIM of two pictures."""
    a, b = (_as_rgb(image_files.read_picture(path).samples) for path in arguments)
    if a.shape != b.shape:
        sizes = " and ".join(f"{x.shape[1]}x{x.shape[0]}" for x in (a, b))
        raise SmapcompError(f"{arguments[0]} and {arguments[1]} are of different sizes: {sizes}")
    psnr, ms_ssim = metrics.psnr(a, b), metrics.ms_ssim(a, b)
    if values.json:
        # JSON has no infinity: equal pictures have a null PSNR.
        scores = {
            "width": a.shape[1],
            "height": a.shape[0],
            "identical": math.isinf(psnr),
            "psnr": None if math.isinf(psnr) else psnr,
            "ms_ssim": ms_ssim,
        }
        print(json.dumps(scores, indent=2))
        return 0
    print(f"PSNR     {psnr:.3f} dB")
    too_small = f"none (a side is under {metrics.MS_SSIM_MIN_SIDE} pixels)"
    print(f"MS-SSIM  {too_small if ms_ssim is None else f'{ms_ssim:.5f}'}")
    return 0


def _as_rgb(image: np.ndarray) -> np.ndarray:
    """Repeat a grey channel three times, so that a grey picture can be compared with RGB."""
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


COMMAND = Command(
    ("A B",),
    "Compares the pictures A and B: PSNR and MS-SSIM over RGB.",
    ("smapcomp compare photo.png back.png",),
    define_json,
    run,
    (2, 2),
)
