"""Random weights and inputs that both frameworks draw alike, so that no file stores them.

A golden file holds only the outputs of a network. Its weights are functions of the name and the
shape of each parameter: the PyTorch re-creation and the test of the Keras network both call `draw`
and get the same numbers. Names are `<network>/<Keras layer name>/<Keras variable name>`, such as
`compnet/conv0/kernel`, and shapes are Keras' (height, width, in, out).
"""

import math
import zlib

import numpy as np

LABELS = 151
"""Labels (0 is void, 1..150): the input channels of a convolution over a one-hot label map."""


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def draw(name: str, shape: tuple[int, ...], gain: float = math.sqrt(2.0)) -> np.ndarray:
    """Draw one parameter.

    Args:
        name: Full name. It is the seed, and its last part selects the distribution.
        shape: Shape of the variable in Keras.
        gain: Gain of a `kernel`; the default keeps the variance through layers with ReLU.

    Returns:
        float32 array. `kernel`: N(0, gain / sqrt(fan in)); a kernel over one-hot labels (151
        inputs, of which one is 1) has the fan in of a single input. `gamma`: 1 + N(0, 0.1).
        `moving_variance`: uniform in [0.5, 1.5]. `bias`, `beta`, `moving_mean`: N(0, 0.1).

    Raises:
        KeyError: The variable is of another kind.
    """
    kind = name.rsplit("/", 1)[-1]
    rng = _generator(name)
    if kind == "kernel":
        fan_in = math.prod(shape[:-1])
        if shape[-2] == LABELS:
            fan_in //= LABELS
        values = rng.standard_normal(shape) * gain / math.sqrt(fan_in)
    elif kind == "gamma":
        values = 1.0 + 0.1 * rng.standard_normal(shape)
    elif kind == "moving_variance":
        values = rng.uniform(0.5, 1.5, shape)
    elif kind in ("bias", "beta", "moving_mean"):
        values = 0.1 * rng.standard_normal(shape)
    else:
        raise KeyError(f"no distribution for {name!r}")
    return values.astype(np.float32)


def draw_image(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draw an image or another real-valued input: float32, uniform in [-1, 1]."""
    return _generator(name).uniform(-1.0, 1.0, shape).astype(np.float32)


def draw_label_map(name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """Draw a label map [B, H, W], int32 in 0..150, with windows of one label and of many.

    The left half has a single label, the right half one for each 8×8 block. In the lower half every
    fourth pixel on average has a random label.
    """
    rng = _generator(name)
    batch, height, width = shape
    blocks = rng.integers(0, LABELS, (batch, -(-height // 8), -(-width // 8)))
    smooth = blocks.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    smooth[:, :, : width // 2] = blocks[:, :1, :1]
    noise = rng.integers(0, LABELS, shape)
    noisy = rng.random(shape) < 0.25
    noisy[:, : height // 2] = False
    return np.where(noisy, noise, smooth).astype(np.int32)


def assign(model, network: str, gains: dict[str, float] | None = None) -> None:
    """Set every variable of a Keras model to its drawn value.

    Args:
        model: A `keras.Model` whose layers have names.
        network: First part of every name, such as "compnet".
        gains: Gains of the kernels that do not have the default, by layer name.

    Raises:
        KeyError: A variable is of a kind that `draw` does not know.
    """
    for layer in model.layers:
        for variable in layer.weights:
            name = f"{network}/{layer.name}/{variable.name}"
            gain = (gains or {}).get(layer.name, math.sqrt(2.0))
            variable.assign(draw(name, tuple(variable.shape), gain))
