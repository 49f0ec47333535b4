"""Convolutional backbones of the segmenters: EfficientNet-Lite0 and ResNet, features only.

Both can keep a finer grid than they were trained for: where a stage's stride is dropped, its first
spatial convolution keeps the dilation of the stage before and all that follow are dilated twice as
much, so that every feature of the original network reappears, value for value, on its own place of
the finer grid.
"""

import keras
from keras import layers

Tensor = keras.KerasTensor

# Repeats, kernel size, stride, expansion, filters: table 1 of arXiv 1905.11946, whose last stage
# (320 filters) and head serve classification alone. The Lite variant has no squeeze-and-excitation.
LITE0_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
)
LITE0_STEM_FILTERS = 32
LITE0_BN_EPSILON = 1e-3

# Blocks of the four stages (arXiv 1512.03385, table 1), their inner filters and their strides.
RESNET_BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
RESNET_FILTERS = (64, 128, 256, 512)
RESNET_STRIDES = (1, 2, 2, 2)
RESNET_STEM_FILTERS = (64, 64, 128)
RESNET_BN_EPSILON = 1e-5

# Of ImageNet's RGB pixels, in [0, 1]: what the public ResNets were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _lite0_norm(x: Tensor, name: str, activate: bool = True) -> Tensor:
    x = layers.BatchNormalization(epsilon=LITE0_BN_EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x) if activate else x


def _lite0_block(
    x: Tensor,
    name: str,
    kernel: int,
    stride: int,
    dilation: int,
    expansion: int,
    filters: int,
    shift: bool,
) -> Tensor:
    """Inverted residual block: 1x1 expansion, depthwise, 1x1 projection, and the sum."""
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
    """Builds EfficientNet-Lite0 on `image` and returns the outputs of its stages 1 to 6.

    The published weights are TensorFlow's: "same" padding, BN epsilon 1e-3, pixels p normalised
    as (p-127)/128. With "same" padding and even sizes a stride-2 layer looks half a pixel to the
    lower right, and three of them put a feature of the 1/8 grid 3.5 pixels away from the middle of
    its 8x8 block. Labels are read off that grid, so `centred` makes the third strided layer look to
    the upper left instead, which leaves half a pixel (decided here; the weights don't notice, since
    only the phase of the sampling differs).

    Args:
        image: [B, H, W, 3] in [-1, 1]; H and W multiples of `output_stride`.
        output_stride: 8 (dilated) or 32 (as published).
        centred: whether features lie on the middle of their blocks; False computes exactly what was
            published.

    Returns:
        Six tensors [B, h, w, C], the last [B, H/output_stride, W/output_stride, 192].

    Raises:
        ValueError: `output_stride` is neither 8 nor 32.
    """
    if output_stride not in (8, 32):
        raise ValueError(f"output_stride must be 8 or 32, got {output_stride!r}")
    x = layers.Rescaling(127.5 / 128.0, 0.5 / 128.0, name="normalise")(image)
    x = layers.Conv2D(LITE0_STEM_FILTERS, 3, 2, "same", use_bias=False, name="stem")(x)
    x = _lite0_norm(x, "stem")
    reached, dilation, outputs = 2, 1, []
    for number, (repeats, kernel, stride, expansion, filters) in enumerate(LITE0_STAGES, start=1):
        dropped = stride if reached * stride > output_stride else 1
        stride //= dropped
        for block in range(repeats):
            shift = centred and number == 3 and block == 0
            name = f"stage{number}_block{block + 1}"
            x = _lite0_block(x, name, kernel, stride, dilation, expansion, filters, shift)
            reached *= stride
            if block == 0:
                stride = 1
                dilation *= dropped
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
    """Convolution with as much padding on every side as the window reaches, BN, and ReLU."""
    reach = dilation * (kernel // 2)
    if reach:
        x = layers.ZeroPadding2D(reach, name=f"{name}_pad")(x)
    x = layers.Conv2D(
        filters, kernel, stride, "valid", dilation_rate=dilation, use_bias=False, name=name
    )(x)
    x = layers.BatchNormalization(epsilon=RESNET_BN_EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x


def _resnet_block(
    x: Tensor, name: str, filters: int, stride: int, dilation: int, project: bool
) -> Tensor:
    """Bottleneck block; the stride sits on the 3x3 convolution."""
    shortcut = x
    if project:
        shortcut = _resnet_conv(x, 4 * filters, 1, stride, 1, f"{name}_shortcut", activate=False)
    x = _resnet_conv(x, filters, 1, 1, 1, f"{name}_conv1")
    x = _resnet_conv(x, filters, 3, stride, dilation, f"{name}_conv2")
    x = _resnet_conv(x, 4 * filters, 1, 1, 1, f"{name}_conv3", activate=False)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)


def resnet(image: Tensor, depth: str, output_stride: int = 8) -> list[Tensor]:
    """Builds a ResNet with a stem of three 3x3 convolutions and returns the outputs of its stages.

    Args:
        image: [B, H, W, 3] in [-1, 1], of any height and width.
        depth: "resnet50" or "resnet101".
        output_stride: 8 (dilated) or 32.

    Returns:
        Four tensors [B, h, w, C] with C = 256, 512, 1024, 2048; the last has
        h = ceil(H/output_stride), w = ceil(W/output_stride).

    Raises:
        ValueError: unknown depth, or `output_stride` is neither 8 nor 32.
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
    # Zeros never win over the outputs of a ReLU: the same as not counting the padding.
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = layers.MaxPooling2D(3, 2, "valid", name="stem_pool")(x)
    reached, dilation, outputs = 4, 1, []
    table = zip(RESNET_BLOCKS[depth], RESNET_FILTERS, RESNET_STRIDES, strict=True)
    for number, (blocks, filters, stride) in enumerate(table, start=1):
        dropped = stride if reached * stride > output_stride else 1
        stride //= dropped
        for block in range(1, blocks + 1):
            name = f"stage{number}_block{block}"
            x = _resnet_block(x, name, filters, stride, dilation, project=block == 1)
            reached *= stride
            if block == 1:
                stride = 1
                dilation *= dropped
        outputs.append(x)
    return outputs
