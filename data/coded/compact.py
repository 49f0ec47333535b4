"""Source of pictures with their decoded compact images, on which lossy FineNets are trained.

Whole pictures are coded, as in the codec: a crop of a decoded compact image differs from what the
coder makes of the crop.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from data.coded import ALIGNMENT
from data.coded.settings import CompactCodingSettings
from data.errors import DataError
from data.sources.base import Example, Source
from smapcomp.codec.coders import av1
from smapcomp.codec.layers.compact import downsampled


class CodedSource:
    """The examples of a source, once for each pass, with `compact` and `quality`.

    `compact` is uint8 [H/scale, W/scale, 3]: the picture, down-sampled by Pillow's Lanczos filter,
    coded and decoded. `quality` is int64 []. Pictures and label maps are cut on the right and at
    the bottom to sides that are multiples of `ALIGNMENT`; reading a smaller picture is an error.

    Args:
        source: Source of the pictures.
        settings: How they are coded.
    """

    def __init__(self, source: Source, settings: CompactCodingSettings):
        self.source = source
        self.settings = settings
        self.labelled = source.labelled
        self.ignored = source.ignored

    def __len__(self) -> int:
        return len(self.source) * self.settings.passes

    def name(self, index: int) -> str:
        """Return the name of the picture, which is the same in each pass."""
        return self.source.name(self._picture(index))

    def location(self, index: int) -> str:
        """Return the location of the picture."""
        return self.source.location(self._picture(index))

    def stamp(self, index: int) -> str:
        """Return the stamp of the picture and the number of the pass."""
        number = index // len(self.source)
        return f"{self.source.stamp(self._picture(index))} pass {number}"

    def notices(self, index: int) -> tuple[str, ...]:
        """Return the notices of the picture."""
        return self.source.notices(self._picture(index))

    def image_file(self, index: int) -> bytes | None:
        """Return the file of the whole picture, from which the image of `read` may be cut."""
        return self.source.image_file(self._picture(index))

    def read(self, index: tf.Tensor) -> Example:
        """Read an example with `compact` and `quality` inside a graph.

        Args:
            index: Number of the example, int64 [].
        """
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
