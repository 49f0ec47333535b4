"""Layers of exact networks at the limits of what float32 holds, and their gradients."""

import keras
import numpy as np
import pytest

from smapcomp.models import exact_arithmetic
from smapcomp.models.exact_arithmetic import Map
from smapcomp.models.exact_layers import (
    ExactConv2D,
    ExactLabelConv2D,
    ExactRounding,
    ExactSignal,
    on_grid,
)
from smapcomp.models.exact_weights import (
    SUM_LIMIT,
    WIDE_KERNEL_LIMIT,
    check_bounds,
    largest_sums,
    to_float,
    to_stored,
)
from smapcomp.models.spatial import (
    AdaptiveAveragePooling2D,
    ExactAveragePooling2D,
    ExactResizeLike,
    UpsampleToGrid,
)

EXPONENT = 5
"""Exponent of the inputs and of the weights."""


def loaded(layer: ExactConv2D, channels: int, arrays: dict[str, np.ndarray]) -> ExactConv2D:
    """Return a layer with stored weights."""
    layer.build((None, None, None, channels))
    floats = to_float({f"conv/{name}": array for name, array in arrays.items()})
    for key, array in floats.items():
        getattr(layer, key.removeprefix("conv/")).assign(array)
    return layer


def at_the_bound(relu: bool, channels: int = 96, filters: int = 4) -> dict[str, np.ndarray]:
    """Return weights with which the largest possible sum of each channel is the last allowed."""
    rng = np.random.default_rng(2)
    low, high = (0, 1023) if relu else (-511, 511)
    kernel = rng.integers(-127, 128, (3, 3, channels, filters)).astype(np.int8)
    arrays = {
        "kernel": kernel,
        "kernel_exponent": np.full(filters, EXPONENT, np.int8),
        "bias": np.zeros(filters, np.int32),
        "input_grid": np.array([EXPONENT, low, high], np.int32),
    }
    while (excess := largest_sums(arrays) >= SUM_LIMIT).any():
        shorter = np.sign(kernel) * (np.abs(kernel) - 1)
        kernel[..., excess] = np.where(kernel == 0, 0, shorter)[..., excess]
    # The bias fills what the weights leave, on the side of the larger sum.
    positive = kernel.astype(np.int64).clip(0).sum((0, 1, 2))
    negative = -kernel.astype(np.int64).clip(None, 0).sum((0, 1, 2))
    sign = np.where(positive >= negative, 1, -1)
    arrays["bias"] = (sign * (SUM_LIMIT - 1 - largest_sums(arrays))).astype(np.int32)
    assert (largest_sums(arrays) == SUM_LIMIT - 1).all()
    return arrays


def extreme_inputs(arrays: dict[str, np.ndarray], channel: int) -> np.ndarray:
    """Return the integers of a 3×3 map with which the middle of the output is the largest sum."""
    _, low, high = (int(value) for value in arrays["input_grid"])
    positive = arrays["kernel"][..., channel] > 0
    if arrays["bias"][channel] < 0:
        positive = ~positive
    return np.where(positive, high, low)


def convolve(layer: ExactConv2D, integers: np.ndarray) -> np.ndarray:
    values = np.ldexp(integers.astype(np.float32), -EXPONENT)[None]
    return keras.ops.convert_to_numpy(layer(values))[0]


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_sum_at_the_bound_is_exact(relu, padding):
    arrays = at_the_bound(relu)
    layer = loaded(ExactConv2D(4, 3, relu=relu, padding=padding), 96, arrays)
    for channel in range(4):
        integers = extreme_inputs(arrays, channel)
        output = convolve(layer, integers)
        middle = output[output.shape[0] // 2, output.shape[1] // 2]
        sums = np.einsum("hwc,hwcf->f", integers, arrays["kernel"].astype(np.int64))
        np.testing.assert_array_equal(np.ldexp(middle, 2 * EXPONENT), sums + arrays["bias"])
        assert abs(sums[channel] + arrays["bias"][channel]) == SUM_LIMIT - 1


@pytest.mark.parametrize("depthwise", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_order_of_the_channels_does_not_matter(depthwise, stride):
    arrays = at_the_bound(relu=True, channels=64)
    if depthwise:
        arrays["kernel"] = np.full((3, 3, 64, 1), 1500, np.int16)
        arrays["kernel_exponent"] = np.full((64, 1), EXPONENT, np.int8)
        arrays["bias"] = np.arange(64, dtype=np.int32)
    filters = len(arrays["bias"])
    rng = np.random.default_rng(3)
    # Nearly all inputs are at an end of the grid.
    integers = np.where(rng.random((13, 11, 64)) < 0.9, 1023, rng.integers(0, 1024, (13, 11, 64)))
    outputs = []
    for order in (np.arange(64), rng.permutation(64)):
        permuted = dict(arrays, kernel=arrays["kernel"][:, :, order])
        if depthwise:
            permuted["bias"] = arrays["bias"][order]
        layer = ExactConv2D(filters, 3, stride, relu=True, depthwise=depthwise)
        output = convolve(loaded(layer, 64, permuted), integers[..., order])
        outputs.append(output[..., np.argsort(order)] if depthwise else output)
    np.testing.assert_array_equal(*outputs)
    stored = {f"conv/{name}": array for name, array in arrays.items()}
    reference = exact_arithmetic.conv(stored, "conv", Map(integers, EXPONENT), stride)
    np.testing.assert_array_equal(outputs[0], reference.numbers())


def test_float_sums_beyond_the_bound_do_depend_on_the_order():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(1, 9, 9, 64)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 64, 8)).astype(np.float32)
    order = rng.permutation(64)
    first = keras.ops.conv(values, kernel)
    second = keras.ops.conv(values[..., order], kernel[:, :, order])
    assert np.any(np.array(first) != np.array(second))


