"""VGG features with weights from both kinds of file that are published."""

import h5py
import keras
import numpy as np
import pytest

from smapcomp.errors import SmapcompError
from smapcomp.models.vgg import build_vgg16_features, build_vgg19_features
from tests.golden.weights import draw_image
from tests.helpers.vgg_files import write_keras_applications_file


@pytest.mark.parametrize(
    ("build", "convs"),
    [(build_vgg16_features, (2, 2, 3, 3, 3)), (build_vgg19_features, (2, 2, 4, 4, 4))],
)
def test_keras_itself_reads_the_same_values_from_such_a_file(build, convs, tmp_path):
    path = tmp_path / "notop.h5"
    write_keras_applications_file(path, convs)
    model = build(path)
    application = keras.applications.VGG16 if convs[2] == 3 else keras.applications.VGG19
    theirs = application(include_top=False, weights=str(path))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            expected = theirs.get_layer(layer.name).get_weights()
            for actual, array in zip(layer.get_weights(), expected, strict=True):
                np.testing.assert_array_equal(actual, array)


@pytest.mark.parametrize("suffix", ["h5", "npz"])
def test_a_wrong_layer_is_refused_with_file_name_and_shapes(suffix, tmp_path):
    path = tmp_path / f"vgg.{suffix}"

    def write(shapes):
        if suffix == "npz":
            np.savez(path, **{f"{n}_{part}": np.zeros(s) for n, part, s in shapes})
            return
        with h5py.File(path, "w") as file:
            for name, part, shape in shapes:
                file[f"{name}/{name}/{part}:0"] = np.zeros(shape)

    good = [("block1_conv1", "kernel", (3, 3, 3, 64)), ("block1_conv1", "bias", (64,))]
    second = [("block1_conv2", "kernel", (3, 3, 64, 32)), ("block1_conv2", "bias", (32,))]
    wanted = "required are a kernel (3, 3, 64, 64) and a bias (64,)"
    for shapes, found in (
        (good, "none"),
        (good + second, "(3, 3, 64, 32), (32,)"),
        (good + second[:1], "(3, 3, 64, 32)"),
    ):
        write(shapes)
        with pytest.raises(SmapcompError) as caught:
            build_vgg19_features(path)
        assert str(caught.value) == (
            f"{path}: not the weights of vgg19_features: layer block1_conv2 has arrays of shapes "
            f"{found}; {wanted}"
        )


def test_the_layers_of_vgg16_are_too_few_for_vgg19(tmp_path):
    path = tmp_path / "vgg16_notop.h5"
    write_keras_applications_file(path, (2, 2, 3, 3, 3))
    with pytest.raises(SmapcompError, match=r"vgg16_notop\.h5: .*layer block3_conv4 has arrays of"):
        build_vgg19_features(path)


def test_a_weights_file_of_keras_applications_fills_vgg19(tmp_path):
    path = tmp_path / "vgg19_notop.h5"
    expected = write_keras_applications_file(path, (2, 2, 4, 4, 4))
    model = build_vgg19_features(str(path))
    for i, arrays in enumerate(expected, 1):
        for actual, array in zip(
            model.get_layer(f"block1_conv{i}").get_weights(), arrays, strict=True
        ):
            np.testing.assert_array_equal(actual, array)


def test_half_precision_arrays_fill_vgg16(tmp_path):
    source = build_vgg16_features()
    arrays = {}
    for layer in source.layers:
        for weight, part in zip(layer.weights, ("kernel", "bias"), strict=False):
            arrays[f"{layer.name}_{part}"] = np.asarray(weight).astype(np.float16)
    path = tmp_path / "vgg16.npz"
    np.savez(path, **arrays)
    image = draw_image("vgg", (1, 16, 16, 3))
    for actual, expected in zip(build_vgg16_features(path)(image), source(image), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-2, atol=1e-2)


def test_a_file_without_vgg_weights_is_refused_by_name(tmp_path):
    other = tmp_path / "other.npz"
    np.savez(other, block1_conv1_kernel=np.zeros((3, 3, 3, 64)))
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 no archive")
    text = tmp_path / "text.h5"
    text.write_text("no HDF5")
    for path in (other, broken, text):
        with pytest.raises(ValueError, match=rf"{path.name}: not the weights of vgg16"):
            build_vgg16_features(str(path))
    with pytest.raises(FileNotFoundError, match=r"missing\.h5"):
        build_vgg16_features(str(tmp_path / "missing.h5"))
