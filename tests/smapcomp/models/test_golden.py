"""The networks agree with a PyTorch re-creation of the papers' description."""

import functools

import keras
import numpy as np
import pytest

from smapcomp.models.compnet import build_compnet
from smapcomp.models.discriminator import build_discriminator
from smapcomp.models.finenet import build_finenet
from smapcomp.models.smapnet import build_smapnet
from smapcomp.models.vgg import build_vgg16_features, build_vgg19_features
from tests.golden.cases import SIZES, key
from tests.golden.weights import assign, draw_image, draw_label_map
from tests.helpers.paths import GOLDEN

BUILDERS = {
    "compnet": lambda: build_compnet("paper"),
    "finenet": lambda: build_finenet("paper"),
    "smapnet_index3": build_smapnet,
    "smapnet_index1": lambda: build_smapnet("index", 1),
    "smapnet_classes": lambda: build_smapnet("classes"),
    "discriminator": lambda: build_discriminator("paper"),
    "vgg16": build_vgg16_features,
    "vgg19": build_vgg19_features,
}

PARAMETERS = {
    "compnet": 2_107_459,
    "finenet": 46_066_883,
    "smapnet_index3": 77_190,
    "smapnet_index1": 74_882,
    "discriminator": 5_838_722,
}
"""Trainable parameters of the papers' networks."""


@functools.cache
def built(network: str) -> keras.Model:
    return BUILDERS[network]()


@pytest.mark.parametrize("network", list(BUILDERS))
def test_network_gives_the_same_outputs_as_pytorch_at_two_sizes(network):
    model = built(network)
    assign(model, network)
    with np.load(GOLDEN / f"{network}.npz") as golden:
        expected = {name: golden[name] for name in golden}
    actual = {}
    for size in SIZES[network]:
        seed = key(network, size)
        inputs = draw_image(f"{seed}/image", (*size, model.inputs[0].shape[-1]))
        if len(model.inputs) == 2:
            inputs = [inputs, draw_label_map(f"{seed}/label_map", size)]
        results = keras.tree.flatten(model(inputs, training=False))
        actual |= {f"{seed}_{i}": np.asarray(result) for i, result in enumerate(results)}
    assert actual.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(actual[name], values, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("network", list(PARAMETERS))
def test_network_has_the_papers_number_of_parameters(network):
    weights = built(network).trainable_weights
    assert sum(int(np.prod(weight.shape)) for weight in weights) == PARAMETERS[network]
