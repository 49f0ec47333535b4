"""Recomputes the golden outputs of instance normalisation with tensorflow-addons.

From the repository's root, with Python 3.11:

    python3.11 -m venv /tmp/tfa && /tmp/tfa/bin/pip install -r tests/golden/requirements-tfa.txt
    /tmp/tfa/bin/python -m tests.golden.make_tfa_golden
"""

from pathlib import Path

import numpy as np
import tensorflow_addons as tfa

from tests.golden.cases import INSTANCE_NORM_CASES
from tests.golden.weights import draw_image


def main() -> None:
    arrays = {}
    for name, (shape, scale, offset) in INSTANCE_NORM_CASES.items():
        layer = tfa.layers.InstanceNormalization(epsilon=1e-5, center=False, scale=False)
        arrays[name] = layer(draw_image(name, shape) * np.float32(scale) + offset).numpy()
        print(f"{name}: std {arrays[name].std():.3f}")
    np.savez_compressed(Path(__file__).parent / "instance_norm.npz", **arrays)


if __name__ == "__main__":
    main()
