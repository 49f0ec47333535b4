"""Convolutional backbones of the segmenters: EfficientNet-Lite0 and ResNet without their heads.

Both can return features on a finer grid than the original network has. A stage then drops its
stride of 2. Its first spatial convolution keeps the dilation of the stage before, and all later
convolutions are dilated twice as much. Every feature of the original network thus reappears, with
the same value, at its place on the finer grid.
"""

from typing import TypeAlias

import keras
from keras import layers

from smapcomp.models.architecture import Lite0Block, lite0_stages

Tensor: TypeAlias = keras.KerasTensor

LITE0_STEM_FILTERS = 32
LITE0_BN_EPSILON = 1e-3

RESNET_BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
"""Blocks of each of the four stages (arXiv 1512.03385, table 1)."""

# Inner filters and strides of the four stages, and filters of the stem's three convolutions.
RESNET_FILTERS = (64, 128, 256, 512)
RESNET_STRIDES = (1, 2, 2, 2)
RESNET_STEM_FILTERS = (64, 64, 128)
RESNET_BN_EPSILON = 1e-5

# Mean and standard deviation of ImageNet's RGB pixels in [0, 1]; the published ResNets expect
# pixels that are normalised by them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _lite0_norm(x: Tensor, name: str, activate: bool = True) -> Tensor:
    x = layers.BatchNormalization(epsilon=LITE0_BN_EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x) if activate else x


def _lite0_block(x: Tensor, block: Lite0Block, shift: bool) -> Tensor:
    """Build an inverted residual block: 1x1 expansion, depthwise, 1x1 projection, sum."""
    name, kernel, stride, dilation, expansion, filters, _ = block
    inputs = x
    channels = x.shape[-1]
    if expansion != 1:
        x = layers.Conv2D(channels * expansion, 1, use_bias=False, name=f"{name}_expand")(x)
        x = _lite0_norm(x, f"{name}_expand")
    padding = "same"
    if shift:
        x = layers.ZeroPadding2D(((kernel // 2, kernel // 2 - 1),) * 2, name=f"{name}_pad")(x)
        padding = "valid"
    x = layers.DepthwiseConv2D(
        kernel, stride, padding, dilation_rate=dilation, use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = _lite0_norm(x, f"{name}_depthwise")
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project")(x)
    x = _lite0_norm(x, f"{name}_project", activate=False)
    if stride == 1 and channels == filters:
        x = layers.Add(name=f"{name}_add")([x, inputs])
    return x


def efficientnet_lite0(image: Tensor, output_stride: int = 8, centred: bool = True) -> list[Tensor]:
    """Build EfficientNet-Lite0 on an image.

    The published weights come from TensorFlow: "same" padding, batch normalisation with epsilon
    1e-3, pixels p normalised as (p - 127) / 128. With "same" padding and even sizes, a layer of
    stride 2 is centred half a pixel to the lower right of its output. After three such layers a
    feature of the 1/8 grid lies 3.5 pixels off the middle of its 8x8 block. Labels are read from
    that grid, so `centred` shifts the third strided layer to the upper left, which leaves half a
    pixel. The published weights stay valid, since only the phase of the sampling differs.

    Args:
        image: float `[batch, height, width, 3]` in [-1, 1]; height and width are multiples of
            `output_stride`.
        output_stride: 8 (dilated) or 32 (as published).
        centred: Whether features lie in the middle of their blocks. `False` computes exactly the
            published network.

    Returns:
        Outputs of the stages 1 to 6, float `[batch, h, w, channels]`; the last is
        `[batch, height/output_stride, width/output_stride, 192]`.

    Raises:
        ValueError: `output_stride` is neither 8 nor 32.
    """
    if output_stride not in (8, 32):
        raise ValueError(f"output_stride must be 8 or 32, got {output_stride!r}")
    x = layers.Rescaling(127.5 / 128.0, 0.5 / 128.0, name="normalise")(image)
    x = layers.Conv2D(LITE0_STEM_FILTERS, 3, 2, "same", use_bias=False, name="stem")(x)
    x = _lite0_norm(x, "stem")
    outputs = []
    for blocks in lite0_stages(output_stride):
        for block in blocks:
            x = _lite0_block(x, block, shift=centred and block.shifted)
        outputs.append(x)
    return outputs


def _resnet_conv(
    x: Tensor,
    filters: int,
    kernel: int,
    stride: int,
    dilation: int,
    name: str,
    activate: bool = True,
) -> Tensor:
    """Build convolution with symmetric zero padding, batch normalisation and ReLU."""
    padding = dilation * (kernel // 2)
    if padding:
        x = layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    x = layers.Conv2D(
        filters, kernel, stride, "valid", dilation_rate=dilation, use_bias=False, name=name
    )(x)
    x = layers.BatchNormalization(epsilon=RESNET_BN_EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x


def _resnet_block(
    x: Tensor, name: str, filters: int, stride: int, dilation: int, project: bool
) -> Tensor:
    """Build a bottleneck block, whose 3x3 convolution has the stride."""
    shortcut = x
    if project:
        shortcut = _resnet_conv(x, 4 * filters, 1, stride, 1, f"{name}_shortcut", activate=False)
    x = _resnet_conv(x, filters, 1, 1, 1, f"{name}_conv1")
    x = _resnet_conv(x, filters, 3, stride, dilation, f"{name}_conv2")
    x = _resnet_conv(x, 4 * filters, 1, 1, 1, f"{name}_conv3", activate=False)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)


def resnet(image: Tensor, depth: str, output_stride: int = 8) -> list[Tensor]:
    """Build a ResNet with a stem of three 3x3 convolutions on an image.

    Args:
        image: float `[batch, height, width, 3]` in [-1, 1], of any height and width.
        depth: "resnet50" or "resnet101".
        output_stride: 8 (dilated) or 32.

    Returns:
        Outputs of the four stages, float `[batch, h, w, channels]` with 256, 512, 1024 and 2048
        channels; the last has h = ceil(height / output_stride) and w = ceil(width / output_stride).

    Raises:
        ValueError: The depth is unknown, or `output_stride` is neither 8 nor 32.
    """
    if depth not in RESNET_BLOCKS:
        raise ValueError(f"depth must be one of {sorted(RESNET_BLOCKS)}, got {depth!r}")
    if output_stride not in (8, 32):
        raise ValueError(f"output_stride must be 8 or 32, got {output_stride!r}")
    # ((x + 1)/2 - mean)/std in one multiplication.
    scale = [0.5 / std for std in IMAGENET_STD]
    offset = [(0.5 - mean) / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    x = layers.Rescaling(scale, offset, name="normalise")(image)
    for index, filters in enumerate(RESNET_STEM_FILTERS, start=1):
        x = _resnet_conv(x, filters, 3, 2 if index == 1 else 1, 1, f"stem_conv{index}")
    # The outputs of a ReLU are not negative, so padding with zeros does not change the maximum.
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = layers.MaxPooling2D(3, 2, "valid", name="stem_pool")(x)
    total_stride, dilation, outputs = 4, 1, []
    table = zip(RESNET_BLOCKS[depth], RESNET_FILTERS, RESNET_STRIDES, strict=True)
    for number, (blocks, filters, stride) in enumerate(table, start=1):
        dropped = stride if total_stride * stride > output_stride else 1
        stride //= dropped
        for block in range(1, blocks + 1):
            name = f"stage{number}_block{block}"
            x = _resnet_block(x, name, filters, stride, dilation, project=block == 1)
            total_stride *= stride
            if block == 1:
                stride = 1
                dilation *= dropped
        outputs.append(x)
    return outputs
