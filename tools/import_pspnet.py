"""Convert the public ADE20K weights of a PSPNet to this project's.

    python -m tools.import_pspnet resnet50 resnet50.npz csail encoder.pth decoder.pth
    python -m tools.import_pspnet resnet101 resnet101.npz semseg train_epoch_100.pth

`csail` stands for the two files of CSAILVision/semantic-segmentation-pytorch (`resnet50dilated` and
`ppm_deepsup`, which EDMS used); this project's network is the same. `semseg` stands for the file of
hszhao/semseg, whose network differs: the first blocks of stages 3 and 4 are dilated like the
others, the interpolations align corners, and the auxiliary head is narrower and therefore left out.
Its weights need fine-tuning here.

The result has two uses. `--config.model.backbone=resnet50.npz` starts the papers' segmenter from
it. As `segmenter.npz` in a folder of weights it is the segmenter of the variant `paper`, for the
later stages and for the codec, which ignore the auxiliary head. That variant has a ResNet-50.

Only this command needs PyTorch, to read the files. The .npz file holds float32 arrays named
`<layer name>/<variable name>` as in `smapcomp.models.pspnet.build_pspnet`.
"""

import argparse
from collections.abc import Mapping

import numpy as np

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
"""Number of blocks of the four stages of each depth."""

BINS = (1, 2, 3, 6)
"""Sides of the pyramid's grids."""

BATCH_NORM_NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
"""Keras's names of batch normalisation's variables to PyTorch's."""

Layers = list[tuple[str, str, str]]
"""For each convolution: its name here, its public name, and the public name of its batch
normalisation ("" if it has a bias instead)."""


def _stage_layers(depth: str, prefix: str = "") -> Layers:
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
    """Return the layers of CSAILVision's networks, whose two files share no names."""
    rows = [(f"stem_conv{i}", f"conv{i}", f"bn{i}") for i in (1, 2, 3)]
    rows += _stage_layers(depth)
    rows += [(f"pyramid{bins}", f"ppm.{i}.1", f"ppm.{i}.2") for i, bins in enumerate(BINS)]
    rows += [("head", "conv_last.0", "conv_last.1"), ("head_logits", "conv_last.4", "")]
    rows += [("auxiliary", "cbr_deepsup.0", "cbr_deepsup.1")]
    return [*rows, ("auxiliary_logits", "conv_last_deepsup", "")]


def semseg_layers(depth: str) -> Layers:
    """Return the layers of hszhao's networks, whose names have the prefix of a parallel wrapper."""
    rows = [
        (f"stem_conv{i + 1}", f"module.layer0.{3 * i}", f"module.layer0.{3 * i + 1}")
        for i in range(3)
    ]
    rows += _stage_layers(depth, "module.")
    for i, bins in enumerate(BINS):
        rows.append((f"pyramid{bins}", f"module.ppm.features.{i}.1", f"module.ppm.features.{i}.2"))
    return [*rows, ("head", "module.cls.0", "module.cls.1"), ("head_logits", "module.cls.4", "")]


LAYERS = {"csail": csail_layers, "semseg": semseg_layers}
"""Layers of each public source, as a function of the depth."""


def convert(
    state: Mapping[str, np.ndarray], depth: str, source: str = "csail"
) -> dict[str, np.ndarray]:
    """Rename and transpose the weights of a whole network.

    Args:
        state: The public weights by PyTorch's names; of `csail` those of both files.
        depth: "resnet50" or "resnet101".
        source: "csail" or "semseg".

    Returns:
        float32 arrays by `<layer name>/<variable name>`: every variable of
        `build_pspnet(depth, auxiliary=True)`, with "semseg" without the auxiliary head.

    Raises:
        KeyError: A weight is missing.
    """
    weights = {}
    for ours, theirs, norm in LAYERS[source](depth):
        weights[f"{ours}/kernel"] = np.transpose(state[f"{theirs}.weight"], (2, 3, 1, 0))
        if norm:
            for variable, name in BATCH_NORM_NAMES.items():
                weights[f"{ours}_bn/{variable}"] = state[f"{norm}.{name}"]
        else:
            weights[f"{ours}/bias"] = state[f"{theirs}.bias"]
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in weights.items()}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("depth", choices=sorted(BLOCKS))
    parser.add_argument("npz", help=".npz file to write")
    parser.add_argument("source", choices=sorted(LAYERS))
    parser.add_argument("pth", nargs="+", help="the public files")
    args = parser.parse_args()

    import torch  # Not among the requirements.

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
