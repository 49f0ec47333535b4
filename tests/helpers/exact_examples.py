"""Inputs of exact networks and their outputs in integer arithmetic, without Keras."""

import hashlib

import numpy as np

from smapcomp.models import exact_reference
from smapcomp.models.exact_arithmetic import Map

ROLES = ("finenet", "finenet_x1", "segmenter", "smapnet")
"""A network of each architecture; those of the other scales are smaller ones of the second."""

OUTPUT_EXPONENT = 13
"""Exponent of the outputs of networks with random weights. Logits have 4 more bits since they are
up-sampled by 2 in each direction."""


class Example:
    """Random inputs of all networks, for pictures of one size.

    Args:
        height: Rows, a multiple of 8.
        width: Columns, a multiple of 8.
        smooth: Whether the picture has one colour.
    """

    def __init__(self, height: int, width: int, smooth: bool = False):
        rng = np.random.default_rng(height * width)
        shape = (1, 1, 3) if smooth else (height, width, 3)
        # Grey levels in units of 1/256.
        self.grey = np.broadcast_to(rng.integers(0, 255 * 256 + 1, shape), (height, width, 3))
        blocks = rng.integers(0, 151, (height // 8, width // 8))
        self.label_map = blocks.repeat(8, 0).repeat(8, 1).astype(np.int32)
        self.quality = int(rng.integers(0, 101))
        logits = rng.integers(-(1 << 19), 1 << 19, (height // 8, width // 8, 150))
        self.logits = Map(logits, OUTPUT_EXPONENT + 4)

    def inputs(self, role: str) -> list[np.ndarray]:
        """Return the inputs of an engine: batches of one."""
        signal = (self.grey / 256).astype(np.float32)[None] / np.float32(127.5) - np.float32(1)
        if role == "segmenter":
            return [signal]
        if role == "smapnet":
            return [self.logits.numbers()[None]]
        inputs = [signal, self.label_map[None]]
        if role != "finenet":
            inputs.append(np.array([1 - self.quality / 100], np.float32))
        return inputs

    def reference(self, role: str, stored: dict[str, np.ndarray]) -> np.ndarray:
        """Return what an engine must return, float32, a batch of one."""
        if role == "segmenter":
            return exact_reference.segmenter(stored, self.grey).numbers()[None]
        if role == "smapnet":
            return exact_reference.smapnet(stored, self.logits).numbers()[None]
        if role == "finenet":
            detail = exact_reference.finenet(stored, self.grey, self.label_map)
        else:
            detail = exact_reference.lossy_finenet(stored, self.grey, self.label_map, self.quality)
        return exact_reference.detail_signal(detail)[None]


def digest(output: np.ndarray) -> str:
    """Return the first digits of the SHA-256 of a float32 array; -0 counts as 0."""
    assert output.dtype == np.float32
    return hashlib.sha256((output + np.float32(0)).tobytes()).hexdigest()[:16]
