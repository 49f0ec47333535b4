"""Convert the public VGG weights of Keras to a file of half the precision and a third of the size.

    python -m tools.import_vgg 19 vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5 VGG19.npz

`--config.model.vgg` takes either file. The .npz file holds float16 arrays `block1_conv1_kernel`
`[3, 3, in, out]` and `block1_conv1_bias` `[out]` of the convolutions up to block5_conv1, which are
those that the perceptual loss needs: 26 MB for VGG-19, 20 MB for VGG-16.

Exit status: 0 success; 1 a file is at fault, with the reason in one line.
"""

import argparse
import os

import numpy as np

from smapcomp.jobs.exits import errors_in_one_line
from smapcomp.keras_startup import import_keras


def convert(depth: int, h5: str, npz: str) -> int:
    """Write the arrays of a file of `keras.applications`.

    Args:
        depth: 16 or 19.
        h5: File to read.
        npz: File to write; it appears whole or not at all.

    Returns:
        Number of parameters.

    Raises:
        SmapcompError: The file lacks a layer or has another format.
        OSError: A file cannot be read or written.
    """
    import_keras()
    from smapcomp.models.vgg import build_vgg16_features, build_vgg19_features

    model = build_vgg19_features(h5) if depth == 19 else build_vgg16_features(h5)
    arrays = {
        f"{layer.name}_{part}": array.astype(np.float16)
        for layer in model.layers
        for part, array in zip(("kernel", "bias"), layer.get_weights(), strict=False)
    }
    temporary = f"{npz}.tmp"
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, npz)
    return sum(array.size for array in arrays.values())


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("depth", type=int, choices=(16, 19))
    parser.add_argument("h5", help="file of keras.applications, without its top")
    parser.add_argument("npz", help=".npz file to write")
    args = parser.parse_args()
    with errors_in_one_line("import_vgg"):
        parameters = convert(args.depth, args.h5, args.npz)
        print(f"{args.npz}: {parameters} parameters, {os.path.getsize(args.npz)} bytes")


if __name__ == "__main__":
    main()
