"""tools.quantise: exact networks from float weights and coded records, on small networks."""

import functools
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from data import code_compact
from smapcomp import zoo
from smapcomp.models import finenet, lossy_finenet, smapnet
from smapcomp.models.exact_weights import is_exact
from smapcomp.models.finenet import LiteSize
from smapcomp.models.lossy_finenet import LossySize
from smapcomp.models.weights import save_weights
from tests.helpers.exact_networks import random_network
from tests.helpers.jobs import run_job
from tests.helpers.pictures import write_labelled_pictures
from tools import quantise

SMALL = {
    finenet.build_finenet: {"size": LiteSize(8, 1, ((8, 1), (4, 1)))},
    lossy_finenet.build_lossy_finenet: {"size": LossySize((8, 8, 8), (1, 0, 0, 0, 1))},
    smapnet.build_smapnet: {"filters": 8, "blocks": 2},
}
"""Options that make the builders' networks small."""


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    """Records of four pictures with compact images of scale 2."""
    root, folder = tmp_path_factory.mktemp("pictures"), tmp_path_factory.mktemp("coded")
    write_labelled_pictures(root, "training", 4, ".png")
    arguments = (f"--source={root}", "--split=training", "--scale=2", "--passes=1")
    run_job(code_compact, "--workers=1", *arguments, f"--out={folder}")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Float weights of small networks, and a segmenter that is exact already."""
    folder = tmp_path_factory.mktemp("trained")
    keras.utils.set_random_seed(3)
    models = {
        "finenet": small(finenet.build_finenet)("lite"),
        "finenet_x2": small(lossy_finenet.build_lossy_finenet)(2),
        "smapnet": small(smapnet.build_smapnet)("classes"),
    }
    for role, model in models.items():
        save_weights(model, str(folder / f"{role}.npz"))
    np.savez(folder / "segmenter.npz", **random_network("segmenter")[1])
    shutil.copyfile(zoo.BUNDLED_WEIGHTS / "lite/compnet.npz", folder / "compnet.npz")
    return folder


def small(build):
    return functools.partial(build, **SMALL[build])


@pytest.fixture
def run(monkeypatch, trained, coded, tmp_path):
    """Return a function that runs the command with small networks and changed flags."""
    for build in SMALL:
        shortened = lambda *args, build=build, exact=False: small(build)(args[0], exact=exact)  # noqa: E731
        monkeypatch.setattr(f"{build.__module__}.{build.__name__}", shortened)
    monkeypatch.setattr(quantise, "CROP", 32)

    def call(**changes):
        flags = {
            "weights_dir": str(trained),
            "coded": [str(coded)],
            "out": str(tmp_path / "out"),
            "pictures": 2,
        }
        monkeypatch.setattr(quantise, "FLAGS", SimpleNamespace(**(flags | changes)))
        quantise.main(["quantise"])
        return tmp_path / "out"

    return call


def test_all_networks_of_a_decoder_become_exact_and_can_be_run(run, trained, capsys):
    out = run()
    assert "finenet_x2: exact, from 2 pictures" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {path.name for path in trained.iterdir()}
    networks = zoo.load_networks("lite", str(out))
    old = zoo.load_networks("lite", str(trained))
    inputs = [np.zeros((1, 16, 24, 3), np.float32), np.zeros((1, 16, 24), np.int32)]
    for role in ("finenet", "finenet_x2", "smapnet", "segmenter"):
        assert is_exact(networks.arrays(role))
        model = networks.model(role)
        values = {"segmenter": inputs[0], "smapnet": np.zeros((1, 2, 3, 150), np.float32)}.get(
            role, [*inputs, np.ones(1, np.float32)][: len(model.inputs)]
        )
        assert np.isfinite(np.asarray(model(values))).all()
    # These two are copied.
    for role in ("compnet", "segmenter"):
        for key, array in old.arrays(role).items():
            np.testing.assert_array_equal(networks.arrays(role)[key], array)


def test_a_folder_that_is_not_empty_is_left_alone(run, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/kept").write_text("kept")
    with pytest.raises(SystemExit) as status:
        run()
    assert status.value.code == 1
    assert capsys.readouterr().err == f"quantise: --out: {tmp_path / 'out'}: is not empty\n"


def test_pictures_that_are_not_coded_are_refused_and_nothing_is_written(run, tmp_path, capsys):
    write_labelled_pictures(tmp_path / "plain", "training", 1, ".png")
    with pytest.raises(SystemExit) as status:
        run(coded=[str(tmp_path / "plain")])
    assert status.value.code == 1
    error = capsys.readouterr().err
    assert error == f"quantise: --coded: {tmp_path / 'plain'}: no records of data.code_compact\n"
    assert not (tmp_path / "out").exists()


def test_a_network_without_pictures_of_its_scale_is_refused(run, trained, tmp_path, capsys):
    weights = shutil.copytree(trained, tmp_path / "weights")
    shutil.copyfile(weights / "finenet_x2.npz", weights / "finenet_x4.npz")
    with pytest.raises(SystemExit):
        run(weights_dir=str(weights))
    assert capsys.readouterr().err == "quantise: --coded has no pictures for finenet_x4\n"


def test_compnet_has_no_exact_form():
    with pytest.raises(ValueError, match="compnet has no exact form"):
        zoo.build_network(zoo.VARIANTS["lite"], "compnet", exact=True)
