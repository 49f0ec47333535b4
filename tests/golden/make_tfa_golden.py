"""Recompute the golden files of instance normalisation and layer-wise learning rates.

The reference is tensorflow-addons. From the repository's root, with Python 3.11:

    python3.11 -m venv /tmp/tfa && /tmp/tfa/bin/pip install -r tests/golden/requirements-tfa.txt
    /tmp/tfa/bin/python -m tests.golden.make_tfa_golden
"""

import re
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

from tests.golden import cases
from tests.golden.weights import draw, draw_image

FOLDER = Path(__file__).parent


def main() -> None:
    instance_norm()
    layerwise_adam()


def instance_norm() -> None:
    arrays = {}
    for name, (shape, scale, offset) in cases.INSTANCE_NORM_CASES.items():
        layer = tfa.layers.InstanceNormalization(epsilon=1e-5, center=False, scale=False)
        arrays[name] = layer(draw_image(name, shape) * np.float32(scale) + offset).numpy()
        print(f"{name}: std {arrays[name].std():.3f}")
    np.savez_compressed(FOLDER / "instance_norm.npz", **arrays)


def layerwise_adam() -> None:
    """Save the variables after each step of a `MultiOptimizer` with one Adam for each rule."""
    # `MultiOptimizer` tells variables apart by their names.
    variables = {
        name: tf.Variable(draw(name, shape), name=name)
        for name, shape in cases.LAYERWISE_SHAPES.items()
    }
    parts = []
    for pattern, multiplier in cases.LAYERWISE_RULES:
        found = [variables[name] for name in variables if re.search(pattern, name)]
        adam = tf.keras.optimizers.Adam(cases.LAYERWISE_RATE * multiplier, epsilon=1e-7)
        parts.append((adam, [_Weights(found)]))
    optimizer = tfa.optimizers.MultiOptimizer(parts)
    history = {name: [] for name in variables}
    for step in range(cases.LAYERWISE_STEPS):
        gradients = [(cases.layerwise_gradient(n, step), v) for n, v in variables.items()]
        optimizer.apply_gradients([(tf.constant(g), v) for g, v in gradients])
        for name, variable in variables.items():
            history[name].append(variable.numpy())
    arrays = {name.replace("/", "."): np.stack(steps) for name, steps in history.items()}
    np.savez_compressed(FOLDER / "layerwise_adam.npz", **arrays)
    print({name: float(np.abs(steps[-1] - steps[0]).max()) for name, steps in arrays.items()})


class _Weights(tf.keras.layers.Layer):
    """Layer that holds variables, as `MultiOptimizer` expects them."""

    def __init__(self, variables):
        super().__init__()
        self.held = variables


if __name__ == "__main__":
    main()
