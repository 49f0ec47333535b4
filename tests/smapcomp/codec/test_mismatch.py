"""Decoding by something that computes another prediction than the encoder did."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest

import smapcomp
from smapcomp import metrics, zoo
from smapcomp.codec.bitstream.container import unpack
from smapcomp.codec.decoder import StreamDecoder
from smapcomp.errors import DigestMismatchError, SmapcompError
from smapcomp.pictures.image_files import read_picture
from tests.helpers.paths import DEMO_PHOTO, ROOT
from tests.helpers.perturbed import PerturbedPredictor, bfloat16

IMAGE = read_picture(DEMO_PHOTO).samples[:160, :224].copy()
SETTINGS = {
    "default": {"quality": 50, "speed": 8},
    "papers": {"quality": 40, "speed": 8, "compact_coder": "jxl"},
    "lossless": {"lossless": True, "speed": 8, "compact_coder": "jxl"},
}


class UncheckedPredictor(PerturbedPredictor):
    """Predictor that rounds to bfloat16 and does not notice it."""

    def __init__(self):
        super().__init__(zoo.cached_networks("lite"), bfloat16)

    def _check_arithmetic(self, role: str) -> None:
        pass


class InexactPredictor(UncheckedPredictor):
    """Predictor of networks that are not exact, on a machine that rounds to bfloat16."""

    def is_exact(self, finenet: str) -> bool:
        return False


@pytest.fixture(scope="module")
def streams() -> dict[str, bytes]:
    return {name: smapcomp.compress(IMAGE, **options) for name, options in SETTINGS.items()}


def decoded(data: bytes, predictor) -> np.ndarray:
    return StreamDecoder(predictor, unpack(data)).picture().samples


@pytest.mark.parametrize("name", SETTINGS)
def test_exact_networks_that_compute_something_else_are_an_error(streams, name):
    with pytest.raises(DigestMismatchError, match="a defect of this decoder or of the stream"):
        decoded(streams[name], UncheckedPredictor())
    with pytest.raises(SmapcompError, match="tensorflow does not compute segmenter exactly"):
        decoded(streams[name], PerturbedPredictor(zoo.cached_networks("lite"), bfloat16))


@pytest.mark.parametrize("name", ["default", "papers"])
def test_other_networks_that_round_differently_are_a_warning(streams, name, caplog):
    caplog.set_level(logging.WARNING, "smapcomp")
    picture = decoded(streams[name], InexactPredictor())
    assert any("the picture may be damaged" in message for message in caplog.messages)
    assert metrics.psnr(smapcomp.decompress(streams[name]), picture) > 30


def test_other_networks_that_round_differently_are_an_error_in_a_lossless_stream(streams):
    with pytest.raises(DigestMismatchError, match="this machine rounds differently"):
        decoded(streams["lossless"], InexactPredictor())


ARITHMETICS = {
    "oneDNN on": {"TF_ENABLE_ONEDNN_OPTS": "1"},
    "oneDNN off": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "oneDNN for SSE4.1": {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "oneDNN for AVX2": {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}


@pytest.mark.parametrize("environment", ARITHMETICS.values(), ids=ARITHMETICS)
def test_tensorflow_decodes_to_the_pictures_of_onnx_runtime(streams, tmp_path, environment):
    for name, data in streams.items():
        (tmp_path / name).write_bytes(data)
    script = (
        "import sys, numpy as np, tensorflow as tf\n"
        "tf.config.threading.set_intra_op_parallelism_threads(1)\n"
        "import smapcomp\n"
        "for name in sys.argv[1:]:\n"
        "    data = open(name, 'rb').read()\n"
        "    np.save(name, smapcomp.decompress(data, engine='tensorflow'))\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, *streams],
        cwd=tmp_path,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    for name, data in streams.items():
        expected = smapcomp.decompress(data, engine="onnxruntime")
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), expected)
    np.testing.assert_array_equal(np.load(tmp_path / "lossless.npy"), IMAGE)
