"""Facts of the lite networks' architecture that are known without Keras."""

from collections.abc import Iterator
from typing import NamedTuple

LABEL_STRIDE = 8
"""Side in pixels of the blocks of which the FineNets read one label each."""

OUTPUT_STRIDE = 8
"""Side in pixels of the block that one feature of a segmenter's backbone stands for."""

PYRAMID_BINS = (1, 2, 3, 6)
"""Cells along a side of the segmenters' pooled feature maps."""

LITE0_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
)
"""Repeats, kernel size, stride, expansion and filters of each stage of EfficientNet-Lite0
(arXiv 1905.11946, table 1). The last stage of the table (320 filters) and the head serve only
classification. The Lite variant has no squeeze-and-excitation."""

LITE0_SHIFTED_STAGE = 3
"""Number of the stage whose first depthwise convolution reads half a cell further up and left, so
that features lie in the middle of their blocks."""


class Lite0Block(NamedTuple):
    """An inverted residual block of EfficientNet-Lite0.

    Attributes:
        name: Beginning of its layers' names.
        kernel: Side of the window of the depthwise convolution.
        stride: Its step.
        dilation: Distance of its window's positions.
        expansion: Factor of the channels between expansion and projection.
        filters: Output channels.
        shifted: Whether the depthwise convolution is that of `LITE0_SHIFTED_STAGE`.
    """

    name: str
    kernel: int
    stride: int
    dilation: int
    expansion: int
    filters: int
    shifted: bool


def lite0_stages(output_stride: int) -> Iterator[list[Lite0Block]]:
    """Yield the blocks of each stage of EfficientNet-Lite0.

    Where a stage's stride would make features coarser than the output stride, the stage has stride
    1, and its later convolutions are dilated instead.

    Args:
        output_stride: Largest side in pixels of the block that one feature stands for.
    """
    total_stride, dilation = 2, 1  # The stem has stride 2.
    for number, (repeats, kernel, stride, expansion, filters) in enumerate(LITE0_STAGES, start=1):
        dropped = stride if total_stride * stride > output_stride else 1
        stride //= dropped
        total_stride *= stride
        blocks = []
        for index in range(repeats):
            first = index == 0
            blocks.append(
                Lite0Block(
                    f"stage{number}_block{index + 1}",
                    kernel,
                    stride if first else 1,
                    dilation if first else dilation * dropped,
                    expansion,
                    filters,
                    first and number == LITE0_SHIFTED_STAGE,
                )
            )
        dilation *= dropped
        yield blocks


SMAPNET_BLOCKS = 9
"""Passes of SMapNet through its shared convolutions."""

GREY_SCALE = 127.5 / 128
"""Grey levels that a signal of 1 stands for, in units of 128, which exact networks use because
dividing by it rounds nothing."""

SIGNAL_EXPONENT = 16
"""An up-sampled 8-bit picture, divided by 128, is a multiple of 2^-16: 7 bits for the division, 4
for the interpolation by 8 in each direction, 1 for the offset."""

SEGMENTER_OFFSET = 0.5 / 128
"""Number that is added to the exact segmenter's signal, which then is (p - 127)/128 of grey levels
p, as the published weights of EfficientNet-Lite0 want it."""
