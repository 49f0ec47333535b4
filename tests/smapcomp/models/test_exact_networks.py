"""Exact networks give the same bits in every engine, in every kind of arithmetic."""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from smapcomp.design import SCALES
from smapcomp.models import exact_layers, exact_reference
from smapcomp.models.architecture import GREY_SCALE
from smapcomp.models.finenet import LiteSize, build_finenet
from smapcomp.models.lossy_finenet import LossySize, build_lossy_finenet
from smapcomp.models.weights import assign_weights
from smapcomp.predictors.base import Compact
from smapcomp.predictors.keras_predictor import KerasPredictor
from smapcomp.predictors.local import to_signal, upsample_signal
from smapcomp.zoo import cached_networks, load_networks
from tests.helpers.exact_digests import SIZE, engine_digests
from tests.helpers.exact_examples import OUTPUT_EXPONENT, ROLES, Example, digest
from tests.helpers.exact_networks import random_exact_weights, random_network
from tests.helpers.paths import ROOT

SIZES = ((16, 16), (24, 40), (72, 56))

SMALL_SIZE = LossySize((4, 8, 12), (1, 0, 2, 1, 1))

SMALL = {
    "finenet_x2": lambda: build_lossy_finenet(2, SMALL_SIZE, exact=True),
    "finenet": lambda: build_finenet("lite", LiteSize(8, 1, ((8, 1), (4, 2))), exact=True),
}
"""Networks of other sizes than those of the package, which the weights tell."""


