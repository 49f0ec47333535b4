"""Loss terms against TensorFlow's SSIM, plain numpy sums and automatic derivatives."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from smapcomp.training.stages import losses


def _random(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def _discriminator_output(seed):
    """Return two scales of four hidden features and a score map, as the discriminator does."""
    shapes = [(2, 9, 7, 4), (2, 5, 4, 8), (2, 3, 3, 16), (2, 4, 4, 16), (2, 5, 5, 1)]
    return [[_random(seed + 10 * s + i, *shape) for i, shape in enumerate(shapes)] for s in (0, 1)]


def test_l1_and_mse_are_means_over_all_samples():
    a, b = np.array([[1.0, -1.0], [0.5, 0.0]]), np.array([[0.0, 1.0], [0.5, -1.0]])
    assert float(losses.l1(a, b)) == 1.0
    assert float(losses.mse(a, b)) == 1.5


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 255.0)])
@pytest.mark.parametrize("noise", [0.01, 0.3])
@pytest.mark.parametrize("smooth", [False, True])
def test_ssim_equals_tensorflows(value_range, noise, smooth):
    low, high = value_range
    a = np.random.default_rng(1).uniform(0, 1, (3, 33, 47, 3)).astype(np.float32)
    if smooth:  # A dark gradient: small variances, where rounding errors would show first.
        a = np.linspace(0, 0.1, 47, dtype=np.float32)[:, None] + 0.001 * a
    b = np.clip(a + noise * _random(2, *a.shape), 0, 1)
    expected = tf.reduce_mean(tf.image.ssim(tf.constant(a), tf.constant(b), max_val=1.0))
    got = losses.ssim(a * (high - low) + low, b * (high - low) + low, value_range)
    assert abs(float(got) - float(expected)) < 1e-5


def test_ssim_gradient_equals_tensorflows():
    a, b = _random(3, 2, 20, 24, 3) / 2 + 0.5, _random(4, 2, 20, 24, 3) / 2 + 0.5
    x = tf.Variable(b)
    with tf.GradientTape(persistent=True) as tape:
        ours = losses.ssim(a, x, (0.0, 1.0))
        theirs = tf.reduce_mean(tf.image.ssim(tf.constant(a), x, max_val=1.0))
    np.testing.assert_allclose(tape.gradient(ours, x), tape.gradient(theirs, x), atol=1e-7)


def test_ssim_runs_on_pictures_whose_size_is_unknown_when_the_graph_is_built():
    spec = tf.TensorSpec([None, None, None, 3])
    a, b = _random(5, 1, 16, 31, 3), _random(6, 1, 16, 31, 3)
    graph = tf.function(losses.ssim, input_signature=[spec, spec])
    assert abs(float(graph(a, b)) - float(losses.ssim(a, b))) < 1e-6


def test_ssim_refuses_small_pictures_and_empty_ranges():
    small = _random(7, 1, 10, 16, 3)
    with pytest.raises(ValueError, match="at least 11x11, got 10x16"):
        losses.ssim(small, small)
    with pytest.raises(ValueError, match="low < high"):
        losses.ssim(_random(8, 1, 16, 16, 3), _random(9, 1, 16, 16, 3), (1.0, 1.0))


def test_lsgan_sums_the_scales_and_uses_the_score_maps_only():
    real, fake = _discriminator_output(100), _discriminator_output(200)
    expected_generator = sum(np.mean((scale[-1] - 1.0) ** 2) for scale in fake)
    expected_discriminator = 0.5 * sum(
        np.mean((r[-1] - 1.0) ** 2) + np.mean(f[-1] ** 2) for r, f in zip(real, fake, strict=True)
    )
    assert float(losses.lsgan_generator(fake)) == pytest.approx(expected_generator, rel=1e-6)
    got = losses.lsgan_discriminator(real, fake)
    assert float(got) == pytest.approx(expected_discriminator, rel=1e-6)


def test_feature_matching_is_half_the_l1_over_two_scales_and_four_hidden_layers():
    real, fake = _discriminator_output(300), _discriminator_output(400)
    expected = 0.5 * sum(np.mean(np.abs(real[s][i] - fake[s][i])) for s in (0, 1) for i in range(4))
    assert float(losses.feature_matching(real, fake)) == pytest.approx(expected, rel=1e-6)


def test_perceptual_weighs_the_deepest_feature_most():
    real = [_random(500 + i, 2, 4, 4, 3) for i in range(5)]
    fake = [_random(600 + i, 2, 4, 4, 3) for i in range(5)]
    distances = [float(np.mean(np.abs(r - f))) for r, f in zip(real, fake, strict=True)]
    expected = np.dot([1 / 32, 1 / 16, 1 / 8, 1 / 4, 1], distances)
    assert float(losses.perceptual(real, fake)) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="got 5 and 4 features for 5 weights"):
        losses.perceptual(real, fake[:4])


def test_originals_are_fixed_targets_of_the_feature_losses():
    real, fake = tf.Variable(_random(7, 1, 4, 4, 2)), tf.Variable(_random(8, 1, 4, 4, 2))
    with tf.GradientTape(persistent=True) as tape:
        matching = losses.feature_matching([[real, real]], [[fake, fake]])
        features = losses.perceptual([real], [fake], [1.0])
    for loss in (matching, features):
        assert tape.gradient(loss, real) is None
        assert np.abs(tape.gradient(loss, fake)).sum() > 0


def test_cross_entropy_averages_over_the_pixels_that_have_a_label():
    rng = np.random.default_rng(9)
    logits = rng.normal(0, 3, (2, 5, 6, 150)).astype(np.float32)
    label_map = rng.integers(0, 151, (2, 5, 6))
    label_map[0, :3] = 0
    label_map[1, 0, 0] = 150
    total, count = 0.0, 0
    for index in np.ndindex(label_map.shape):
        if label_map[index]:
            row = logits[index].astype(np.float64)
            total += np.log(np.exp(row).sum()) - row[label_map[index] - 1]
            count += 1
    got = losses.softmax_cross_entropy(logits, label_map.astype(np.uint8))
    assert float(got) == pytest.approx(total / count, rel=1e-6)


def test_cross_entropy_gives_void_pixels_no_gradient_and_an_all_void_picture_no_loss():
    logits = tf.Variable(_random(10, 1, 2, 2, 150))
    label_map = np.array([[[0, 3], [150, 0]]])
    with tf.GradientTape() as tape:
        loss = losses.softmax_cross_entropy(logits, label_map)
    gradient = np.abs(tape.gradient(loss, logits)).sum(-1)
    assert (gradient > 0).tolist() == (label_map > 0).tolist()
    assert float(losses.softmax_cross_entropy(logits, np.zeros((1, 2, 2), np.int32))) == 0.0


def test_half_precision_inputs_are_computed_in_float32():
    a = ops.cast(_random(11, 1, 16, 16, 3), "bfloat16")
    b = ops.cast(_random(12, 1, 16, 16, 3), "bfloat16")
    exact = losses.ssim(ops.cast(a, "float32"), ops.cast(b, "float32"))
    assert float(losses.ssim(a, b)) == float(exact)
    assert losses.l1(a, b).dtype == tf.float32
