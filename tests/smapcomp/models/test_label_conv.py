"""The label convolution equals a dense convolution over the one-hot label map."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from smapcomp.models.label_conv import LabelConv2D, LabelPool2D
from tests.golden.weights import LABELS, draw_label_map

USED = [(7, 1, "reflect"), (4, 2, "zero"), (3, 1, "zero"), (1, 1, "zero"), (5, 3, "reflect")]
"""Window, strides and padding of the networks, and a combination that no network has."""

SHAPES = [(2, 16, 24), (1, 19, 13)]


def built(size: int, strides: int, padding: str, filters: int = 6) -> LabelConv2D:
    layer = LabelConv2D(filters, size, strides, padding, keras.initializers.RandomNormal(seed=1))
    layer.build((None, None, None))
    return layer


def dense(one_hot, kernel, strides: int, padding: str):
    half = kernel.shape[0] // 2
    pads = [[0, 0], [half, half], [half, half], [0, 0]]
    x = tf.pad(one_hot, pads, "REFLECT" if padding == "reflect" else "CONSTANT")
    return tf.nn.conv2d(x, kernel, strides, "VALID")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", USED)
def test_outputs_equal_the_dense_convolution(options, shape):
    layer = built(*options)
    label_map = draw_label_map("label_conv", shape)
    expected = dense(tf.one_hot(label_map, LABELS), layer.kernel.value, *options[1:])
    actual = layer(label_map)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert layer.compute_output_shape(shape) == expected.shape


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", USED)
def test_kernel_gradient_equals_the_dense_convolution(options, shape):
    layer = built(*options)
    label_map = draw_label_map("label_conv", shape)
    kernel = layer.kernel.value
    with tf.GradientTape(persistent=True) as tape:
        expected = dense(tf.one_hot(label_map, LABELS), kernel, *options[1:])
        weight = np.random.default_rng(2).standard_normal(expected.shape, np.float32)
        expected = tf.reduce_sum(weight * expected)
        actual = tf.reduce_sum(weight * layer(label_map))
    np.testing.assert_allclose(
        tf.convert_to_tensor(tape.gradient(actual, kernel)),
        tape.gradient(expected, kernel),
        atol=2e-5,
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_pooled_labels_equal_the_average_pooled_one_hot_code(shape):
    layer = built(4, 2, "zero")
    label_map = draw_label_map("label_pool", shape)
    one_hot = tf.pad(tf.one_hot(label_map, LABELS), [[0, 0], [1, 1], [1, 1], [0, 0]])
    inside = tf.pad(tf.ones((*shape, 1)), [[0, 0], [1, 1], [1, 1], [0, 0]])
    pooled = tf.nn.avg_pool2d(one_hot, 3, 2, "VALID") / tf.nn.avg_pool2d(inside, 3, 2, "VALID")
    with tf.GradientTape(persistent=True) as tape:
        expected = dense(pooled, layer.kernel.value, 2, "zero")
        actual = layer(LabelPool2D()(label_map))
        losses = [tf.reduce_sum(y * y) for y in (actual, expected)]
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    gradients = [tape.gradient(loss, layer.kernel.value) for loss in losses]
    np.testing.assert_allclose(*gradients, atol=2e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_values_outside_0_to_150_count_as_no_label_as_in_one_hot(dtype):
    layer = built(3, 1, "zero")
    label_map = np.array([[[255, 151, 150], [0, 7, 200], [3, 3, 3]]]).astype(dtype)
    if dtype != "uint8":
        label_map[0, 0, 0] = -1
    expected = dense(tf.one_hot(label_map, LABELS), layer.kernel.value, 1, "zero")
    np.testing.assert_allclose(layer(label_map), expected, atol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("pooled", [False, True])
def test_outputs_are_the_same_in_graphs_of_unknown_size_and_under_xla(pooled, compiled):
    layer = built(4, 2, "zero")

    def run(label_map):
        return layer(LabelPool2D()(label_map) if pooled else label_map)

    signature = None if compiled else [tf.TensorSpec([None, None, None], tf.int32)]
    graph = tf.function(run, input_signature=signature, jit_compile=compiled)
    for shape in SHAPES[:1] if compiled else SHAPES:
        label_map = draw_label_map("label_graph", shape)
        np.testing.assert_allclose(graph(tf.constant(label_map)), run(label_map), atol=1e-5)


def test_no_one_hot_tensor_is_built():
    layer = built(7, 1, "reflect")
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec([1, 32, 32], tf.int32)).graph
    shapes = [output.shape for op in graph.get_operations() for output in op.outputs]
    assert [1, 32, 32, layer.filters] in shapes
    assert not [s for s in shapes if s.rank and s[-1] in (LABELS, LABELS + 1)]


def test_a_saved_model_computes_the_same_when_it_is_loaded(tmp_path):
    label_map = keras.Input((None, None), dtype="int32")
    pooled = LabelPool2D()(label_map)
    outputs = [LabelConv2D(4, 5, padding="reflect")(label_map), LabelConv2D(4, 4, 2)(pooled)]
    model = keras.Model(label_map, outputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = draw_label_map("saved", (1, 16, 16))
    for actual, expected in zip(loaded(x), model(x), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_config_keeps_every_option():
    layer = LabelConv2D(4, 5, 2, "reflect", initializer="zeros", name="labels")
    config = layer.get_config()
    assert LabelConv2D.from_config(config).get_config() == config
    assert (config["filters"], config["kernel_size"], config["strides"]) == (4, 5, 2)
    assert config["padding"] == "reflect"


def test_an_unknown_padding_is_refused_with_the_allowed_ones():
    with pytest.raises(ValueError, match=r"'same'.*zero, reflect"):
        LabelConv2D(4, 3, padding="same")


def test_symbolic_and_actual_shapes_agree():
    label_map = keras.Input((20, 12), dtype="int32")
    x = ops.zeros((1, 20, 12), "int32")
    for options in USED:
        layer = LabelConv2D(2, *options)
        assert layer(label_map).shape[1:] == layer(x).shape[1:]
        pooled = LabelConv2D(2, *options)
        assert pooled(LabelPool2D()(label_map)).shape[1:] == pooled(LabelPool2D()(x)).shape[1:]


def test_the_kernels_gradient_counts_every_pixel_in_bfloat16():
    layer = LabelConv2D(2, 3, padding="reflect", dtype="mixed_bfloat16")
    label_map = np.full((1, 64, 64), 9)
    label_map[:, 20:40, 20:40] = np.random.default_rng(4).integers(0, 151, (20, 20))
    with tf.GradientTape() as tape:
        outputs = layer(label_map)
        total = tf.reduce_sum(tf.cast(outputs, tf.float32))
    assert outputs.dtype == "bfloat16"
    gradient = tape.gradient(total, layer.kernel.value)
    middle = gradient[1, 1].numpy()
    np.testing.assert_array_equal(
        middle, np.bincount(label_map.ravel(), minlength=151)[:, None].repeat(2, 1)
    )
