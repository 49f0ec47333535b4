"""Cases of the golden files: sizes of the networks' inputs, layers and optimizers.

Sizes are small to keep the files small. If a network takes any size, one of its sizes is odd.
"""

import zlib

import numpy as np

SIZES = {
    "compnet": ((1, 32, 40), (2, 48, 32)),
    "finenet": ((1, 32, 40), (2, 48, 32)),
    "smapnet_index3": ((1, 32, 40), (2, 17, 23)),
    "smapnet_index1": ((1, 32, 40), (2, 17, 23)),
    "smapnet_classes": ((1, 12, 16), (2, 9, 7)),
    "discriminator": ((1, 16, 24), (1, 33, 18)),
    "vgg16": ((1, 16, 16), (1, 17, 22)),
    "vgg19": ((1, 16, 16), (1, 17, 22)),
}
"""Batch, height and width of the inputs by network."""


def key(network: str, size: tuple[int, int, int]) -> str:
    """Return the name of a case, such as "compnet_1x32x40", which seeds its inputs."""
    return f"{network}_{'x'.join(map(str, size))}"


INSTANCE_NORM_CASES = {
    "batch_of_squares": ((2, 8, 8, 3), 1.0, 0.0),
    "odd_sides": ((3, 5, 11, 4), 1.0, 0.0),
    "one_row": ((1, 1, 16, 2), 1.0, 0.0),
    "one_pixel": ((2, 1, 1, 4), 1.0, 0.5),
    "far_from_zero": ((1, 12, 10, 3), 1.0, 20.0),
    "nearly_flat": ((2, 8, 6, 3), 5e-3, 0.25),
}
"""Shape, scale and offset of the input of instance normalisation by case.

In "nearly_flat" the variance is about epsilon (1e-5), so a wrong epsilon shows.
"""

LAYERWISE_RULES = (("^(backbone|stem)/", 1.0), ("^head/kernel$", 10.0), ("^head/bias$", 0.1))
LAYERWISE_SHAPES = {
    "stem/kernel": (3, 4),
    "backbone/kernel": (4, 4),
    "head/kernel": (4, 2),
    "head/bias": (2,),
}
LAYERWISE_STEPS = 20
LAYERWISE_RATE = 5e-3
"""Layer-wise learning rates under Adam: pairs of regular expression and multiplier, shapes of the
variables, number of steps and learning rate."""


def layerwise_gradient(name: str, step: int) -> np.ndarray:
    """Return the gradient of a variable at a step, float32, of varying size and sign."""
    seed = zlib.crc32(f"{name}/{step}".encode())
    scale = 10.0 ** ((step % 7) - 3)
    return (scale * np.random.default_rng(seed).normal(size=LAYERWISE_SHAPES[name])).astype("f4")
