"""A file of tools.import_pspnet starts the segmenter's training, and is the codec's segmenter."""

import importlib
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import smapcomp
from smapcomp import zoo
from smapcomp.codec import api
from smapcomp.models import compnet, finenet, smapnet
from smapcomp.models.pspnet import build_pspnet
from smapcomp.models.weights import load_weights
from smapcomp.training.config import TrainingConfig
from smapcomp.training.stages import networks
from tests.helpers import light_networks
from tests.helpers.pictures import smooth_picture
from tests.helpers.public_weights import STATES
from tools import import_pspnet

SOURCES = ("csail", "semseg")


@pytest.fixture(scope="module")
def light():
    """Replace all networks but the segmenter by networks of one layer each."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (compnet, finenet, smapnet):
            name = f"build_{module.__name__.rpartition('.')[2]}"
            patch.setattr(module, name, getattr(light_networks, name))
            patch.setattr(networks, name, getattr(light_networks, name))
        yield


def draw(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return random values with which activations stay near 1."""
    if len(shape) == 4:
        return rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)
    if name.endswith(("running_var", "weight")):
        return rng.uniform(0.5, 1.5, shape)
    return rng.normal(0, 0.1, shape)


@pytest.fixture(scope="module", params=SOURCES)
def imported(request, light, tmp_path_factory):
    """A folder of weights of the variant paper, whose segmenter a public checkpoint has made."""
    rng = np.random.default_rng(5)
    state = {name: draw(rng, name, a.shape) for name, a in STATES[request.param]().items()}
    folder = tmp_path_factory.mktemp(request.param)
    keras.utils.set_random_seed(3)
    models = {
        "compnet": light_networks.build_compnet(""),
        "finenet": light_networks.build_finenet(""),
        "smapnet": light_networks.build_smapnet("index", 3),
    }
    networks.save_networks(models, list(models), str(folder))
    weights = import_pspnet.convert(state, "resnet50", request.param)
    np.savez(folder / "segmenter.npz", **weights)
    return SimpleNamespace(folder=folder, file=str(folder / "segmenter.npz"), weights=weights)


def test_it_is_the_segmenter_of_the_codec(imported):
    picture = smooth_picture(2, 40, 48)
    options = {"variant": "paper", "weights_dir": str(imported.folder)}
    data = smapcomp.compress(picture, quality=40, mode="matched", **options)
    found = api.decode_stages(data, weights_dir=str(imported.folder))
    # The labels are those of a network with the auxiliary head, which has no part in them.
    model = build_pspnet("resnet50", auxiliary=True)
    load_weights(model, imported.file, partial=True)
    compact = found.compact.astype(np.float32)[None] / 127.5 - 1
    expected = np.asarray(model(compact)[0]).argmax(-1)[0] + 1
    assert (found.label_map == expected[:40, :48]).mean() > 0.95  # nearly equal logits may differ
    assert len(np.unique(found.label_map)) > 1


def test_streams_do_not_depend_on_the_auxiliary_head(imported, tmp_path):
    networks_here = zoo.load_networks("paper", str(imported.folder))
    assert not [key for key in networks_here.arrays("segmenter") if key.startswith("auxiliary")]
    for path in imported.folder.glob("*.npz"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "segmenter.npz").unlink()
    bare = {k: v for k, v in imported.weights.items() if not k.startswith("auxiliary")}
    np.savez(tmp_path / "segmenter.npz", **bare)
    other = zoo.load_networks("paper", str(tmp_path))
    assert networks_here.digest("finenet") == other.digest("finenet")


def stage_of(name: str, **model):
    config = importlib.import_module(f"experiments.configs.{name}_paper").get_config().to_dict()
    config["model"] |= model
    config["optimizer"]["rules"] = ((".*", 1.0),)
    return networks.build_stage(TrainingConfig.from_dict(config))


def test_training_of_the_segmenter_starts_from_it_as_a_backbone(imported):
    stage = stage_of("segmentation", backbone=imported.file, allow_random=True)
    # The checkpoint of semseg has no auxiliary head that fits.
    rest = "" if "auxiliary/kernel" in imported.weights else "; 7 arrays from random values"
    assert stage.sources["segmenter"] == imported.file + rest
    kernel = stage.models["segmenter"].get_layer("head_logits").kernel
    np.testing.assert_array_equal(np.asarray(kernel.value), imported.weights["head_logits/kernel"])


def test_stage2_keeps_it_fixed(imported):
    stage = stage_of("stage2", init=str(imported.folder))
    assert stage.sources["segmenter"] == imported.file
    kernel = stage.models["segmenter"].get_layer("stem_conv1").kernel
    np.testing.assert_array_equal(np.asarray(kernel.value), imported.weights["stem_conv1/kernel"])
