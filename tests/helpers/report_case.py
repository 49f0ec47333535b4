"""A small report for tests: flat pictures whose colours identify picture, codec and rate."""

import datetime
import itertools

import numpy as np
from PIL import Image

from evaluation.measurement.points import Point
from evaluation.report import ComparedPicture, Reconstruction, Section, write_report
from tests.helpers.paths import DEMO_PHOTO

HEIGHT, WIDTH = 200, 320
CODECS = ("smapcomp", "bpg-444", "jpeg-420")
DISPLAY_NAMES = {"smapcomp": "smapcomp", "bpg-444": "BPG 4:4:4", "jpeg-420": "JPEG 4:2:0"}
RATES = (0.25, 0.5)
PICTURES = ("kodim02", "kodim10")
# Pictures with points; the last one is not among the compared pictures.
MEASURED = (*PICTURES, "kodim01")
QUALITIES = (20.0, 40.0, 60.0)
# Colours of the originals; those of the reconstructions differ from them and from each other.
ORIGINAL_COLOURS = {"kodim02": (240, 240, 0), "kodim10": (0, 240, 240)}
MISSING = ("kodim10", "jpeg-420", 0.5)


def colour(picture, codec, rate):
    """Return the RGB colour of a flat picture."""
    if codec == "original":
        return ORIGINAL_COLOURS[picture]
    return (40 + 100 * PICTURES.index(picture), 60 * CODECS.index(codec), int(400 * rate))


def flat(rgb):
    """Return a picture of one colour, uint8 [HEIGHT, WIDTH, 3]."""
    return np.full((HEIGHT, WIDTH, 3), rgb, np.uint8)


def points(pictures=MEASURED, codecs=CODECS):
    """Return a point for each codec, picture and quality; BPG has no SSIMULACRA2."""
    made = []
    for picture, codec, quality in itertools.product(pictures, codecs, QUALITIES):
        rate = 0.01 * quality * (1 + 0.2 * codecs.index(codec))
        psnr = 20 + 0.2 * quality + pictures.index(picture) - codecs.index(codec)
        made.append(
            Point(
                codec=codec,
                version="1.2",
                settings="default",
                picture=picture,
                width=WIDTH,
                height=HEIGHT,
                quality=quality,
                bytes=round(rate * HEIGHT * WIDTH / 8),
                bpp=rate,
                psnr=psnr,
                psnr_planes=psnr + 0.5,
                ms_ssim=0.9 + quality / 1000,
                ssimulacra2=None if codec == "bpg-444" else quality - 30,
                environment="0123abcd",
            )
        )
    return made


def reconstruction(picture, codec, rate, image=None, display_name=None):
    """Return a reconstruction whose numbers identify it."""
    number = 1 + CODECS.index(codec) if codec in CODECS else 9
    return Reconstruction(
        codec=codec,
        display_name=display_name or DISPLAY_NAMES.get(codec, codec),
        target_bpp=rate,
        quality=10 * number,
        bytes=1000 * number + int(1000 * rate),
        bpp=rate * 1.04,
        psnr=30 + number + rate,
        ms_ssim=0.9 + number / 100,
        ssimulacra2=None if codec == "bpg-444" else 40.0 + number,
        image=flat(colour(picture, codec, rate)) if image is None else image,
    )


def pictures():
    """Return two flat pictures; one codec lacks one rate of the second."""
    return [
        ComparedPicture(
            name,
            flat(ORIGINAL_COLOURS[name]),
            [
                reconstruction(name, codec, rate)
                for codec, rate in itertools.product(CODECS, RATES)
                if (name, codec, rate) != MISSING
            ],
        )
        for name in PICTURES
    ]


def photo():
    """Return a part of a photograph, uint8 [96, 128, 3]."""
    return np.asarray(Image.open(DEMO_PHOTO).convert("RGB"))[:96, :128]


def write(path, **changes):
    """Write a report of all of the above, except for the arguments in `changes`."""
    content = {
        "title": "A small report",
        "summary": "One thing.\n\nAnother thing.",
        "sections": [Section("First results", "<p>A table.</p>")],
        "points": points(),
        "pictures": pictures(),
        "environments": {"0123abcd": {"processor": "A processor", "packages": {"numpy": "2.0"}}},
        "protocols": {"fair": CODECS, "paper": ("smapcomp", "bpg-444")},
        "display_names": DISPLAY_NAMES,
        "commands": ["python -m evaluation.evaluate --pictures=kodak"],
        "made": datetime.date(2026, 11, 5),
    }
    write_report(path, **(content | changes))
