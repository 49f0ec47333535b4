"""tools.import_pspnet and tools.import_efficientnet: every weight gets to its layer."""

import functools

import keras
import numpy as np
import pytest

from smapcomp.models.backbones import efficientnet_lite0
from smapcomp.models.pspnet import build_pspnet
from tests.helpers.public_weights import State, lite0_state
from tools import import_efficientnet, import_pspnet


def resnet50(state: State, prefix: str) -> None:
    inputs = 128
    for stage, (blocks, filters) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 1):
        for block in range(blocks):
            name = f"{prefix}layer{stage}.{block}"
            for i, (outputs, size) in enumerate(((filters, 1), (filters, 3), (4 * filters, 1)), 1):
                state.conv(f"{name}.conv{i}", outputs, inputs if i == 1 else filters, size)
                state.norm(f"{name}.bn{i}", outputs)
            if block == 0:
                state.conv(f"{name}.downsample.0", 4 * filters, inputs)
                state.norm(f"{name}.downsample.1", 4 * filters)
            inputs = 4 * filters


def csail_state() -> State:
    state = State()
    for i, (inputs, outputs) in enumerate(((3, 64), (64, 64), (64, 128)), 1):
        state.conv(f"conv{i}", outputs, inputs, 3)
        state.norm(f"bn{i}", outputs)
    resnet50(state, "")
    for i in range(4):
        state.conv(f"ppm.{i}.1", 512, 2048)
        state.norm(f"ppm.{i}.2", 512)
    for name, inputs in (("conv_last", 4096), ("cbr_deepsup", 1024)):
        state.conv(f"{name}.0", 512, inputs, 3)
        state.norm(f"{name}.1", 512)
    for name in ("conv_last.4", "conv_last_deepsup"):
        state.conv(name, 150, 512)
        state[f"{name}.bias"] = np.full(150, len(state), "float32")
    return state


def semseg_state() -> State:
    state = State()
    for i, (inputs, outputs) in enumerate(((3, 64), (64, 64), (64, 128))):
        state.conv(f"module.layer0.{3 * i}", outputs, inputs, 3)
        state.norm(f"module.layer0.{3 * i + 1}", outputs)
    resnet50(state, "module.")
    for i in range(4):
        state.conv(f"module.ppm.features.{i}.1", 512, 2048)
        state.norm(f"module.ppm.features.{i}.2", 512)
    for name, filters, inputs in (("cls", 512, 4096), ("aux", 256, 1024)):
        state.conv(f"module.{name}.0", filters, inputs, 3)
        state.norm(f"module.{name}.1", filters)
        state.conv(f"module.{name}.4", 150, filters)
        state[f"module.{name}.4.bias"] = np.full(150, len(state), "float32")
    return state


STATES = {"csail": csail_state, "semseg": semseg_state}


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