@pytest.mark.parametrize("dilation", [1, 2])
def test_dilated_convolutions_and_odd_sides_are_those_of_the_reference(dilation):
    arrays = at_the_bound(relu=False, channels=8)
    stored = {f"conv/{name}": array for name, array in arrays.items()}
    integers = np.random.default_rng(4).integers(-600, 600, (7, 10, 8))
    layer = loaded(ExactConv2D(4, 3, dilation_rate=dilation), 8, arrays)
    reference = exact_arithmetic.conv(stored, "conv", Map(integers, EXPONENT), 1, dilation)
    np.testing.assert_array_equal(convolve(layer, integers), reference.numbers())


def test_halves_are_rounded_to_even_and_others_to_the_nearest():
    values = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49, 0.51, 9.0], np.float32)
    wanted = [-2, -2, 0, 0, 2, 2, 0, 1, 3]
    for training in (False, True):
        rounded = on_grid(values * np.float32(0.25), 0.25, -3.0, 3.0, training)
        np.testing.assert_array_equal(np.array(rounded) / 0.25, np.array(wanted, np.float32))
    integers = np.array([-10, -6, -2, 2, 6, 10, 1, 3, 36])
    np.testing.assert_array_equal(
        exact_arithmetic.round_to(np.array([0, -3, 3]), Map(integers, 2)).values, wanted
    )


def test_training_does_not_change_a_rounded_value():
    values = np.random.default_rng(5).normal(0, 40, 10_000).astype(np.float32)
    plain, trained = (np.array(on_grid(values, 0.125, -511.0, 511.0, t)) for t in (False, True))
    np.testing.assert_array_equal(plain, trained)


def test_the_signal_of_a_grey_level_does_not_depend_on_how_it_was_rounded():
    grey = np.arange(255 * 256 + 1) / 256
    signal = (grey / 127.5 - 1).astype(np.float32)
    for direction in (-np.inf, 0, np.inf):
        near = signal if direction == 0 else np.nextafter(signal, np.float32(direction))
        found = np.array(ExactSignal(offset=0.5 / 128)(near.reshape(1, 1, -1, 1))).reshape(-1)
        np.testing.assert_array_equal(found, (grey - 127) / 128)


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [(4, 6), (5, 3), (7, 13)])
def test_exact_means_are_the_nearest_multiples(bins, shape):
    rng = np.random.default_rng(6)
    integers = rng.integers(-511, 512, (*shape, 40))
    integers[..., 0], integers[..., 1] = 511, -511
    step = np.float32(2.0**-EXPONENT)
    values = (integers * step).astype(np.float32)[None]
    found = np.array(ExactAveragePooling2D(bins)([values, step])) / step * 64
    np.testing.assert_array_equal(found, np.round(found))
    means = np.array(AdaptiveAveragePooling2D(bins)(values.astype(np.float64))) / step * 64
    np.testing.assert_allclose(found, means, rtol=0, atol=0.51)
    reference = exact_arithmetic.average_pool(Map(integers, EXPONENT), bins)
    np.testing.assert_array_equal(found[0] / 64 * step, reference.numbers())


def test_the_mean_of_the_largest_cell_is_exact():
    integers = np.full((256, 128, 2), 511) * [1, -1]
    step = np.float32(2.0**-EXPONENT)
    values = (integers * step).astype(np.float32)[None]
    found = np.array(ExactAveragePooling2D(1)([values, step]))
    np.testing.assert_array_equal(found[0, 0, 0], np.float32([511, -511]) * step)


def test_exact_resizing_is_close_to_bilinear_and_that_of_the_reference():
    integers = np.random.default_rng(7).integers(0, 2048, (6, 6, 5))
    values = np.ldexp(integers.astype(np.float32), -EXPONENT)[None]
    like = np.zeros((1, 13, 9, 1), np.float32)
    found = np.array(ExactResizeLike()([values, like]))[0]
    reference = exact_arithmetic.resize(Map(integers, EXPONENT), (13, 9))
    np.testing.assert_array_equal(found, reference.numbers())
    plain = np.array(keras.ops.image.resize(values, (13, 9), interpolation="bilinear"))[0]
    assert np.abs(found - plain).max() < 2 * 2047 / 2**EXPONENT / 64


