"""Decoding where arithmetic rounds differently: detected, and harmless with `robust`."""

import functools
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
from tests.helpers.perturbed import PerturbedPredictor, bfloat16, noisy

IMAGE = read_picture(DEMO_PHOTO).samples[:160, :224].copy()
SETTINGS = {
    "default": {"quality": 50, "speed": 8},
    "papers": {"quality": 40, "speed": 8, "compact_coder": "jxl"},
}


NOISE = 1e-6
"""Relative noise of every activation: ten times the error of float32. The networks
turn it into up to a thousandth of a grey level, the margin of the rounding layer."""


@pytest.fixture(scope="module", params=SETTINGS)
def design(request) -> str:
    return request.param


@functools.cache
def coded(design: str) -> tuple[bytes, bytes]:
    """A stream as usual, and a robust one."""
    settings = SETTINGS[design]
    return (
        smapcomp.compress(IMAGE, **settings),
        smapcomp.compress(IMAGE, robust=True, **settings),
    )


@pytest.fixture
def streams(design) -> tuple[bytes, bytes]:
    return coded(design)


@pytest.fixture
def default_streams() -> tuple[bytes, bytes]:
    return coded("default")


def perturbed(change) -> PerturbedPredictor:
    return PerturbedPredictor(zoo.cached_networks("lite"), change)


def decoded(data: bytes, predictor, on_mismatch: str = "error") -> np.ndarray:
    return StreamDecoder(predictor, unpack(data), on_mismatch).picture().samples


def test_a_robust_stream_says_so_and_costs_a_few_hundredths_of_a_bit_per_pixel(streams):
    plain, robust = streams
    facts = smapcomp.info(robust)
    assert facts["robust"]
    assert not smapcomp.info(plain)["robust"]
    assert {"labels", "rounding"} <= {layer["kind"] for layer in facts["layers"]}
    assert metrics.bits_per_pixel(len(robust) - len(plain), 224, 160) < 0.04
    loss = metrics.psnr(IMAGE, smapcomp.decompress(plain))
    loss -= metrics.psnr(IMAGE, smapcomp.decompress(robust))
    assert abs(loss) < 0.02


def test_noise_on_all_activations_is_found_out_and_does_not_matter_to_a_robust_stream(
    streams, caplog
):
    plain, robust = streams
    expected = smapcomp.decompress(robust)
    np.testing.assert_array_equal(decoded(robust, perturbed(noisy(NOISE))), expected)
    predictor = perturbed(noisy(1e-4))
    with pytest.raises(DigestMismatchError, match="differs from the encoder's"):
        decoded(plain, predictor)
    caplog.clear()
    caplog.set_level(
        logging.WARNING, "smapcomp"
    )  # data.preparation.beam raises it in the same process
    picture = decoded(plain, predictor, on_mismatch="warn")
    assert any("the picture may be damaged" in message for message in caplog.messages)
    assert metrics.psnr(smapcomp.decompress(plain), picture) > 35


def test_bfloat16_is_found_out_even_in_a_robust_stream(default_streams):
    predictor = perturbed(bfloat16)
    for data in default_streams:
        with pytest.raises(DigestMismatchError):
            decoded(data, predictor)
        picture = decoded(data, predictor, on_mismatch="warn")
        assert metrics.psnr(smapcomp.decompress(data), picture) > 30


# Whether oneDNN is on unasked depends on the processor: one of the two is another arithmetic.
@pytest.mark.parametrize("onednn", ["0", "1"])
def test_one_thread_with_or_without_onednn_decodes_a_robust_stream_to_the_same_picture(
    default_streams, tmp_path, onednn
):
    plain, robust = default_streams
    (tmp_path / "plain").write_bytes(plain)
    (tmp_path / "robust").write_bytes(robust)
    script = (
        "import sys, numpy as np, tensorflow as tf\n"
        "tf.config.threading.set_intra_op_parallelism_threads(1)\n"
        "import smapcomp\n"
        "from smapcomp.errors import DigestMismatchError\n"
        "for name in ('plain', 'robust'):\n"
        "    try:\n"
        "        np.save(name, smapcomp.decompress(open(name, 'rb').read()))\n"
        "    except DigestMismatchError:\n"
        "        print(name, 'differs')\n"
    )
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    np.testing.assert_array_equal(np.load(tmp_path / "robust.npy"), smapcomp.decompress(robust))
    # The other one is either the same too, or found out.
    if "plain differs" not in result.stdout:
        np.testing.assert_array_equal(np.load(tmp_path / "plain.npy"), smapcomp.decompress(plain))


def test_what_to_do_on_a_mismatch_is_one_of_two(default_streams):
    with pytest.raises(SmapcompError, match="on_mismatch 'ignore' is unknown"):
        smapcomp.decompress(default_streams[0], on_mismatch="ignore")
