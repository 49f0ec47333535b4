"""tools.import_vgg: the .npz file trains like the public file that it was made from."""

import subprocess
import sys

import numpy as np
import pytest

from smapcomp.models.vgg import build_vgg16_features, build_vgg19_features
from tests.golden.weights import draw_image
from tests.helpers.paths import ROOT
from tests.helpers.vgg_files import write_keras_applications_file
from tools import import_vgg


@pytest.mark.parametrize(
    ("depth", "build", "convs", "parameters"),
    [
        (16, build_vgg16_features, (2, 2, 3, 3, 3), 9_995_072),
        (19, build_vgg19_features, (2, 2, 4, 4, 4), 12_944_960),
    ],
)
def test_the_converted_file_gives_the_features_of_the_public_one(
    depth, build, convs, parameters, tmp_path
):
    public, converted = tmp_path / "notop.h5", tmp_path / "vgg.npz"
    write_keras_applications_file(public, convs)
    assert import_vgg.convert(depth, str(public), str(converted)) == parameters
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notop.h5", "vgg.npz"]
    with np.load(converted) as arrays:
        assert {str(array.dtype) for array in arrays.values()} == {"float16"}
        assert arrays["block5_conv1_kernel"].shape == (3, 3, 512, 512)
        assert "block5_conv2_kernel" not in arrays
    image = draw_image("vgg", (1, 32, 32, 3))
    for actual, expected in zip(build(converted)(image), build(public)(image), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-2, atol=1e-2)


def test_a_file_of_another_depth_is_one_line_and_leaves_no_file(tmp_path):
    write_keras_applications_file(tmp_path / "vgg16.h5", (2, 2, 3, 3, 3))
    command = [sys.executable, "-m", "tools.import_vgg", "19", str(tmp_path / "vgg16.h5")]
    result = subprocess.run(
        [*command, str(tmp_path / "vgg.npz")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert "layer block3_conv4 has arrays of shapes none" in result.stderr.splitlines()[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["vgg16.h5"]
