"""tools.import_pspnet and tools.import_efficientnet: every weight gets to its layer."""

import functools

import keras
import numpy as np
import pytest

from smapcomp.models.backbones import efficientnet_lite0
from smapcomp.models.pspnet import build_pspnet
from tests.helpers.public_weights import STATES, State, csail_state, lite0_state
from tools import import_efficientnet, import_pspnet


@functools.cache
def converted(source: str) -> tuple[State, dict[str, np.ndarray]]:
    state = STATES[source]()
    return state, import_pspnet.convert(state, "resnet50", source)


def shapes(model: keras.Model) -> dict[str, tuple[int, ...]]:
    return {f"{y.name}/{v.name}": tuple(v.shape) for y in model.layers for v in y.weights}


@pytest.mark.parametrize("source", ["csail", "semseg"])
def test_every_variable_of_pspnet_gets_one_public_weight_of_its_own(source):
    _, weights = converted(source)
    model = build_pspnet("resnet50", auxiliary=source == "csail")
    assert {name: value.shape for name, value in weights.items()} == shapes(model)
    used = sorted(float(value.flat[0]) for value in weights.values())
    assert len(set(used)) == len(used)


@pytest.mark.parametrize(
    ("ours", "csail", "semseg"),
    [
        ("stem_conv3/kernel", "conv3.weight", "module.layer0.6.weight"),
        ("stem_conv2_bn/beta", "bn2.bias", "module.layer0.4.bias"),
        ("stage3_block6_conv2/kernel", "layer3.5.conv2.weight", "module.layer3.5.conv2.weight"),
        (
            "stage4_block1_shortcut_bn/moving_mean",
            "layer4.0.downsample.1.running_mean",
            "module.layer4.0.downsample.1.running_mean",
        ),
        (
            "pyramid6_bn/moving_variance",
            "ppm.3.2.running_var",
            "module.ppm.features.3.2.running_var",
        ),
        ("pyramid2/kernel", "ppm.1.1.weight", "module.ppm.features.1.1.weight"),
        ("head/kernel", "conv_last.0.weight", "module.cls.0.weight"),
        ("head_bn/gamma", "conv_last.1.weight", "module.cls.1.weight"),
        ("head_logits/bias", "conv_last.4.bias", "module.cls.4.bias"),
    ],
)
def test_pspnet_weight_comes_from_the_layer_of_the_same_role(ours, csail, semseg):
    for source, name in (("csail", csail), ("semseg", semseg)):
        state, weights = converted(source)
        assert weights[ours].flat[0] == state[name].flat[0]


def test_a_missing_block_is_named():
    with pytest.raises(KeyError, match=r"layer3\.6\.conv1\.weight"):
        import_pspnet.convert(csail_state(), "resnet101")


def test_convolution_kernels_are_transposed_from_torch_to_keras():
    state = lite0_state()
    rng = np.random.default_rng(0)
    dense = state["_blocks.3._expand_conv.weight"] = rng.normal(size=(144, 24, 1, 1))
    depthwise = state["_blocks.3._depthwise_conv.weight"] = rng.normal(size=(144, 1, 5, 5))
    weights = import_efficientnet.convert(state)
    for output, channel in ((0, 0), (143, 7)):
        kernel = weights["stage3_block1_expand/kernel"]
        assert kernel[0, 0, channel, output] == np.float32(dense[output, channel, 0, 0])
    kernel = weights["stage3_block1_depthwise/kernel"]
    assert kernel[4, 1, 143, 0] == np.float32(depthwise[143, 0, 4, 1])


def test_every_variable_of_lite0_gets_one_public_weight_of_its_own():
    state = lite0_state()
    weights = import_efficientnet.convert(state)
    image = keras.Input((None, None, 3))
    model = keras.Model(image, efficientnet_lite0(image)[-1])
    assert {name: value.shape for name, value in weights.items()} == shapes(model)
    used = sorted(float(value.flat[0]) for value in weights.values())
    assert len(set(used)) == len(used)
    for ours, theirs in (
        ("stem_bn/gamma", "_bn0.weight"),
        ("stage1_block1_project_bn/beta", "_blocks.0._bn2.bias"),
        ("stage5_block3_depthwise/kernel", "_blocks.10._depthwise_conv.weight"),
        ("stage6_block4_expand_bn/moving_variance", "_blocks.14._bn0.running_var"),
    ):
        assert weights[ours].flat[0] == state[theirs].flat[0]
