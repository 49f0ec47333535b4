"""Exact networks that calibration makes are close to the float networks."""

import keras
import numpy as np
import pytest

from smapcomp.models.architecture import GREY_SCALE
from smapcomp.models.exact_segmenter import build_exact_segmenter
from smapcomp.models.exact_weights import check_bounds, is_exact
from smapcomp.models.finenet import LiteSize, build_finenet
from smapcomp.models.lossy_finenet import LossySize, build_lossy_finenet
from smapcomp.models.pspnet import build_pspnet
from smapcomp.models.smapnet import build_smapnet
from smapcomp.models.weights import assign_variables, assign_weights, named_variables
from smapcomp.training.calibration import EXACT_LAYERS, calibrate, kernel_exponents
from smapcomp.training.folding import folded

LOSSY = LossySize((8, 12, 16), (1, 1, 1, 1, 1))
LITE = LiteSize(12, 2, ((8, 1), (4, 1)))

BUILDERS = {
    "finenet_x2": lambda exact: build_lossy_finenet(2, LOSSY, exact=exact),
    "finenet": lambda exact: build_finenet("lite", LITE, exact=exact),
    "smapnet": lambda exact: build_smapnet("classes", filters=16, exact=exact),
    "segmenter": lambda exact: (
        build_exact_segmenter() if exact else build_pspnet("efficientnet_lite0")
    ),
}


def random_float_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Give a network random weights, statistics of normalisation included, and return them."""
    rng = np.random.default_rng(1)
    for key, variable in named_variables(model).items():
        value = keras.ops.convert_to_numpy(variable)
        if key.endswith(("gamma", "moving_variance")):
            value = rng.uniform(0.5, 2.0, value.shape)
        elif key.endswith(("bias", "beta", "moving_mean")):
            value = rng.normal(0, 0.1, value.shape)
        elif not value.any():
            value = rng.normal(0, 0.03, value.shape)
        variable.assign(value)
    return {k: keras.ops.convert_to_numpy(v) for k, v in named_variables(model).items()}


def random_inputs(role: str, height: int, width: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    if role == "smapnet":
        return [rng.normal(0, 4, (1, height // 8, width // 8, 150)).astype(np.float32)]
    blocks = rng.integers(0, 256, (1, height // 4, width // 4, 3)).repeat(4, 1).repeat(4, 2)
    signal = (blocks / 127.5 - 1).astype(np.float32)
    labels = rng.integers(0, 151, (1, height // 8, width // 8)).repeat(8, 1).repeat(8, 2)
    inputs = [signal, labels.astype(np.int32), np.array([rng.random()], np.float32)]
    return inputs[: {"segmenter": 1, "finenet": 2}.get(role, 3)]


def run(model: keras.Model, inputs: list[np.ndarray]) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(inputs if len(inputs) > 1 else inputs[0]))


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.sqrt(np.square(found - wanted).mean() / np.square(wanted).mean()))


@pytest.mark.parametrize("role", BUILDERS)
def test_without_rounding_the_folded_network_is_the_float_network(role):
    plain, exact = (BUILDERS[role](exact) for exact in (False, True))
    weights = random_float_weights(plain)
    assign_variables(exact, folded(role, weights), partial=True)
    for layer in exact.layers:
        if isinstance(layer, EXACT_LAYERS):
            layer.quantises = False
    inputs = random_inputs(role, 48, 32)
    assert relative_error(run(exact, inputs), run(plain, inputs)) < 1e-4


@pytest.mark.parametrize(
    ("role", "bound"), [("finenet_x2", 0.03), ("finenet", 0.03), ("smapnet", 0.06)]
)
def test_a_calibrated_network_is_close_to_the_float_network(role, bound):
    plain, exact = (BUILDERS[role](exact) for exact in (False, True))
    weights = random_float_weights(plain)
    pictures = [random_inputs(role, 64, 64, seed) for seed in range(2)]
    stored = calibrate(exact, folded(role, weights), pictures)
    assert is_exact(stored)
    check_bounds(stored)
    again = BUILDERS[role](True)
    assign_weights(again, stored)
    inputs = random_inputs(role, 40, 56, seed=9)
    error = relative_error(run(again, inputs), run(plain, inputs))
    assert 0 < error < bound


def test_networks_that_a_decoder_does_not_run_have_no_exact_form():
    with pytest.raises(ValueError, match="compnet has no exact form; allowed: finenet, "):
        folded("compnet", {})


def test_a_finenet_reads_and_returns_units_of_128_grey_levels():
    kernel = np.ones((3, 3, 13, 2), np.float32)
    ends = {"detail/kernel": np.ones(1, np.float32), "detail/bias": np.ones(1, np.float32)}
    result = folded("finenet_x1", {"conv0/kernel": kernel} | ends)
    np.testing.assert_allclose(result["conv0/kernel"][0, 0, :12] * GREY_SCALE, 1)
    np.testing.assert_array_equal(result["conv0/kernel"][0, 0, 12], 1)  # The level.
    np.testing.assert_allclose(result["detail/bias"], GREY_SCALE)


def test_the_step_of_a_channel_fits_its_largest_weight():
    kernel = np.zeros((1, 1, 2, 3), np.float32)
    kernel[0, 0, :, 0] = [1.0, -0.25]  # 64 and -16; with exponent 7 the first would be clipped.
    kernel[0, 0, :, 1] = [0.1, 3.0]
    # A channel of zeros has a step that is not needlessly fine.
    np.testing.assert_array_equal(kernel_exponents(kernel, False, 127), [6, 5, 18])