def test_upsampling_by_two_has_weights_of_quarters():
    integers = np.random.default_rng(8).integers(-(1 << 18), 1 << 18, (3, 5, 2))
    values = np.ldexp(integers.astype(np.float32), -EXPONENT)[None]
    found = np.array(UpsampleToGrid(8)([values, np.zeros((1, 48, 80, 3), np.float32)]))[0]
    np.testing.assert_array_equal(found, exact_arithmetic.double(Map(integers, EXPONENT)).numbers())
    plain = keras.ops.image.resize(values, (6, 10), interpolation="bilinear")
    np.testing.assert_array_equal(found, np.array(plain)[0])


def test_training_with_rounding_lowers_the_loss():
    rng = np.random.default_rng(9)
    keras.utils.set_random_seed(9)
    image = keras.Input((8, 8, 3))
    labels = keras.Input((8, 8), dtype="int32")
    x = ExactConv2D(8, 3, rounded=True)(image)
    x = x + ExactLabelConv2D(8, 3)(labels)
    x = x + ExactRounding(12)(x)
    model = keras.Model([image, labels], ExactConv2D(1, 3, relu=True)(x))
    inputs = [
        rng.uniform(-1, 1, (16, 8, 8, 3)).astype(np.float32),
        rng.integers(0, 151, (16, 8, 8)).astype(np.int32),
    ]
    wanted = inputs[0].mean(-1, keepdims=True) - inputs[0][..., :1] + 0.5
    before = {v.path: keras.ops.convert_to_numpy(v) for v in model.trainable_variables}
    model.compile(keras.optimizers.Adam(0.01), "mse")
    first = model.evaluate(inputs, wanted, verbose=0)
    model.fit(inputs, wanted, epochs=30, verbose=0)
    assert model.evaluate(inputs, wanted, verbose=0) < 0.2 * first
    after = {v.path: keras.ops.convert_to_numpy(v) for v in model.trainable_variables}
    assert len(before) == 5
    assert all(np.any(before[path] != after[path]) for path in before)


def test_clipped_values_get_no_gradient_and_others_get_all_of_it():
    tf = pytest.importorskip("tensorflow")
    values = tf.Variable([-9.0, -0.3, 0.3, 9.0])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(on_grid(values, 0.25, -4.0, 4.0, training=True))
    np.testing.assert_array_equal(tape.gradient(total, values), [0, 1, 1, 0])


def test_pooling_passes_the_gradient_of_the_mean():
    tf = pytest.importorskip("tensorflow")
    values = tf.Variable(tf.ones((1, 2, 3, 1)))
    with tf.GradientTape() as tape:
        pooled = ExactAveragePooling2D(1)([values, tf.constant(0.5)], training=True)
    np.testing.assert_allclose(tape.gradient(pooled, values), np.full((1, 2, 3, 1), 1 / 6))


def test_the_largest_weights_of_a_file_reach_the_layer():
    arrays = at_the_bound(relu=False, channels=1, filters=1)
    arrays["kernel"] = np.full((3, 3, 1, 1), -WIDE_KERNEL_LIMIT, np.int16)
    arrays["bias"] = np.zeros(1, np.int32)
    layer = loaded(ExactConv2D(1, 3, padding="valid"), 1, arrays)
    output = convolve(layer, np.full((3, 3, 1), 511))
    assert np.ldexp(output.item(), 2 * EXPONENT) == -9 * 511 * WIDE_KERNEL_LIMIT


def test_a_layer_beyond_the_bound_is_refused_when_it_is_loaded():
    arrays = at_the_bound(relu=False)
    arrays["bias"][2] += np.sign(arrays["bias"][2])
    stored = {f"conv7/{name}": array for name, array in arrays.items()}
    message = "conv7: sums of channel 2 reach 16777216; an exact network needs less than 16777216"
    for check in (check_bounds, to_float):
        with pytest.raises(ValueError, match=message):
            check(stored)


def test_weights_beyond_the_bound_get_a_coarser_step_when_they_are_saved():
    arrays = at_the_bound(relu=False)
    layer = loaded(ExactConv2D(4, 3, name="conv7"), 96, arrays)
    floats = {f"conv7/{v.name}": keras.ops.convert_to_numpy(v).copy() for v in layer.variables}
    floats["conv7/bias"][2] *= np.float32(1 + 2**-20)
    floats["conv7/bias"][2] += np.sign(floats["conv7/bias"][2]) * 2.0 ** (-2 * EXPONENT)
    stored = to_stored(floats)
    wanted = [EXPONENT, EXPONENT, EXPONENT - 1, EXPONENT]
    np.testing.assert_array_equal(stored["conv7/kernel_exponent"], wanted)
    check_bounds(stored)
    restored = to_float(stored)
    np.testing.assert_allclose(
        restored["conv7/kernel"], floats["conv7/kernel"], rtol=0, atol=2.0**-EXPONENT
    )
    np.testing.assert_array_equal(
        restored["conv7/kernel"][..., :2], floats["conv7/kernel"][..., :2]
    )
