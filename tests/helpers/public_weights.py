"""Weights as public checkpoints hold them: names and shapes of PyTorch."""

import numpy as np

BN = ("weight", "bias", "running_mean", "running_var")


class State(dict):
    """Public weights by name; every array is filled with a number of its own."""

    def conv(self, name: str, outputs: int, inputs: int, size: int = 1) -> None:
        self[f"{name}.weight"] = np.full((outputs, inputs, size, size), len(self), "float32")

    def norm(self, name: str, channels: int) -> None:
        for kind in BN:
            self[f"{name}.{kind}"] = np.full(channels, len(self), "float32")
        self[f"{name}.num_batches_tracked"] = np.array(7)


def lite0_state() -> State:
    state = State()
    state.conv("_conv_stem", 32, 3, 3)
    state.norm("_bn0", 32)
    table = "0:32-16k3 1:16-24k3 2:24-24k3 3:24-40k5 4:40-40k5 5:40-80k3 6:80-80k3 7:80-80k3"
    table += " 8:80-112k5 9:112-112k5 10:112-112k5 11:112-192k5"
    table += " 12:192-192k5 13:192-192k5 14:192-192k5 15:192-320k3"
    for entry in table.split():
        index, inputs, outputs, size = map(
            int, entry.replace("-", ":").replace("k", ":").split(":")
        )
        name, inner = f"_blocks.{index}", inputs if index == 0 else 6 * inputs
        if index:
            state.conv(f"{name}._expand_conv", inner, inputs)
            state.norm(f"{name}._bn0", inner)
        state.conv(f"{name}._depthwise_conv", inner, 1, size)
        state.norm(f"{name}._bn1", inner)
        state.conv(f"{name}._project_conv", outputs, inner)
        state.norm(f"{name}._bn2", outputs)
    state.conv("_conv_head", 1280, 320)
    state.norm("_bn1", 1280)
    return state


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
"""Weights of each public source."""
