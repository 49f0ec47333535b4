"""Whether an engine computes an exact network exactly, tried on a small picture.

Some arithmetics do not: GPUs that round the inputs of convolutions to TF32, or algorithms that
transform convolutions. Such an engine would decode to other pixels.
"""

from collections.abc import Callable

import numpy as np

from smapcomp.design import NUM_CLASSES
from smapcomp.models import exact_reference
from smapcomp.models.architecture import GREY_SCALE
from smapcomp.models.exact_arithmetic import Map
from smapcomp.models.exact_weights import Arrays

SIDE = 16
"""Side of the picture in pixels, the shortest that all networks take."""

QUALITY = 40
"""Quality of the compact image that lossy FineNets are told."""


def is_reproduced(role: str, stored: Arrays, run: Callable[..., np.ndarray]) -> bool:
    """Return whether a network gives the results of the reference.

    Args:
        role: Role of an exact network.
        stored: Its weights, as a file has them.
        run: Function of the network's inputs, each a batch of one, that returns its output.
    """
    row, column, channel = np.indices((SIDE, SIDE, 3))
    picture = (row * 37 + column * 11 + channel * 101 + row * column) % 256
    units = picture << exact_reference.GREY_EXPONENT
    signal = (picture[None] / np.float32(127.5) - 1).astype(np.float32)
    labels = (np.indices((SIDE, SIDE)).sum(0) % NUM_CLASSES + 1).astype(np.int32)
    if role == "segmenter":
        return _equal(run(signal), exact_reference.segmenter(stored, units), 1.0)
    if role == "smapnet":
        cells = np.indices((2, 2, NUM_CLASSES)).sum(0)
        logits = Map(cells * 397 % 4096 - 2048, 8)
        return _equal(run(logits.numbers()[None]), exact_reference.smapnet(stored, logits), 1.0)
    if role == "finenet":
        expected = exact_reference.finenet(stored, units, labels)
        return _equal(run(signal, labels[None]), expected, GREY_SCALE)
    expected = exact_reference.lossy_finenet(stored, units, labels, QUALITY)
    level = np.array([1 - QUALITY / 100], np.float32)
    return _equal(run(signal, labels[None], level), expected, GREY_SCALE)


def _equal(found: np.ndarray, expected: Map, factor: float) -> bool:
    """Return whether a batch of one is the expected map divided by a factor."""
    numbers = np.ldexp(found[0].astype(np.float64) * factor, expected.exponent)
    return bool((np.rint(numbers) == expected.values).all())
