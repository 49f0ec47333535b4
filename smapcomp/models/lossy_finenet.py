"""FineNet for lossy compact images, which also removes the artefacts of their coder."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import keras

from smapcomp.models.architecture import LABEL_STRIDE
from smapcomp.models.exact_layers import ExactLabelConv2D, ExactSignal, exact_detail, residual_conv
from smapcomp.models.label_conv import LabelConv2D
from smapcomp.models.layers import DepthToSpace, LabelStride, SpaceToDepth


@dataclass(frozen=True)
class LossySize:
    """Size of the network.

    Attributes:
        widths: Channels on the 1/2, 1/4 and 1/8 grid.
        blocks: Residual blocks on the 1/2, 1/4 and 1/8 grid on the way down, and on the 1/4 and
            1/2 grid on the way up.
    """

    widths: tuple[int, int, int] = (32, 64, 96)
    blocks: tuple[int, int, int, int, int] = (1, 2, 2, 2, 2)


SIZES = {1: LossySize((48, 96, 128)), 2: LossySize(), 4: LossySize(), 8: LossySize()}
"""Sizes of the bundled weights by compact scale: 88,000 multiplications for each pixel at scale 1
and 41,000 at the others. Scale 1 has the larger network since it is best at nearly all rates; four
networks of that size would exceed the size limit of the bundled weights."""


def build_lossy_finenet(
    scale: int, size: LossySize | None = None, exact: bool = False
) -> keras.Model:
    """Build the FineNet for lossy compact images of a scale.

    At scale 1 it removes coding artefacts; at scales 2, 4 and 8 it also restores resolution. It is
    a U-Net of residual blocks without normalisation:

        1/2 grid   upsampled, level ── blocks ─┬───────────────────────────── + ── blocks ─> detail
        1/4 grid                               └─ blocks ─┬────────── + ── blocks ─┘
        1/8 grid                                          └─ + ─ blocks ─┘
                   labels ── 1×1 label convolution ──────────┘

    Args:
        scale: Scale of the compact image, one of `SCALES`.
        size: Size of the network, by default that of `SIZES`.
        exact: Whether the network is exact (`smapcomp.models.exact_layers`).

    Returns:
        Model of `[upsampled, label_map, level]` to float `[batch, height, width, 3]`, which is
        added to `upsampled`. `upsampled` is float `[batch, height, width, 3]` in [-1, 1],
        `label_map` int `[batch, height, width]` in 0..150, and `level` float `[batch]` in 0..1, the
        coarseness of the coding: 1 - quality/100 on AVIF's scale. Height and width are multiples of
        8.
    """
    size = size or SIZES[scale]
    widths, blocks = size.widths, size.blocks
    upsampled = keras.Input((None, None, 3), name="upsampled")
    label_map = keras.Input((None, None), dtype="int32", name="label_map")
    level = keras.Input((), name="level")
    signal = ExactSignal(name="signal")(upsampled) if exact else upsampled
    half = SpaceToDepth(2, name="blocks")(signal)
    plane = keras.layers.Reshape((1, 1, 1), name="level_plane")(level)
    plane = keras.ops.zeros_like(half[..., :1]) + plane
    conv = functools.partial(_conv, exact=exact)
    label_conv = ExactLabelConv2D if exact else LabelConv2D
    half = conv(keras.layers.Concatenate(name="inputs")([half, plane]), widths[0], 3, "conv0")
    half = _blocks(conv, half, blocks[0], "half")
    quarter = _blocks(conv, _down(conv, half, widths[1], "down1"), blocks[1], "quarter")
    eighth = _down(conv, quarter, widths[2], "down2")
    labels = LabelStride(LABEL_STRIDE, name="label_grid")(label_map)
    normal = keras.initializers.RandomNormal(stddev=0.02)
    eighth = eighth + label_conv(widths[2], 1, initializer=normal, name="labels")(labels)
    eighth = _blocks(conv, eighth, blocks[2], "eighth")
    quarter = quarter + _up(conv, eighth, widths[1], "up2")
    quarter = _blocks(conv, quarter, blocks[3], "quarter_out")
    half = _blocks(conv, half + _up(conv, quarter, widths[0], "up1"), blocks[4], "half_out")
    detail = residual_conv(half, 12, 3, "detail", exact=exact, initializer="zeros")
    outputs = DepthToSpace(2, name="detail_shuffle")(detail)
    outputs = exact_detail(outputs) if exact else outputs
    return keras.Model([upsampled, label_map, level], outputs, name="lossy_finenet")


Conv = Callable[..., keras.KerasTensor]


def _down(conv: Conv, x, filters: int, name: str):
    return conv(SpaceToDepth(2, name=f"{name}_blocks")(x), filters, 1, name)


def _up(conv: Conv, x, filters: int, name: str):
    return DepthToSpace(2, name=f"{name}_shuffle")(conv(x, 4 * filters, 1, name))


def _blocks(conv: Conv, x, count: int, name: str):
    for i in range(count):
        y = conv(x, x.shape[-1], 3, f"{name}{i}_conv1", rounded=False)
        x = x + conv(y, x.shape[-1], 3, f"{name}{i}_conv2", gain=0.1, relu=True)
    return x


def _conv(x, filters: int, size: int, name: str, *, gain: float = 1.0, **options):
    initializer = keras.initializers.VarianceScaling(2.0 * gain)
    return residual_conv(x, filters, size, name, initializer=initializer, **options)
