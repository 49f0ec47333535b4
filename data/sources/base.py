"""The interface of every source, and what their implementations share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from data.errors import DataError

Example = dict[str, tf.Tensor]
"""A picture: `image` uint8 [H, W, 3], `name` string, and `label_map` uint8 [H, W] where the source
has labels."""


class Source(Protocol):
    """Examples that are read by number, so that any order can be resumed anywhere."""

    @property
    def labelled(self) -> bool:
        """Whether examples have a label map."""

    @property
    def ignored(self) -> tuple[tuple[str, str], ...]:
        """Path and reason for each file in the source that is no example."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Return the name of an example."""

    def location(self, index: int) -> str:
        """Return how messages refer to an example."""

    def stamp(self, index: int) -> str:
        """Return a text that changes whenever the example does."""

    def notices(self, index: int) -> tuple[str, ...]:
        """Return what reading an example changed in it, once it was read."""

    def image_file(self, index: int) -> bytes | None:
        """Return the file of the picture, or `None` if the source keeps samples only."""

    def read(self, index: tf.Tensor) -> Example:
        """Read an example inside a graph.

        Args:
            index: Number of the example, int64 [].
        """


def split_error(spec: str, split: str | None, allowed: Sequence[str]) -> DataError:
    """Return the error of a split that a source does not have.

    Args:
        spec: The source.
        split: What was asked for.
        allowed: The splits of the source.
    """
    problem = "no split is chosen" if split is None else f"split {split!r} is unknown"
    return DataError(f"{spec}: {problem}; allowed: {', '.join(allowed)}")


def python_example(
    inputs: list[tf.Tensor],
    labelled: bool,
    read: Callable[..., tuple[bytes, np.ndarray, np.ndarray | None]],
) -> Example:
    """Return an example that a Python function makes when the graph runs.

    Args:
        inputs: Scalars, the arguments of `read`.
        labelled: Whether the example has a label map.
        read: Returns name, image uint8 [H, W, 3] and label map uint8 [H, W] or `None`.
    """
    types = [tf.string, tf.uint8] + [tf.uint8] * labelled

    @tf.autograph.experimental.do_not_convert
    def values(*arrays):
        # Outside a graph, scalars come as arrays.
        scalars = (a.item() if isinstance(a, np.ndarray) else a for a in arrays)
        return read(*scalars)[: len(types)]

    name, image, *label_map = tf.numpy_function(values, inputs, types)
    example = {
        "image": tf.ensure_shape(image, [None, None, 3]),
        "name": tf.ensure_shape(name, []),
    }
    if labelled:
        example["label_map"] = tf.ensure_shape(label_map[0], [None, None])
    return example
