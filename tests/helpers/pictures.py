"""Small pictures and annotations on disk, for the tests of the data package."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def smooth(seed, height, width, top=256):
    """uint8 [height, width, 3] below `top`, of a few colours: what JPEG is made for."""
    coarse = np.random.default_rng(seed).integers(0, top, (3, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def blocks(seed, height, width, top=151):
    """Label map uint8 [height, width] of blocks."""
    coarse = np.random.default_rng(seed).integers(0, top, (3, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST))


def encoded(array, file_format="PNG", **options):
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, file_format, **options)
    return buffer.getvalue()


def write_pairs(root, split="training", count=12, suffix=".jpg", label_top=151):
    """Writes pairs in ADEChallengeData2016's layout; every fourth picture is grey.

    Returns:
      The names, in order.
    """
    root = Path(root)
    for kind in ("images", "annotations"):
        (root / kind / split).mkdir(parents=True, exist_ok=True)
    names = []
    for number in range(count):
        height, width = 24 + number % 12, 40 - number % 12
        image = smooth(number, height, width)
        if number % 4 == 3:
            image = image[..., 0]
        options = {"quality": 90, "subsampling": number % 3} if suffix == ".jpg" else {}
        name = f"p{number:02}"
        file_format = "JPEG" if suffix == ".jpg" else "PNG"
        data = encoded(image, file_format, **options)
        (root / "images" / split / (name + suffix)).write_bytes(data)
        labels = blocks(number, height, width, label_top)
        (root / "annotations" / split / f"{name}.png").write_bytes(encoded(labels))
        names.append(name)
    return names