def run(model: keras.Model, example: Example, role: str, training: bool = False) -> np.ndarray:
    inputs = example.inputs(role)
    output = model(inputs if len(inputs) > 1 else inputs[0], training=training)
    return keras.ops.convert_to_numpy(output)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with the random weights of all networks."""
    path = tmp_path_factory.mktemp("weights")
    for role in ROLES:
        np.savez(path / f"{role}.npz", **random_network(role)[1])
    return path


DIGESTS = {
    "finenet": "40b72c19cddf35c0",
    "finenet_x1": "0b3ee5c126eef066",
    "segmenter": "ee5bc1f8586e19e1",
    "smapnet": "ed031f9f2f1ef1c4",
}
"""Digests of random networks, as in docs/exact.md."""

BUNDLED_DIGESTS = {
    "finenet": "3fd035127e64554c",
    "finenet_x1": "2ba9b719f6854a0f",
    "segmenter": "e57bd2f26a8f8889",
    "smapnet": "9150d00aff803665",
}
"""Digests of the bundled networks. They change only with the weights."""


def digests_of_process(engine: str, folder: Path | None, **environment: str) -> dict[str, str]:
    result = subprocess.run(
        [sys.executable, "-m", "tests.helpers.exact_digests", engine, str(folder or "")],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("role", ROLES)
def test_a_network_computes_what_the_integer_reference_does(role):
    model, stored = random_network(role)
    for size in SIZES:
        example = Example(*size)
        wanted = example.reference(role, stored)
        np.testing.assert_array_equal(run(model, example, role), wanted)
        assert len(np.unique(wanted)) > 100


@pytest.mark.parametrize("role", ROLES)
def test_a_network_computes_the_same_in_training(role):
    model, stored = random_network(role)
    example = Example(16, 24)
    wanted = example.reference(role, stored)
    np.testing.assert_array_equal(run(model, example, role, training=True), wanted)


@pytest.mark.parametrize("role", ["finenet", "finenet_x1", "segmenter"])
def test_a_picture_of_one_colour_is_no_exception(role):
    model, stored = random_network(role)
    example = Example(24, 16, smooth=True)
    np.testing.assert_array_equal(run(model, example, role), example.reference(role, stored))


@pytest.mark.parametrize("role", SMALL)
def test_the_reference_reads_the_number_of_blocks_from_the_weights(role):
    model = SMALL[role]()
    stored = random_exact_weights(model, seed=3)
    assign_weights(model, stored)
    example = Example(24, 32)
    np.testing.assert_array_equal(run(model, example, role), example.reference(role, stored))


@pytest.mark.parametrize("role", SMALL)
def test_float64_gives_the_same_numbers(role, monkeypatch):
    stored = random_exact_weights(SMALL[role](), seed=4)
    monkeypatch.setattr(exact_layers, "FLOAT32", "float64")
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        model = SMALL[role]()
        assign_weights(model, stored)
        example = Example(24, 32)
        output = run(model, example, role)
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)
    assert output.dtype == np.float64
    # The last factor of a FineNet, 128/127.5, is the only one that rounds.
    found = output * (GREY_SCALE * 2**OUTPUT_EXPONENT)
    wanted = example.reference(role, stored).astype(np.float64) * (GREY_SCALE * 2**OUTPUT_EXPONENT)
    np.testing.assert_allclose(found, np.round(found), rtol=0, atol=0.02)
    np.testing.assert_array_equal(np.round(found), np.round(wanted))


def test_the_level_of_a_quality_is_rounded_as_in_float32():
    for quality, exponent in itertools.product(range(101), range(12)):
        plane = np.float32(1 - quality / 100) * np.float32(2.0**exponent)
        stored = {"conv0/input_grid": np.array([exponent, -4095, 4095])}
        assert exact_reference.level(stored, quality).values.item() == np.round(plane)


def test_the_reference_needs_no_framework():
    code = "import sys; from smapcomp.models import exact_reference; print('keras' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "False"


def test_the_reference_gives_the_digests_of_the_documentation():
    example = Example(*SIZE)
    found = {role: digest(example.reference(role, random_network(role)[1])) for role in ROLES}
    assert found == DIGESTS
    page = (ROOT / "docs/exact.md").read_text(encoding="utf-8")
    assert all(value in page for value in DIGESTS.values())


@pytest.mark.parametrize("scale", [1, 8])
def test_a_prediction_is_that_of_the_reference_from_the_compact_image_on(scale, folder):
    image = np.random.default_rng(scale).integers(0, 256, (48 // scale, 64 // scale, 3), np.uint8)
    role, quality = ("finenet_x1", 83) if scale == 1 else ("finenet", None)
    predictor = KerasPredictor(load_networks("lite", str(folder)))
    compact = Compact(image, scale, quality)
    labels, values = predictor.predict_window(compact, "mapped", None, unrounded=True)

    stored = {role: random_network(role)[1] for role in ROLES}
    upsampled = exact_reference.upsample(image, scale)
    logits = exact_reference.segmenter(stored["segmenter"], upsampled)
    found = exact_reference.smapnet(stored["smapnet"], logits).values.argmax(-1) + 1
    np.testing.assert_array_equal(labels, found)
    label_map = found.repeat(8, 0).repeat(8, 1)
    if quality is None:
        detail = exact_reference.finenet(stored[role], upsampled, label_map)
    else:
        detail = exact_reference.lossy_finenet(stored[role], upsampled, label_map, quality)
    np.testing.assert_array_equal(values * 256, exact_reference.prediction(upsampled, detail))


@pytest.mark.parametrize("scale", SCALES)
def test_the_reference_up_samples_as_the_networks_do(scale):
    image = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    wanted = (upsample_signal(to_signal(image), scale)[0].astype(np.float64) + 1) * 127.5
    found = exact_reference.upsample(image, scale) / 256
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


def test_tensorflow_gives_the_digests_of_the_reference(folder):
    assert engine_digests("tensorflow", load_networks("lite", str(folder))) == DIGESTS


@pytest.mark.parametrize(
    "environment",
    [
        {"ONEDNN_MAX_CPU_ISA": "SSE41"},
        {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        {"TF_ENABLE_ONEDNN_OPTS": "0"},
    ],
    ids=lambda environment: "-".join(environment.values()),
)
def test_tensorflow_gives_them_with_other_instructions(environment, folder):
    assert digests_of_process("tensorflow", folder, **environment) == DIGESTS


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_jax_gives_the_digests_of_the_reference(folder):
    assert digests_of_process("jax", folder) == DIGESTS


@pytest.mark.parametrize("threads", ["1", "2"])
def test_onnx_runtime_gives_the_digests_of_the_reference(threads, folder):
    assert digests_of_process("onnx", folder, OMP_NUM_THREADS=threads) == DIGESTS


def test_the_bundled_networks_give_their_digests():
    networks = cached_networks("lite")
    example = Example(*SIZE)
    found = {role: digest(example.reference(role, networks.arrays(role))) for role in ROLES}
    assert found == BUNDLED_DIGESTS
    assert engine_digests("onnx", networks) == BUNDLED_DIGESTS
