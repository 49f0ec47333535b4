"""VGG features with weights from both kinds of file that are published."""

import h5py
import numpy as np
import pytest

from smapcomp.models.vgg import build_vgg16_features, build_vgg19_features
from tests.golden.weights import draw, draw_image

FILTERS = (64, 128, 256, 512, 512)


def write_keras_applications_file(path, convs_per_block):
    """Write weights as keras.applications publishes them ("notop"); return the first two."""
    inputs, first = 3, []
    with h5py.File(path, "w") as file:
        names = []
        for block, (filters, count) in enumerate(zip(FILTERS, convs_per_block, strict=True), 1):
            for i in range(1, count + 1):
                name = f"block{block}_conv{i}"
                kernel = np.full((3, 3, inputs, filters), 1 / (9 * inputs), np.float32)
                if name == "block1_conv1":
                    kernel = draw("vgg/kernel", kernel.shape)
                bias = draw(f"{name}/bias", (filters,))
                group = file.create_group(name)
                parts = {f"{name}_W_1:0": kernel, f"{name}_b_1:0": bias}
                for part, values in parts.items():
                    group[part] = values
                group.attrs["weight_names"] = [part.encode() for part in parts]
                names.append(name.encode())
                first.append((kernel, bias))
                inputs = filters
        file.attrs["layer_names"] = names
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.0.0"
    return first[:2]


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
