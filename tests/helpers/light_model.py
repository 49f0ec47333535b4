"""The networks of `tests.helpers.light_networks` as a model to export: it is traced in seconds."""

from pathlib import Path

import keras

from smapcomp import zoo
from smapcomp.models.weights import save_weights
from tests.helpers import light_networks as light


class LightNetworks(zoo.Networks):
    """Light networks, whose weights are in a folder as those of the real ones are.

    Args:
        folder: Where the weights go.
        seed: Of the weights.
    """

    def __init__(self, folder: Path, seed: int = 0):
        super().__init__(zoo.VARIANTS["lite"], folder)
        keras.utils.set_random_seed(seed)
        self.compnet = light.build_compnet(None)
        self.finenet = light.build_finenet(None)
        self.segmenter = light.build_pspnet(None)
        self.smapnet = light.build_smapnet("classes", None)
        for role in zoo.LOSSY_FINENETS:
            self._lossy_finenets[role] = light.build_lossy_finenet()
        for role in zoo.ROLES:
            model = self._lossy_finenets.get(role) or getattr(self, role)
            save_weights(model, str(folder / f"{role}.npz"))
