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
