"""Files of exact weights: what goes in comes out, and damaged ones are refused in one line."""

import re

import numpy as np
import pytest

from smapcomp.errors import SmapcompError
from smapcomp.models.exact_weights import check_bounds, is_exact, to_float, to_stored
from smapcomp.models.weights import assign_variables, save_weights
from smapcomp.zoo import VARIANTS, build_network, load_networks
from tests.helpers.exact_networks import random_exact_weights, random_network


@pytest.fixture
def stored() -> dict[str, np.ndarray]:
    return {key: array.copy() for key, array in random_network("smapnet")[1].items()}


@pytest.mark.parametrize("role", ["finenet_x1", "segmenter", "smapnet"])
def test_integers_and_floats_are_converted_without_loss(role):
    stored = random_network(role)[1]
    floats = to_float(stored)
    assert all(array.dtype == np.float32 for array in floats.values())
    again = to_stored(floats)
    assert set(again) == set(stored)
    for key, array in stored.items():
        np.testing.assert_array_equal(again[key], array, err_msg=key)
        # Wide integers may fit into fewer bits.
        assert again[key].dtype.itemsize <= array.dtype.itemsize


def test_a_saved_network_has_the_weights_that_it_computes_with(tmp_path):
    model = build_network(VARIANTS["lite"], "smapnet", exact=True)
    stored = random_exact_weights(model, seed=8)
    floats = to_float(stored)
    # Off their grids, as in training.
    for key in ("conv1/kernel", "conv1/bias"):
        floats[key] = floats[key] + np.float32(0.2) * floats["conv1/kernel_step"] * (
            floats["conv1/input_grid"][0] if key.endswith("bias") else 1
        )
    assign_variables(model, floats)
    save_weights(model, str(tmp_path / "saved.npz"))
    with np.load(tmp_path / "saved.npz") as saved:
        assert is_exact(saved.files)
        for key, array in stored.items():
            np.testing.assert_array_equal(saved[key], array, err_msg=key)


DAMAGES = {
    "conv1 lacks bias": lambda s: s.pop("conv1/bias"),
    "conv1 lacks input_grid": lambda s: s.pop("conv1/input_grid"),
    "conv1/bias is float32; an exact network has integers": lambda s: s.update(
        {"conv1/bias": s["conv1/bias"].astype(np.float32)}
    ),
    "conv1/input_grid has 262145; an exact network allows 0..262144": lambda s: s[
        "conv1/input_grid"
    ].put(2, (1 << 18) + 1),
    "conv_in/output_grid has -262145; an exact network allows -262144..0": lambda s: s[
        "conv_in/output_grid"
    ].put(1, -(1 << 18) - 1),
    "logits/output_grid has 1000000; an exact network allows 0..262144": lambda s: s[
        "logits/output_grid"
    ].put(2, 1_000_000),
    "conv1/kernel_exponent has 41; an exact network allows -40..40": lambda s: s[
        "conv1/kernel_exponent"
    ].put(5, 41),
    "norm/kernel has 2048; an exact network allows -2047..2047": lambda s: s.update(
        {"norm/kernel": np.full((1, 1, 150, 1), 2048, np.int16)}
    ),
    "conv1/bias has shape (32,), not (64,)": lambda s: s.update(
        {"conv1/bias": s["conv1/bias"][:32]}
    ),
    "conv1 has unknown ['gamma']": lambda s: s.update({"conv1/gamma": s["conv1/bias"]}),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_a_damaged_file_is_refused_with_the_array_in_one_line(message, stored, tmp_path):
    DAMAGES[message](stored)
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        check_bounds(stored)
    np.savez(tmp_path / "smapnet.npz", **stored)
    networks = load_networks("lite", str(tmp_path))
    for use in (networks.model, networks.layer_weights):
        with pytest.raises(SmapcompError) as error:
            use("smapnet")
        assert str(error.value) == f"{tmp_path / 'smapnet.npz'}: {message}"


def test_outputs_that_are_added_must_have_one_exponent(stored):
    stored["conv2/output_grid"][0] = 12
    with pytest.raises(ValueError, match=r"exponents 13 \(conv_in\), 12 \(conv2\)"):
        check_bounds(stored)


def test_outputs_finer_than_the_prediction_are_refused(stored):
    for key in stored:
        if key.endswith("output_grid"):
            stored[key][0] = 16
    with pytest.raises(ValueError, match="exponent 16; an exact network allows 15"):
        check_bounds(stored)


def test_weights_that_are_not_finite_are_not_saved(stored):
    floats = to_float(stored)
    floats["conv1/kernel"][0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="conv1/kernel has values that are not finite"):
        to_stored(floats)


def test_a_file_without_the_weights_of_a_layer_is_refused(stored, tmp_path):
    np.savez(
        tmp_path / "smapnet.npz", **{k: a for k, a in stored.items() if not k.startswith("conv1")}
    )
    with pytest.raises(SmapcompError, match="missing weights"):
        load_networks("lite", str(tmp_path)).model("smapnet")
