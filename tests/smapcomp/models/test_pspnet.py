"""PSPNet: the papers' segmenters agree with PyTorch; properties of the lite one."""

import functools

import keras
import numpy as np
import pytest

from smapcomp.models.backbones import efficientnet_lite0, resnet
from smapcomp.models.pspnet import build_pspnet, label_map_from_logits
from tests.golden.pspnet_cases import SIZES, gain, kept
from tests.golden.weights import assign, draw_image
from tests.helpers.paths import GOLDEN


def draw_weights(model: keras.Model, network: str) -> None:
    kernels = ((layer.name, getattr(layer, "kernel", None)) for layer in model.layers)
    assign(model, network, {name: gain(name, k.shape) for name, k in kernels if k is not None})


@functools.cache
def built(backbone: str) -> keras.Model:
    """Return the network with its auxiliary head and random weights."""
    model = build_pspnet(backbone, auxiliary=True)
    draw_weights(model, f"pspnet_{backbone}")
    return model


def golden(backbone: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"pspnet_{backbone}.npz") as arrays:
        return {name: arrays[name] for name in arrays}


@pytest.mark.parametrize("backbone", list(SIZES))
def test_logits_equal_those_of_pytorch_at_two_sizes(backbone):
    model, expected = built(backbone), golden(backbone)
    for size in SIZES[backbone]:
        seed = f"{backbone}_{'x'.join(map(str, size))}"
        outputs = model(draw_image(f"{seed}/image", (*size, 3)), training=False)
        for i, output in enumerate(outputs):
            values = expected[f"{seed}_{i}"]
            error = np.abs(kept(backbone, np.asarray(output)) - values).max()
            assert error <= 1e-4 * np.abs(values).max(), (seed, i)
            # The logits vary over the picture, so the comparison covers more than the bias.
            assert values.std(axis=(1, 2)).mean() > 0.1 * values.std(), (seed, i)


@pytest.mark.parametrize("backbone", list(SIZES))
def test_variables_are_those_of_the_pytorch_network(backbone):
    expected = dict(line.split() for line in golden(backbone)["variables"].tolist())
    actual = {
        f"{layer.name}/{variable.name}": str(int(np.prod(variable.shape)))
        for layer in built(backbone).layers
        for variable in layer.weights
    }
    assert actual == expected


def test_lite_segmenter_takes_less_than_6_5_mb_in_float16():
    model = build_pspnet("efficientnet_lite0")
    assert 2 * model.count_params() < 6_500_000


def test_network_without_auxiliary_head_computes_the_same_logits():
    image = draw_image("auxiliary", (1, 40, 56, 3))
    plain = build_pspnet("efficientnet_lite0")
    draw_weights(plain, "pspnet_efficientnet_lite0")
    with_auxiliary, auxiliary = built("efficientnet_lite0")(image, training=False)
    assert auxiliary.shape == with_auxiliary.shape == (1, 5, 7, 150)
    np.testing.assert_array_equal(plain(image, training=False), with_auxiliary)


def test_lite_logits_do_not_depend_on_whether_the_graph_knows_the_size():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow has graphs of unknown size")
    import tensorflow as tf

    model = built("efficientnet_lite0")
    graph = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 3))])
    for size in ((1, 49, 33), (2, 64, 80)):
        image = draw_image("graph", (*size, 3))
        for actual, expected in zip(graph(image), model(image, training=False), strict=True):
            np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("build", [efficientnet_lite0, lambda x, s: resnet(x, "resnet50", s)])
def test_dilated_backbone_holds_every_feature_of_the_strided_one(build):
    image = keras.Input((None, None, 3))
    strided, dilated = (keras.Model(image, build(image, stride)) for stride in (32, 8))
    for model in (strided, dilated):
        draw_weights(model, "backbone")
    picture = draw_image("backbone", (1, 64, 96, 3))
    expected = [np.asarray(y) for y in strided(picture, training=False)]
    actual = [np.asarray(y) for y in dilated(picture, training=False)]
    # At stride 2, "same" padding samples the odd positions, symmetric padding the even ones.
    first = 1 if build is efficientnet_lite0 else 0
    for coarse, fine in zip(expected, actual, strict=True):
        step = fine.shape[1] // coarse.shape[1]
        offset = first * (step - 1)
        scale = np.abs(coarse).max()
        np.testing.assert_allclose(fine[:, offset::step, offset::step], coarse, atol=1e-5 * scale)
    assert actual[-1].shape[1:3] == (8, 12)
    assert expected[-1].shape[1:3] == (2, 3)


def test_lite_features_lie_in_the_middle_of_their_blocks():
    # With averaging kernels the network is a symmetric filter, whose centre can be measured.
    image = keras.Input((None, None, 3))
    columns = np.arange(96)
    pictures = np.zeros((96, 32, 96, 3), "float32")
    pictures[columns, :, columns] = 1.0
    middles = {}
    for centred in (True, False):
        model = keras.Model(image, efficientnet_lite0(image, 8, centred)[2])
        for layer in model.layers:
            for variable in layer.weights:
                shape = variable.shape
                if variable.name == "kernel":
                    inputs = 1 if layer.name.endswith("_depthwise") else shape[2]
                    variable.assign(np.full(shape, 1.0 / (shape[0] * shape[1] * inputs)))
                else:
                    variable.assign(np.full(shape, variable.name in ("gamma", "moving_variance")))
        response = np.asarray(model(pictures))[:, 2, 6, 0]
        response = response - response.min()
        middles[centred] = float((response * (columns + 0.5)).sum() / response.sum())
    block_middle = 6 * 8 + 4
    assert middles[True] == pytest.approx(block_middle - 0.5, abs=0.01)
    assert middles[False] == pytest.approx(block_middle + 3.5, abs=0.01)


def test_label_map_is_the_likeliest_class_repeated_over_its_block():
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(2, 3, 4, 150)).astype("float32")
    label_map = np.asarray(label_map_from_logits(logits, 8))
    assert label_map.dtype == np.uint8
    assert label_map.shape == (2, 24, 32)
    for b, y, x in np.ndindex(2, 24, 32):
        cell = logits[b, y // 8, x // 8]
        assert cell[label_map[b, y, x] - 1] == max(cell)


def test_a_training_pass_moves_the_statistics_towards_those_of_the_batch():
    model = build_pspnet("efficientnet_lite0", auxiliary=True)
    picture = draw_image("training", (2, 32, 48, 3))
    stem = keras.Model(model.input, model.get_layer("stem").output)
    batch = np.asarray(stem(picture))
    model(picture, training=True)
    norm = model.get_layer("stem_bn")
    mean, variance = map(keras.ops.convert_to_numpy, (norm.moving_mean, norm.moving_variance))
    np.testing.assert_allclose(mean, 0.01 * batch.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(variance, 0.99 + 0.01 * batch.var((0, 1, 2)), rtol=1e-4)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert np.any(keras.ops.convert_to_numpy(layer.moving_variance) != 1.0), layer.name


def test_unknown_backbone_is_refused_with_the_allowed_ones():
    with pytest.raises(ValueError, match=r"resnet101.*resnet50.*efficientnet_lite0.*'vgg'"):
        build_pspnet("vgg")
