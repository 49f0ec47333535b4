"""A model of the small networks of `tests.helpers.light_networks`, which is exported in seconds."""

from pathlib import Path
from types import SimpleNamespace

import keras

from smapcomp import zoo
from smapcomp.models.weights import save_weights
from smapcomp.predictors.keras_predictor import KerasPredictor
from smapcomp.serving.saved_model import write_model
from tests.helpers import light_networks


class LightNetworks(zoo.Networks):
    """Small networks whose weights lie in a folder, as those of the real networks do.

    Args:
        folder: Folder that the weights are written to.
        seed: Seed of the weights.
    """

    def __init__(self, folder: Path, seed: int = 0):
        super().__init__(zoo.VARIANTS["lite"], folder)
        keras.utils.set_random_seed(seed)
        self._light_models = {
            "compnet": light_networks.build_compnet(None),
            "finenet": light_networks.build_finenet(None),
            "segmenter": light_networks.build_pspnet(None),
            "smapnet": light_networks.build_smapnet("classes", None),
            **{role: light_networks.build_lossy_finenet() for role in zoo.LOSSY_FINENETS},
        }
        for role, model in self._light_models.items():
            save_weights(model, str(self.weights_file(role)))

    def model(self, role: str) -> keras.Model:
        return self._light_models[role]


def export_light_model(tmp_path_factory) -> SimpleNamespace:
    """Export small networks and return everything that a test needs of them.

    Returns:
        `networks`; `predictor`, which runs them in this process; `weights`, the folder of their
        weights; and `folder`, the folder of the model, whose version is 1.
    """
    weights = tmp_path_factory.mktemp("weights")
    networks = LightNetworks(weights)
    folder = tmp_path_factory.mktemp("models") / "smapcomp"
    folder.mkdir()
    write_model(folder / "1", networks, "float32")
    predictor = KerasPredictor(networks)
    return SimpleNamespace(networks=networks, predictor=predictor, weights=weights, folder=folder)
