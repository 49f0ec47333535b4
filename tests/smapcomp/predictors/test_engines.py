"""ONNX Runtime and Keras compute the same bits, and each decodes the other's streams."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import smapcomp
from smapcomp import zoo
from smapcomp.errors import DigestMismatchError, SmapcompError
from smapcomp.models.layers import upsample
from smapcomp.pictures.image_files import read_picture, write_picture
from smapcomp.pictures.picture import Picture
from smapcomp.predictors import engines
from smapcomp.predictors.base import Compact
from smapcomp.predictors.engines import load_predictor
from smapcomp.predictors.local import upsample_signal
from smapcomp.predictors.onnx_graphs import graph_file
from smapcomp.predictors.onnx_predictor import OnnxPredictor
from tests.helpers.paths import ROOT

PHOTO = read_picture(ROOT / "docs" / "demo" / "photo.png").samples
SMALL = PHOTO[200:247, 100:163]

GREY_LEVELS = 1e-3
"""Largest difference that rounding may cause, ten times the measured one."""


@pytest.fixture(scope="module")
def both() -> tuple:
    """Predictors of ONNX Runtime and of TensorFlow."""
    return load_predictor("lite", None, "onnxruntime"), load_predictor("lite", None, "tensorflow")


@pytest.fixture(scope="module")
def stream() -> bytes:
    """A stream that TensorFlow encoded."""
    return smapcomp.compress(SMALL, speed=10, engine="tensorflow")


@pytest.fixture
def other_arithmetic(monkeypatch):
    """Let ONNX Runtime compute other values; return the list of roles that it runs."""
    run, roles = OnnxPredictor._run, []

    def changed(self, role, *inputs):
        roles.append(role)
        return run(self, role, *inputs) + np.float32(0.02)

    monkeypatch.setattr(OnnxPredictor, "_run", changed)
    return roles


def test_every_network_gives_the_same_values_under_both_engines(both):
    onnx, tensorflow = both
    picture = PHOTO[96:216, 40:176]
    np.testing.assert_allclose(
        onnx.run_compnet(picture), tensorflow.run_compnet(picture), atol=GREY_LEVELS
    )
    np.testing.assert_array_equal(onnx.segment(picture), tensorflow.segment(picture))
    for scale in (1, 2, 4, 8):
        image = picture[::scale, ::scale]
        for quality in (None, 30):
            compact = Compact(image, scale, quality)
            for mode in ("none", "matched", "mapped"):
                labels, values = onnx.predict_window(compact, mode, None, unrounded=True)
                expected_labels, expected = tensorflow.predict_window(
                    compact, mode, None, unrounded=True
                )
                np.testing.assert_array_equal(values, expected)
                np.testing.assert_array_equal(labels, expected_labels)
                assert values.dtype == expected.dtype


def test_pictures_of_different_sizes_can_follow_each_other(both):
    for height, width in ((16, 16), (104, 16), (24, 200)):
        compact = Compact(PHOTO[:height, :width], 1, 50)
        found, expected = (p.predict_window(compact, "mapped", None, True)[1] for p in both)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_upsampling_without_a_framework_is_that_of_the_networks_to_the_bit(scale):
    rng = np.random.default_rng(scale)
    for shape in ((1, 1, 7, 3), (1, 33, 2, 3), (1, 40, 56, 3)):
        signal = rng.uniform(-1, 1, shape).astype(np.float32)
        expected = keras.ops.convert_to_numpy(upsample(keras.ops.convert_to_tensor(signal), scale))
        np.testing.assert_array_equal(upsample_signal(signal, scale), expected)


def test_the_result_does_not_depend_on_the_number_of_threads(monkeypatch):
    compact = Compact(PHOTO[:248, :264], 1, 50)
    found = []
    for threads in ("1", "2", "3", "", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        _, values = OnnxPredictor(zoo.cached_networks()).predict_window(
            compact, "mapped", None, unrounded=True
        )
        found.append(values)
    for values in found[1:]:
        np.testing.assert_array_equal(values, found[0])


def test_auto_encodes_with_onnx_runtime_and_the_same_model_digest(stream):
    data = smapcomp.compress(SMALL, speed=10)
    assert data == smapcomp.compress(SMALL, speed=10, engine="onnxruntime")
    assert smapcomp.info(data)["model_digest"] == smapcomp.info(stream)["model_digest"]
    for engine in ("auto", "onnxruntime"):
        assert smapcomp.decompress(data, engine=engine).shape == SMALL.shape


def test_an_engine_that_computes_something_else_is_found_out(stream, other_arithmetic):
    with pytest.raises(DigestMismatchError, match="a defect of this decoder"):
        smapcomp.decompress(stream, engine="onnxruntime")
    assert other_arithmetic


def test_without_tensorflow_onnx_runtime_decodes_its_streams(stream, monkeypatch):
    expected = smapcomp.decompress(stream, engine="tensorflow")
    monkeypatch.setattr(engines, "_is_importable", lambda package: package != "tensorflow")
    assert engines.choose_engine("lite") == "onnxruntime"
    np.testing.assert_array_equal(smapcomp.decompress(stream), expected)
    with pytest.raises(SmapcompError, match=r"'tensorflow': no TensorFlow .* there is onnxruntime"):
        smapcomp.decompress(stream, engine="tensorflow")


def test_without_onnx_runtime_or_its_graphs_tensorflow_is_used(monkeypatch):
    assert engines.choose_engine("lite") == "onnxruntime"
    assert engines.choose_engine("paper") == "tensorflow"
    message = "engine 'onnxruntime': no ONNX Runtime for variant 'paper'; there is tensorflow"
    with pytest.raises(SmapcompError, match=message):
        engines.load_predictor("paper", None, "onnxruntime")
    with pytest.raises(SmapcompError, match="engine 'torch' is unknown; allowed: auto, onnx"):
        smapcomp.compress(SMALL, engine="torch")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert engines.choose_engine("lite") == "tensorflow"


def test_an_error_names_the_weights_of_another_architecture(tmp_path):
    for role in ("segmenter", "smapnet", "finenet_x1"):
        arrays = dict(zoo.cached_networks().arrays(role))
        if role == "smapnet":
            arrays["conv_in/kernel"] = arrays["conv_in/kernel"][:, :, :75]
        np.savez(tmp_path / f"{role}.npz", **arrays)
    with pytest.raises(SmapcompError, match=r"smapnet\.npz: conv_in/kernel has shape"):
        smapcomp.compress(SMALL, weights_dir=str(tmp_path), engine="onnxruntime")
    del arrays["conv0/bias"]
    np.savez(tmp_path / "finenet_x1.npz", **arrays)
    with pytest.raises(SmapcompError, match=r"finenet_x1\.npz: conv0 lacks bias"):
        smapcomp.compress(SMALL, weights_dir=str(tmp_path), mode="none", engine="onnxruntime")
    # Keras runs a changed architecture for which there are no graphs.
    assert engines.choose_engine("lite", str(tmp_path)) == "tensorflow"
    own = tmp_path / "own"
    own.mkdir()
    for role in ("segmenter", "smapnet", "finenet_x1"):
        np.savez(own / f"{role}.npz", **zoo.cached_networks().arrays(role))
    assert engines.choose_engine("lite", str(own)) == "onnxruntime"


def test_the_commands_need_no_tensorflow(tmp_path):
    write_picture(tmp_path / "a.png", Picture(SMALL))
    script = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
from smapcomp.cli import main
assert main(["", "compress", "a.png", "a.smc", "--speed=10"]) == 0
assert main(["", "decompress", "a.smc", "back.png"]) == 0
assert main(["", "decompress", "a.smc", "b.png", "--engine=tensorflow"]) == 1
"""
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    message = "engine 'tensorflow': no TensorFlow for variant 'lite'; there is onnxruntime"
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    data = (tmp_path / "a.smc").read_bytes()
    assert data == smapcomp.compress(SMALL, speed=10)
    np.testing.assert_array_equal(
        read_picture(tmp_path / "back.png").samples, smapcomp.decompress(data)
    )


