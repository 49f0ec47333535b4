"""Operations and memory of a training step, against closed forms and TensorFlow's profiler."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.batches import pipeline
from smapcomp.errors import SmapcompError
from smapcomp.training.config import TrainingConfig
from smapcomp.training.tf_trainer.measured_step import MeasuredStep
from smapcomp.training.tf_trainer.step_cost import count_flops, kept_bytes
from tests.helpers.pictures import write_labelled_pictures


def _graph(function, *shapes):
    return tf.function(function).get_concrete_function(*map(tf.TensorSpec, shapes)).graph


def _gradients(layer, shape):
    """Return the graph of a layer's gradients with respect to its input and its weights."""
    layer.build(shape)

    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) ** 2)
        return tape.gradient(loss, [x, *layer.trainable_variables])

    return _graph(gradients, shape)


def test_a_convolution_and_its_gradients_have_the_operations_of_the_closed_form():
    layer = keras.layers.Conv2D(5, (3, 4), strides=2, padding="valid")
    # 2 pictures, outputs 4 x 5, windows 3 x 4 of 7 channels, 5 filters.
    forward = 2 * 2 * (4 * 5) * (3 * 4 * 7) * 5
    assert count_flops(_gradients(layer, (2, 9, 12, 7))) == {
        ("Conv2D", "float32"): forward,
        ("Conv2DBackpropInput", "float32"): forward,
        ("Conv2DBackpropFilter", "float32"): forward,
    }


@pytest.mark.parametrize(
    ("layer", "shape", "products"),
    [
        (keras.layers.Conv2D(6, 3, dilation_rate=2), (1, 8, 8, 4), 16 * 9 * 4 * 6),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), (1, 8, 8, 4), 36 * 9 * 4 * 2),
        (keras.layers.Conv2DTranspose(6, 2, strides=2), (1, 8, 8, 4), 64 * 4 * 4 * 6),
        (keras.layers.Dense(6), (3, 4), 3 * 4 * 6),
        (keras.layers.Dense(6), (2, 3, 4), 2 * 3 * 4 * 6),
    ],
)
def test_every_product_counts_once_forward_and_twice_backward(layer, shape, products):
    flops = count_flops(_gradients(layer, shape))
    assert sum(flops.values()) == 3 * 2 * products


def test_transposed_matrices_are_counted_by_their_common_side():
    def product(a, b):
        return tf.matmul(a, b, transpose_a=True), tf.matmul(b, a, adjoint_a=True)

    assert count_flops(_graph(product, (5, 3), (5, 7))) == {
        ("MatMul", "float32"): 2 * 2 * 5 * 3 * 7
    }
    assert count_flops(_graph(product, (2, 5, 3), (2, 5, 7))) == {
        ("BatchMatMulV2", "float32"): 2 * 2 * 2 * 5 * 3 * 7
    }


def test_what_no_result_needs_is_not_counted():
    def function(a, b):
        tf.matmul(a, b)
        return tf.reduce_sum(a)

    assert count_flops(_graph(function, (2, 3), (3, 4))) == {}


def test_operations_that_cannot_be_counted_are_named():
    def branches(a, b):
        return tf.cond(tf.reduce_sum(a) > 0, lambda: tf.matmul(a, b), lambda: tf.matmul(2 * a, b))

    with pytest.raises(SmapcompError, match="MatMul in a nested function is not counted"):
        count_flops(_graph(branches, (2, 3), (3, 4)))
    with pytest.raises(SmapcompError, match=r"MatMul MatMul has the unknown shape \(None, 4\)"):
        count_flops(_graph(tf.matmul, (None, 3), (3, 4)))


def test_activations_that_the_gradient_reads_are_kept():
    first, second = (keras.layers.Conv2D(n, 3, activation=a) for n, a in ((4, "relu"), (5, None)))
    first.build((2, 10, 10, 3))
    second.build((2, 8, 8, 4))
    losses = []

    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.abs(second(first(x))))
        losses.append(loss)
        return tape.gradient(loss, [*first.trainable_variables, *second.trainable_variables])

    graph = _graph(step, (2, 10, 10, 3))
    # The output of the ReLU and that of the second convolution, float32; neither the batch, nor
    # weights, nor what lies between a convolution, its bias and the ReLU.
    assert kept_bytes(graph, losses) == 4 * 2 * (8 * 8 * 4 + 6 * 6 * 5)


def _config(stage, **groups):
    groups = {"model": {"stage": stage}} | groups
    return TrainingConfig.from_dict(groups)


def _profiled_flops(function, *specs):
    """Return the operations of a function's convolutions by TensorFlow's profiler."""
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output()
    options = options.with_accounted_types(["Conv2D"]).build()
    graph = tf.function(function).get_concrete_function(*specs).graph
    return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops


def test_a_step_of_a_lite_stage_is_three_forward_passes_but_for_the_first_layer():
    config = _config("lossy", data={"batch_size": 2, "size": 32, "coded": "x1.npz"})
    measured = MeasuredStep.from_config(config)
    cost = measured.cost()
    network = measured.stage.models["finenet_x1"]
    spec = measured.batch
    inputs = [spec["image"], spec["labels_seen"], spec["level"]]
    forward = _profiled_flops(lambda *x: network(list(x)), *inputs)
    # No gradient is needed of the picture, which the first convolution reads at half its size.
    first = 2 * (2 * 16 * 16) * np.prod(network.get_layer("conv0").kernel.shape)
    assert cost.total_flops == 3 * forward - first
    # float32: the weights, and Adam's two moments of each.
    weights = 4 * network.count_params()
    assert cost.state_bytes == pytest.approx(3 * weights, abs=100)


def test_operations_are_counted_in_the_format_in_which_they_are_computed():
    model = {"stage": "stage2", "variant": "lite", "representation": "index"}
    config = _config("stage2", model=model, data={"batch_size": 1, "size": 32})
    halved = dataclasses.replace(
        config, model=dataclasses.replace(config.model, precision="bfloat16")
    )
    whole, mixed = (MeasuredStep.from_config(c).cost().flops for c in (config, halved))
    # SMapNet of indices stays in float32; CompNet and segmenter do not.
    assert 0 < mixed["float32"] < whole["float32"]
    assert sum(mixed.values()) == whole["float32"]
    assert [*whole] == ["float32"]


def test_recomputation_costs_operations_and_keeps_less():
    options = {"loss": {"weights": {"perceptual": 0.0, "gan": 0.0, "feature_matching": 0.0}}}
    options["data"] = {"batch_size": 1, "size": 32}
    kept, recomputed = (
        MeasuredStep.from_config(
            _config("stage1", **options, model={"stage": "stage1", "recompute": recompute})
        ).cost()
        for recompute in (False, True)
    )
    assert 1.2 < recomputed.total_flops / kept.total_flops < 1.4
    assert recomputed.kept_bytes < kept.kept_bytes / 2
    assert recomputed.state_bytes == kept.state_bytes


def test_a_measured_step_takes_the_batches_of_the_pipeline(tmp_path):
    write_labelled_pictures(tmp_path, "training", 2)
    batches = pipeline.training_batches(str(tmp_path), batch_size=2, size=32)
    loss = {"weights": {"perceptual": 0.0}}
    config = _config("stage1", data={"batch_size": 2, "size": 32}, loss=loss)
    assert dict(MeasuredStep.from_config(config).batch) == batches.element_spec
