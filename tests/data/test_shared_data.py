"""The real Kodak and ADE20K pictures, if they lie beside the repository."""

import numpy as np
import pytest
from PIL import Image

import data
from tests.helpers.paths import SHARED

PICTURES = SHARED / "data"


def _folder(name):
    if not (PICTURES / name).is_dir():
        pytest.skip(f"needs {name} in ../shared/data")
    return PICTURES / name


def test_kodak_pictures_are_the_published_ones():
    source = data.open_source(f"kodak:{_folder('kodak')}")
    assert len(source) == 24
    assert source.name(0) == "kodim01"
    (first,) = data.load(f"kodak:{_folder('kodak')}").take(1).as_numpy_iterator()
    assert first["image"].shape == (512, 768, 3)


def test_ade20k_examples_equal_what_pillow_reads():
    root = _folder("ade20k")
    with data.clear_errors():
        examples = list(data.load(str(root), "validation", labels=True).as_numpy_iterator())
    assert len(examples) == 25
    for example in examples[:5]:
        name = example["name"].decode()
        with Image.open(root / f"images/validation/{name}.jpg") as image:
            np.testing.assert_array_equal(example["image"], image.convert("RGB"))
        with Image.open(root / f"annotations/validation/{name}.png") as labels:
            np.testing.assert_array_equal(example["label_map"], labels)
