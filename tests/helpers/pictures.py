"""Small pictures and label maps, in memory and as files."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from smapcomp.pictures.image_files import read_picture


def read_samples(path, **options):
    """Return the samples of a picture file; options are those of `read_picture`."""
    return read_picture(path, **options).samples


def smooth_picture(seed, height, width, top=256):
    """Return a smooth picture, uint8 [height, width, 3] below `top`, which suits JPEG."""
    coarse = np.random.default_rng(seed).integers(0, top, (3, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def block_labels(seed, height, width, top=151):
    """Return a label map, uint8 [height, width] below `top`, of nine blocks."""
    coarse = np.random.default_rng(seed).integers(0, top, (3, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST))


def encode_image(array, file_format="PNG", **options):
    """Return the bytes of a picture file; options are those of Pillow's format."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, file_format, **options)
    return buffer.getvalue()


def write_labelled_pictures(root, split="training", count=12, suffix=".jpg", label_top=151):
    """Write pictures and annotations in the layout of ADEChallengeData2016.

    Sizes differ from picture to picture, and every fourth picture is grey.

    Args:
        root: Folder of the data set.
        split: Split to write.
        count: Number of pictures.
        suffix: Extension of the pictures, ".jpg" or ".png".
        label_top: Number above all labels.

    Returns:
        The sorted names without extension.
    """
    root = Path(root)
    for kind in ("images", "annotations"):
        (root / kind / split).mkdir(parents=True, exist_ok=True)
    names = []
    for number in range(count):
        height, width = 24 + number % 12, 40 - number % 12
        image = smooth_picture(number, height, width)
        if number % 4 == 3:
            image = image[..., 0]
        options = {"quality": 90, "subsampling": number % 3} if suffix == ".jpg" else {}
        name = f"p{number:02}"
        file_format = "JPEG" if suffix == ".jpg" else "PNG"
        data = encode_image(image, file_format, **options)
        (root / "images" / split / (name + suffix)).write_bytes(data)
        labels = block_labels(number, height, width, label_top)
        (root / "annotations" / split / f"{name}.png").write_bytes(encode_image(labels))
        names.append(name)
    return names
