"""FineNet, which predicts the detail that an up-sampled compact image lacks."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import keras

from smapcomp.models.architecture import LABEL_STRIDE
from smapcomp.models.exact_layers import ExactLabelConv2D, ExactSignal, exact_detail, residual_conv
from smapcomp.models.label_conv import LabelConv2D
from smapcomp.models.layers import (
    DepthToSpace,
    InstanceNormalization,
    LabelStride,
    SpaceToDepth,
    conv,
    conv_transpose,
    norm_relu,
)


@dataclass(frozen=True)
class LiteSize:
    """Size of the lite FineNet. The default is that of the bundled weights.

    Attributes:
        filters: Channels on the 1/8 grid.
        blocks: Residual blocks on the 1/8 grid.
        tail: Channels and residual blocks on the 1/4 grid and on the 1/2 grid.
    """

    filters: int = 64
    blocks: int = 8
    tail: tuple[tuple[int, int], ...] = ((32, 2), (16, 1))


def build_finenet(variant: str, size: LiteSize | None = None, exact: bool = False) -> keras.Model:
    """Build FineNet.

    "paper" (docs/spec.md, section 2; 46,066,883 parameters):

        upsampled, label map ── 7×7, 64 ── 3×3/2, 128 ── 3×3/2, 256 ── 3×3/2, 512
            ── 9 residual blocks, 512 ── up 2, 256 ── up 2, 128 ── up 2, 64 ── 7×7, 3 ── tanh

    "lite" (961,132 parameters) works on the 1/8 grid and up-samples by sub-pixel convolutions:

        upsampled ── 8×8 to channels ── 3×3, 64 ── + ─┬─ 8 residual blocks ── 3×3 ── + ─> trunk
        labels of the 1/8 grid ── 3×3 label conv ──┘  └──────────────────────────────┘
        trunk ── up 2, 32 ── 2 residual blocks ── up 2, 16 ── 1 residual block ── up 2 ─> detail

    Args:
        variant: "paper" or "lite".
        size: Size of "lite", by default `LiteSize()`.
        exact: Whether "lite" is exact (`smapcomp.models.exact_layers`). "paper" cannot be, for it
            normalises by the statistics of the picture.

    Returns:
        Model of `[upsampled, label_map]`, float `[batch, height, width, 3]` in [-1, 1] and int
        `[batch, height, width]` in 0..150, to float `[batch, height, width, 3]`, which is added to
        `upsampled`. Height and width are multiples of 8, at least 16.

    Raises:
        ValueError: The variant is unknown, or cannot be exact.
    """
    if exact and variant != "lite":
        raise ValueError(f"variant {variant!r} cannot be exact; allowed: lite")
    upsampled = keras.Input((None, None, 3), name="upsampled")
    label_map = keras.Input((None, None), dtype="int32", name="label_map")
    if variant == "paper":
        outputs = _paper(upsampled, label_map)
    elif variant == "lite":
        outputs = _lite(upsampled, label_map, size or LiteSize(), exact)
    else:
        raise ValueError(f"variant {variant!r} is unknown; allowed: paper, lite")
    return keras.Model([upsampled, label_map], outputs, name=f"finenet_{variant}")


def _paper(upsampled, label_map):
    normal = keras.initializers.RandomNormal(stddev=0.02)
    x = conv(upsampled, 64, 7, pad="reflect", name="conv0")
    x = x + LabelConv2D(64, 7, padding="reflect", initializer=normal, name="labels0")(label_map)
    x = norm_relu(x, name="conv0")
    for i, filters in enumerate((128, 256, 512), 1):
        x = conv(x, filters, 3, strides=2, name=f"conv{i}")
        x = norm_relu(x, name=f"conv{i}")
    for i in range(9):
        y = conv(x, 512, 3, pad="reflect", name=f"block{i}_conv1")
        y = norm_relu(y, name=f"block{i}_conv1")
        y = conv(y, 512, 3, pad="reflect", name=f"block{i}_conv2")
        x = x + InstanceNormalization(name=f"block{i}_conv2_norm")(y)
    for i, filters in enumerate((256, 128, 64), 1):
        x = conv_transpose(x, filters, name=f"up{i}")
        x = norm_relu(x, name=f"up{i}")
    x = conv(x, 3, 7, pad="reflect", name="conv4")
    return keras.layers.Activation("tanh", name="tanh")(x)


def _lite(upsampled, label_map, size: LiteSize, exact: bool):
    """Return the detail from residual blocks on the 1/8 grid and sub-pixel up-sampling.

    The up-sampled picture holds no more information than its 1/8 grid, so nearly all arithmetic is
    spent there. There is no normalisation: it costs PSNR in super-resolution and would make the
    prediction depend on the statistics of the whole picture.
    """
    convolve = functools.partial(_he_conv, exact=exact)
    x = ExactSignal(name="signal")(upsampled) if exact else upsampled
    x = convolve(SpaceToDepth(8, name="blocks")(x), size.filters, "conv0")
    labels = LabelStride(LABEL_STRIDE, name="label_grid")(label_map)
    normal = keras.initializers.RandomNormal(stddev=0.02)
    label_conv = ExactLabelConv2D if exact else LabelConv2D
    x = x + label_conv(size.filters, 3, initializer=normal, name="labels0")(labels)
    start = x
    for i in range(size.blocks):
        x = _lite_block(convolve, x, size.filters, f"block{i}")
    x = convolve(x, size.filters, "trunk_out") + start
    for i, (filters, blocks) in enumerate(size.tail, 1):
        x = convolve(x, 4 * filters, f"up{i}")
        x = DepthToSpace(2, name=f"up{i}_shuffle")(x)
        x = keras.layers.ReLU(name=f"up{i}_relu")(x)
        for j in range(blocks):
            x = _lite_block(convolve, x, filters, f"up{i}_block{j}")
    x = residual_conv(x, 12, 3, "detail", exact=exact, initializer="zeros")
    x = DepthToSpace(2, name="detail_shuffle")(x)
    return exact_detail(x) if exact else x


def _lite_block(convolve: Callable, x, filters: int, name: str):
    y = convolve(x, filters, f"{name}_conv1", rounded=False)
    return x + convolve(y, filters, f"{name}_conv2", gain=0.1, relu=True)


def _he_conv(x, filters: int, name: str, *, gain: float = 1.0, **options):
    initializer = keras.initializers.VarianceScaling(2.0 * gain)
    return residual_conv(x, filters, 3, name, initializer=initializer, **options)
