r"""Converts the public ADE20K weights of a PSPNet to this project's.

    python tools/import_pspnet.py resnet50 resnet50.npz csail encoder.pth decoder.pth
    python tools/import_pspnet.py resnet101 resnet101.npz semseg train_epoch_100.pth

`csail` are the two files of CSAILVision/semantic-segmentation-pytorch (`resnet50dilated` and
`ppm_deepsup`, which EDMS used): the network here is theirs. `semseg` is the file of hszhao/semseg,
whose network differs: the first blocks of stages 3 and 4 are dilated like the others, the
interpolations align corners, and the auxiliary head is narrower and so left out. Its weights need
fine-tuning here.

Torch is needed to read the files, and only here. The npz holds float32 arrays under
`<layer name>/<variable name>` of `smapcomp.models.build_pspnet`.
"""

import argparse
from collections.abc import Mapping

import numpy as np

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
BINS = (1, 2, 3, 6)
BN_NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}

Layers = list[tuple[str, str, str]]
"""Rows of our convolution's name, theirs, and their batch normalisation's ("" where a bias is)."""


def _stages(depth: str, prefix: str = "") -> Layers:
    rows = []
    for stage, blocks in enumerate(BLOCKS[depth], start=1):
        for block in range(blocks):
            ours, theirs = f"stage{stage}_block{block + 1}", f"{prefix}layer{stage}.{block}"
            rows += [(f"{ours}_conv{i}", f"{theirs}.conv{i}", f"{theirs}.bn{i}") for i in (1, 2, 3)]
            if block == 0:
                down = f"{theirs}.downsample"
                rows.append((f"{ours}_shortcut", f"{down}.0", f"{down}.1"))
    return rows


def csail_layers(depth: str) -> Layers:
    """The layers of CSAILVision's networks; their two files' names don't overlap."""
    rows = [(f"stem_conv{i}", f"conv{i}", f"bn{i}") for i in (1, 2, 3)]
    rows += _stages(depth)
    rows += [(f"pyramid{bins}", f"ppm.{i}.1", f"ppm.{i}.2") for i, bins in enumerate(BINS)]
    rows += [("head", "conv_last.0", "conv_last.1"), ("head_logits", "conv_last.4", "")]
    rows += [("auxiliary", "cbr_deepsup.0", "cbr_deepsup.1")]
    return [*rows, ("auxiliary_logits", "conv_last_deepsup", "")]


def semseg_layers(depth: str) -> Layers:
    """The layers of hszhao's networks, which were saved from a parallel wrapper."""
    rows = [
        (f"stem_conv{i + 1}", f"module.layer0.{3 * i}", f"module.layer0.{3 * i + 1}")
        for i in range(3)
    ]
    rows += _stages(depth, "module.")
    for i, bins in enumerate(BINS):
        rows.append((f"pyramid{bins}", f"module.ppm.features.{i}.1", f"module.ppm.features.{i}.2"))
    return [*rows, ("head", "module.cls.0", "module.cls.1"), ("head_logits", "module.cls.4", "")]


LAYERS = {"csail": csail_layers, "semseg": semseg_layers}


def convert(
    state: Mapping[str, np.ndarray], depth: str, source: str = "csail"
) -> dict[str, np.ndarray]:
    """Renames and transposes the weights of a whole network.

    Args:
        state: the public state dict (`csail`: both of them in one), torch's names to arrays.
        depth: "resnet50" or "resnet101".
        source: "csail" or "semseg".

    Returns:
        `<Keras layer name>/<variable name>` -> float32 array: with "csail" every variable of
        `build_pspnet(depth, auxiliary=True)`, with "semseg" every one without the auxiliary head.

    Raises:
        KeyError: a weight is missing.
    """
    weights = {}
    for ours, theirs, norm in LAYERS[source](depth):
        weights[f"{ours}/kernel"] = np.transpose(state[f"{theirs}.weight"], (2, 3, 1, 0))
        if norm:
            for variable, name in BN_NAMES.items():
                weights[f"{ours}_bn/{variable}"] = state[f"{norm}.{name}"]
        else:
            weights[f"{ours}/bias"] = state[f"{theirs}.bias"]
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in weights.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("depth", choices=sorted(BLOCKS))
    parser.add_argument("npz", help="file to write")
    parser.add_argument("source", choices=sorted(LAYERS))
    parser.add_argument("pth", nargs="+", help="the public files")
    args = parser.parse_args()

    import torch

    state = {}
    for path in args.pth:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        saved = saved.get("state_dict", saved)
        state |= {name: value.numpy() for name, value in saved.items()}
    weights = convert(state, args.depth, args.source)
    np.savez(args.npz, **weights)
    parameters = sum(value.size for value in weights.values())
    print(f"{args.npz}: {len(weights)} arrays, {parameters} parameters")


if __name__ == "__main__":
    main()
