"""A light model, exported once."""

from types import SimpleNamespace

import pytest

from smapcomp.predictors.keras_predictor import KerasPredictor
from smapcomp.serving.saved_model import write_model
from tests.helpers.light_model import LightNetworks


@pytest.fixture(scope="session")
def light(tmp_path_factory):
    """The networks, a predictor of this process, the folder of their weights, and the model's.

    The latter has the version 1.
    """
    weights = tmp_path_factory.mktemp("weights")
    networks = LightNetworks(weights)
    folder = tmp_path_factory.mktemp("models") / "smapcomp"
    folder.mkdir()
    write_model(folder / "1", networks, "float32")
    predictor = KerasPredictor(networks)
    return SimpleNamespace(networks=networks, predictor=predictor, weights=weights, folder=folder)
