"""Files of VGG's weights as they are published."""

import h5py
import numpy as np

from tests.golden.weights import draw

FILTERS = (64, 128, 256, 512, 512)
"""Filters of the convolutions of each block."""


def write_keras_applications_file(path, convs_per_block):
    """Write weights as keras.applications publishes them ("notop"); return the first two."""
    inputs, first = 3, []
    with h5py.File(path, "w") as file:
        names = []
        for block, (filters, count) in enumerate(zip(FILTERS, convs_per_block, strict=True), 1):
            for i in range(1, count + 1):
                name = f"block{block}_conv{i}"
                kernel = np.full((3, 3, inputs, filters), 1 / (9 * inputs), np.float32)
                if name == "block1_conv1":
                    kernel = draw("vgg/kernel", kernel.shape)
                bias = draw(f"{name}/bias", (filters,))
                group = file.create_group(name)
                parts = {f"{name}_W_1:0": kernel, f"{name}_b_1:0": bias}
                for part, values in parts.items():
                    group[part] = values
                group.attrs["weight_names"] = [part.encode() for part in parts]
                names.append(name.encode())
                first.append((kernel, bias))
                inputs = filters
        file.attrs["layer_names"] = names
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.0.0"
    return first[:2]
