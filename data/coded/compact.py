"""Pictures with the compact image that a lossy coder makes of each: what lossy FineNets learn from.

The coder looks at whole pictures, as it does in the codec: a crop of what it decodes is not what
it decodes of a crop.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from data.coded.settings import CompactSettings
from data.errors import DataError
from data.sources.base import Example, Source
from smapcomp.codec.coders import av1
from smapcomp.codec.layers.compact import downsampled

ALIGNMENT = 16
"""Coded pictures have sides of multiples of it, and crops begin at them: of every compact scale,
and of the 8x8 cells of labels."""


class CodedSource:
    """A source whose examples have `compact` and `quality` too; each is there once a pass.

    `compact` is uint8 [H/scale, W/scale, 3]: the picture, down-sampled by Pillow's Lanczos filter,
    coded and decoded; `quality` is int64 []. Pictures are cut to multiples of `ALIGNMENT` on the
    right and below, with their labels; smaller ones are at fault.

    Args:
      source: of the pictures.
      settings: how they are coded.
    """

    def __init__(self, source: Source, settings: CompactSettings):
        self.source = source
        self.settings = settings
        self.labelled = source.labelled
        self.ignored = source.ignored

    def __len__(self) -> int:
        return len(self.source) * self.settings.passes

    def name(self, index: int) -> str:
        """The picture's, the same in each pass."""
        return self.source.name(self._picture(index))

    def where(self, index: int) -> str:
        """The picture's place."""
        return self.source.where(self._picture(index))

    def stamp(self, index: int) -> str:
        """The picture's, and the pass."""
        number = index // len(self.source)
        return f"{self.source.stamp(self._picture(index))} pass {number}"

    def image_file(self, index: int) -> bytes | None:
        """The file of the whole picture; it is not what `read` gives where that is cut."""
        return self.source.image_file(self._picture(index))

    def read(self, index: tf.Tensor) -> Example:
        """As `data.load` describes it, and `compact` and `quality`; in-graph."""
        example = dict(self.source.read(index % len(self.source)))
        for key in ("image", "label_map"):
            if key in example:
                height, width = (tf.shape(example[key])[axis] for axis in (0, 1))
                rows, columns = (n // ALIGNMENT * ALIGNMENT for n in (height, width))
                example[key] = example[key][:rows, :columns]
        inputs = [example["image"], example["name"], index // len(self.source)]
        compact, quality = tf.numpy_function(self._code, inputs, [tf.uint8, tf.int64])
        example["compact"] = tf.ensure_shape(compact, [None, None, 3])
        example["quality"] = tf.ensure_shape(quality, [])
        return example

    @tf.autograph.experimental.do_not_convert
    def _code(self, image: np.ndarray, name: bytes, number: int) -> tuple[np.ndarray, np.int64]:
        name = name if isinstance(name, bytes) else name.item()
        if not image.size:
            raise DataError(f"has a side under {ALIGNMENT} pixels")
        quality = self.settings.quality(name.decode(), int(number))
        compact = downsampled(image, self.settings.scale)
        coded = av1.encode(compact, quality, self.settings.speed)
        compact = av1.decode(coded, compact.shape)
        return compact, np.int64(quality)

    def _picture(self, index: int) -> int:
        return index % len(self.source)
