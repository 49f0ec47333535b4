"""`compare` tells whether pictures look alike: metrics of visible pixels, and alpha."""

import json

import numpy as np
import pytest

from smapcomp.cli.main import main
from smapcomp.pictures.image_files import write_picture
from smapcomp.pictures.picture import Picture
from tests.helpers.paths import TRIALS

RGB = np.random.default_rng(2).integers(0, 256, (20, 30, 3), np.uint8)


@pytest.fixture
def compare(capsys):
    def run(*arguments):
        assert main(["smapcomp", "compare", *map(str, arguments)]) in (0, None)
        return capsys.readouterr().out

    return run


def test_pictures_of_other_alpha_are_not_identical(compare):
    paths = TRIALS / "alpha_a.png", TRIALS / "alpha_b.png"
    assert compare(*paths).splitlines()[-1] == "alpha    differs"
    scores = json.loads(compare(*paths, "--json"))
    assert (scores["identical"], scores["alpha"]) == (False, "differs")
    assert compare(paths[0], paths[0]).splitlines()[-1] == "alpha    identical"
    assert json.loads(compare(paths[0], paths[0], "--json"))["identical"]


def test_opaque_and_transparent_pictures_differ(compare, tmp_path):
    glass = np.full((20, 30), 255, np.uint8)
    glass[:5] = 0
    write_picture(tmp_path / "opaque.png", Picture(RGB))
    write_picture(tmp_path / "glass.png", Picture(RGB, glass))
    scores = json.loads(compare(tmp_path / "opaque.png", tmp_path / "glass.png", "--json"))
    assert (scores["identical"], scores["alpha"], scores["psnr"]) == (False, "differs", None)


def test_colours_that_nobody_sees_do_not_count(compare, tmp_path):
    alpha = np.full((20, 30), 200, np.uint8)
    alpha[10:] = 0
    other = RGB.copy()
    other[10:] = 255 - RGB[10:]
    write_picture(tmp_path / "a.png", Picture(RGB, alpha))
    write_picture(tmp_path / "b.png", Picture(other, alpha))
    scores = json.loads(compare(tmp_path / "a.png", tmp_path / "b.png", "--json"))
    assert (scores["identical"], scores["alpha"], scores["psnr"]) == (True, "identical", None)
