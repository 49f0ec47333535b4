"""FineNet: from the up-sampled compact image and the label map to what the picture lacks."""

from dataclasses import dataclass

import keras

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
    """Size of the lite FineNet.

    Attributes:
        filters: Channels on the 1/8 grid.
        blocks: Residual blocks on the 1/8 grid.
        tail: (channels, residual blocks) on the 1/4 and on the 1/2 grid.
    """

    filters: int = 64
    blocks: int = 8
    tail: tuple[tuple[int, int], ...] = ((32, 2), (16, 1))


def build_finenet(variant: str, size: LiteSize | None = None) -> keras.Model:
    """Builds the network that predicts the picture's detail.

    Args:
        variant: "paper" (SPEC section 2; 46,066,883 parameters) or "lite".
        size: Of "lite"; the default is what the weights in the box have.

    Returns:
        Model of `[upsampled, label_map]`, float `[batch, height, width, 3]` in [-1, 1] and int
        `[batch, height, width]` of 0..150, to float `[batch, height, width, 3]`, to be added to
        `upsampled`. Height and width are multiples of 8, at least 16.

    Raises:
        ValueError: The variant is unknown.
    """
    upsampled = keras.Input((None, None, 3), name="upsampled")
    label_map = keras.Input((None, None), dtype="int32", name="label_map")
    if variant == "paper":
        outputs = _paper(upsampled, label_map)
    elif variant == "lite":
        outputs = _lite(upsampled, label_map, size or LiteSize())
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


def _lite(upsampled, label_map, size: LiteSize):
    """Residual blocks on the 1/8 grid, then sub-pixel up-sampling (decided here).

    The up-sampled picture holds no more than its 1/8 grid does, so nearly all arithmetic is spent
    there; no normalisation, which costs PSNR in super-resolution and would tie the prediction to
    the whole picture's statistics.
    """
    x = SpaceToDepth(8, name="blocks")(upsampled)
    x = _he_conv(x, size.filters, "conv0")
    labels = LabelStride(8, name="label_grid")(label_map)
    normal = keras.initializers.RandomNormal(stddev=0.02)
    x = x + LabelConv2D(size.filters, 3, initializer=normal, name="labels0")(labels)
    start = x
    for i in range(size.blocks):
        x = _lite_block(x, size.filters, f"block{i}")
    x = _he_conv(x, size.filters, "trunk_out") + start
    for i, (filters, blocks) in enumerate(size.tail, 1):
        x = _he_conv(x, 4 * filters, f"up{i}")
        x = DepthToSpace(2, name=f"up{i}_shuffle")(x)
        x = keras.layers.ReLU(name=f"up{i}_relu")(x)
        for j in range(blocks):
            x = _lite_block(x, filters, f"up{i}_block{j}")
    x = keras.layers.Conv2D(12, 3, padding="same", kernel_initializer="zeros", name="detail")(x)
    return DepthToSpace(2, name="detail_shuffle")(x)


def _lite_block(x, filters: int, name: str):
    y = _he_conv(x, filters, f"{name}_conv1")
    y = keras.layers.ReLU(name=f"{name}_relu")(y)
    return x + _he_conv(y, filters, f"{name}_conv2", gain=0.1)


def _he_conv(x, filters: int, name: str, gain: float = 1.0):
    initializer = keras.initializers.VarianceScaling(2.0 * gain)
    return keras.layers.Conv2D(
        filters, 3, padding="same", kernel_initializer=initializer, name=name
    )(x)
