"""Weights of the papers' design alone: compress, export and evaluation find it by themselves."""

import logging
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import smapcomp
from evaluation.codecs.own import Smapcomp
from smapcomp import zoo
from smapcomp.codec import layer_settings
from smapcomp.errors import SmapcompError
from smapcomp.metrics import psnr
from smapcomp.serving.client.remote_predictor import connect
from smapcomp.serving.client.server_options import ServerOptions
from smapcomp.serving.saved_model import export_model
from tests.helpers import light_chain
from tests.helpers.loopback_server import Models, grpc_server
from tests.helpers.ports import free_ports

LINE = (
    "the weights of variant {} have no FineNet of lossy compact images; "
    "compressing in the papers' design (compact_coder=jxl)"
)


@pytest.fixture(scope="module")
def light():
    """Replace the real networks by networks of one layer each, in training and in the codec."""
    with pytest.MonkeyPatch.context() as patch:
        light_chain.lighten(patch)
        yield


@pytest.fixture(scope="module")
def chain(light, tmp_path_factory):
    """Weights of the papers' four stages in one folder, and a picture."""
    pictures = light_chain.make_pictures(tmp_path_factory.mktemp("pictures"))
    weights = tmp_path_factory.mktemp("weights")
    for folder in light_chain.train_chain(pictures, tmp_path_factory.mktemp("runs"), "paper"):
        shutil.copytree(folder, weights, dirs_exist_ok=True)
    picture = np.asarray(Image.open(pictures / "images/validation/0.png"))
    return SimpleNamespace(weights=weights, picture=picture)


def test_compress_chooses_the_papers_design_and_says_so_once(chain, caplog):
    layer_settings._warn_once.cache_clear()
    options = {"variant": "paper", "weights_dir": str(chain.weights)}
    with caplog.at_level(logging.WARNING, logger="smapcomp"):
        data = [smapcomp.compress(chain.picture, quality=60, **options) for _ in range(2)]
    assert [r.getMessage() for r in caplog.records if r.name == "smapcomp"] == [
        LINE.format("paper")
    ]
    assert data[0] == data[1]
    facts = smapcomp.info(data[0])
    assert {layer["kind"]: layer["coder"] for layer in facts["layers"]}["compact"] == "jxl"
    asked = smapcomp.compress(chain.picture, quality=60, compact_coder="jxl", **options)
    assert data[0] == asked
    decoded = smapcomp.decompress(data[0], weights_dir=str(chain.weights))
    assert psnr(chain.picture, decoded) > 25
    exact = smapcomp.compress(chain.picture, lossless=True, **options)
    decoded = smapcomp.decompress(exact, weights_dir=str(chain.weights))
    np.testing.assert_array_equal(decoded, chain.picture)
    small = smapcomp.compress(chain.picture, target_psnr=30.0, **options)
    assert psnr(chain.picture, smapcomp.decompress(small, weights_dir=str(chain.weights))) > 30


def test_a_lossy_design_that_is_asked_for_names_the_missing_file(chain):
    options = {"variant": "paper", "weights_dir": str(chain.weights), "compact_scale": 2}
    with pytest.raises(SmapcompError, match=r"finenet_x2\.npz: no such weights file"):
        smapcomp.compress(chain.picture, **options)


def test_the_default_uses_the_scale_that_was_trained_if_others_are_missing(tmp_path, caplog):
    layer_settings._warn_once.cache_clear()
    options = layer_settings.CompressOptions()
    with caplog.at_level(logging.WARNING, logger="smapcomp"):
        found = layer_settings.with_available_design(options, ["finenet", "finenet_x4"])
    assert (found.compact_coder, found.compact_scale) == (None, 4)
    (record,) = caplog.records
    assert record.getMessage().endswith("scales 1, 2, 8; compressing with compact_scale=4")
    for finenets in (zoo.FINENETS, ()):
        assert layer_settings.with_available_design(options, finenets) == options


def test_export_and_client_serve_the_papers_design(chain, tmp_path):
    facts = export_model(tmp_path / "smapcomp" / "1", "paper", str(chain.weights))
    assert list(facts["digests"]) == ["finenet"]
    assert facts["finenets"] == "finenet"
    options = {"variant": "paper", "weights_dir": str(chain.weights)}
    here = smapcomp.compress(chain.picture, quality=60, **options)
    models = Models(tmp_path / "smapcomp")
    with grpc_server(models.respond, *free_ports(1)) as address:
        predictor = connect(ServerOptions(address))
        predictor.check_model("paper")
        there = smapcomp.compress(chain.picture, predictor=predictor, quality=60)
        assert smapcomp.info(there)["variant"] == "paper"
        decoded = smapcomp.decompress(there, predictor=predictor)
        with pytest.raises(SmapcompError, match=r"the model has finenet; got.*finenet_x2"):
            smapcomp.compress(chain.picture, predictor=predictor, compact_scale=2)
    assert there == here
    np.testing.assert_array_equal(
        decoded, smapcomp.decompress(here, weights_dir=str(chain.weights))
    )


def test_evaluation_measures_the_papers_design(chain):
    codec = Smapcomp({"variant": "paper", "weights_dir": str(chain.weights)})
    assert "weights " in codec.version()
    data = codec.encode(chain.picture, 60)
    assert psnr(chain.picture, codec.decode(data)) > 25
    assert codec.details(chain.picture, data)["compact_bpp"] > 0
