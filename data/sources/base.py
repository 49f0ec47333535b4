"""What every source of pictures offers, and how one written in Python enters a tf.data graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

Example = dict[str, tf.Tensor]


class Source(Protocol):
    """Examples by number, so that any order can be read and continued anywhere.

    Attributes:
      labelled: whether examples carry a label map.
      ignored: (path, reason) for what lies in the source and is no example.
    """

    labelled: bool
    ignored: tuple[tuple[str, str], ...]

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Name of an example."""

    def where(self, index: int) -> str:
        """What a report calls an example."""

    def stamp(self, index: int) -> str:
        """A text that changes when an example does."""

    def image_file(self, index: int) -> bytes | None:
        """The picture's file, or None where only its samples are kept."""

    def read(self, index: tf.Tensor) -> Example:
        """The example of a number, int64 [], as `data.load` describes it; in-graph."""


def python_example(
    inputs: list[tf.Tensor],
    labelled: bool,
    read: Callable[..., tuple[bytes, np.ndarray, np.ndarray | None]],
) -> Example:
    """An example that a Python function makes.

    Args:
      inputs: scalars that `read` is given.
      labelled: whether there is a label map.
      read: makes name, image uint8 [H, W, 3] and label map uint8 [H, W] or None.
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