def test_the_graph_tool_writes_graphs_that_fit_the_weight_files(tmp_path, monkeypatch):
    from smapcomp.predictors import onnx_predictor
    from tools import onnx_graphs

    monkeypatch.setattr(onnx_graphs, "ROLES", ("smapnet",))
    onnx_graphs.write_graphs("lite", tmp_path)
    path = tmp_path / "lite" / "smapnet.onnx"
    shapes = path.with_suffix(".json").read_text()
    assert shapes == graph_file("lite", "smapnet").with_suffix(".json").read_text()
    predictor = OnnxPredictor(zoo.cached_networks())
    logits = np.random.default_rng(0).normal(size=(1, 5, 7, 150)).astype(np.float32)
    expected = predictor._run("smapnet", logits)
    monkeypatch.setattr(onnx_predictor, "graph_file", lambda *_: path)
    np.testing.assert_array_equal(
        OnnxPredictor(zoo.cached_networks())._run("smapnet", logits), expected
    )


def test_an_engine_that_does_not_compute_exactly_is_not_used(stream, monkeypatch):
    run = OnnxPredictor._run

    def rounded(self, role, *inputs):
        return np.float32(np.float16(run(self, role, *inputs)))

    monkeypatch.setattr(OnnxPredictor, "_run", rounded)
    predictor = OnnxPredictor(zoo.load_networks())
    for _ in range(2):
        with pytest.raises(SmapcompError, match="onnxruntime does not compute segmenter exactly"):
            smapcomp.decompress(stream, predictor=predictor)
