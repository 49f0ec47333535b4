"""Pictures of several sizes for measuring time."""

import numpy as np
from PIL import Image

from evaluation.measurement.sizes import SIZES, write_timing_pictures


def test_pictures_of_every_size_are_made_of_central_parts(tmp_path):
    rng = np.random.default_rng(0)
    pictures = []
    for name, (width, height) in {"a": (800, 600), "b": (300, 700)}.items():
        pictures.append(tmp_path / f"{name}.png")
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(pictures[-1])
    files = write_timing_pictures(pictures, tmp_path / "sizes")
    sizes = []
    for file in files:
        with Image.open(file) as image:
            sizes.append(image.size)
    assert sizes == list(SIZES)
    first = np.asarray(Image.open(pictures[0]))
    np.testing.assert_array_equal(Image.open(files[0]), first[236:364, 304:496])
    mosaic = np.asarray(Image.open(files[3]))
    np.testing.assert_array_equal(mosaic[:512, :768], first[44:556, 16:784])
    second = np.asarray(Image.open(pictures[1]))
    np.testing.assert_array_equal(mosaic[:512, 768:1068], second[94:606])
    np.testing.assert_array_equal(mosaic[:512, 1068:1368], second[94:606, ::-1])


def test_existing_pictures_are_kept(tmp_path):
    picture = tmp_path / "a.png"
    Image.new("RGB", (64, 64), (1, 2, 3)).save(picture)
    files = write_timing_pictures([picture], tmp_path / "sizes")
    picture.unlink()
    assert write_timing_pictures([picture], tmp_path / "sizes") == files
