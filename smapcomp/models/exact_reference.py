"""Exact networks in integer arithmetic, by NumPy alone.

This is the definition of what the exact networks of the lite variant compute. It is written to be
read, so that a second decoder can be written from it; `docs/exact.md` has the reasons. Engines
compute the same in float32, whose results equal these bit for bit.

All steps are those of `exact_arithmetic`. Networks read weights in the form of files
(`exact_weights`), and have as many residual blocks as these.
"""

import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from smapcomp.models.architecture import (
    GREY_SCALE,
    LABEL_STRIDE,
    OUTPUT_STRIDE,
    PYRAMID_BINS,
    SEGMENTER_OFFSET,
    SIGNAL_EXPONENT,
    SMAPNET_BLOCKS,
    lite0_stages,
)
from smapcomp.models.exact_arithmetic import (
    Map,
    add,
    average_pool,
    conv,
    depth_to_space,
    double,
    label_conv,
    relu,
    relu6,
    resize,
    round_to,
    shifted,
    space_to_depth,
)
from smapcomp.models.exact_weights import Arrays, check_bounds

GREY_EXPONENT = 8
"""Grey levels are multiples of 2^-8: 4 bits for the interpolation by 8 in each direction, and one
bit less for smaller factors."""


def lossy_finenet(
    stored: Arrays, upsampled: np.ndarray, label_map: np.ndarray, quality: int
) -> Map:
    """Compute the FineNet for lossy compact images.

    Args:
        stored: Its weights, as a file has them.
        upsampled: Up-sampled compact image, int `[height, width, 3]` in 0..65280: grey levels in
            units of 1/256. Sides are multiples of 8.
        label_map: int `[height, width]` in 0..150.
        quality: Quality of the compact image, 0..100.

    Returns:
        Detail `[height, width, 3]` in units of 128 grey levels; see `prediction`.

    Raises:
        ValueError: The weights are not exact (`exact_weights.check_bounds`).
    """
    check_bounds(stored)
    half = space_to_depth(signal(upsampled), 2)
    plane = level(stored, quality)
    plane_values = np.broadcast_to(plane.values, (*half.values.shape[:2], 1))
    exponents = np.array([*[half.exponent] * half.values.shape[2], plane.exponent])
    half = Map(np.concatenate([half.values, plane_values], axis=2), exponents)

    half = _residual_blocks(stored, conv(stored, "conv0", half), "half")
    quarter = conv(stored, "down1", space_to_depth(half, 2))
    quarter = _residual_blocks(stored, quarter, "quarter")
    eighth = conv(stored, "down2", space_to_depth(quarter, 2))
    eighth = add(eighth, label_conv(stored, "labels", label_grid(label_map)))
    eighth = _residual_blocks(stored, eighth, "eighth")
    quarter = add(quarter, depth_to_space(conv(stored, "up2", eighth), 2))
    quarter = _residual_blocks(stored, quarter, "quarter_out")
    half = add(half, depth_to_space(conv(stored, "up1", quarter), 2))
    half = _residual_blocks(stored, half, "half_out")
    return depth_to_space(conv(stored, "detail", half), 2)


def finenet(stored: Arrays, upsampled: np.ndarray, label_map: np.ndarray) -> Map:
    """Compute the FineNet for CompNet's compact images.

    Sides are multiples of 8, at least 16; all else is as in `lossy_finenet`.
    """
    check_bounds(stored)
    x = conv(stored, "conv0", space_to_depth(signal(upsampled), 8))
    start = x = add(x, label_conv(stored, "labels0", label_grid(label_map)))
    x = _residual_blocks(stored, x, "block")
    x = add(conv(stored, "trunk_out", x), start)
    for name in _numbered(stored, "up{}", first=1):
        x = relu(depth_to_space(conv(stored, name, x), 2))
        x = _residual_blocks(stored, x, f"{name}_block")
    return depth_to_space(conv(stored, "detail", x), 2)


def segmenter(stored: Arrays, upsampled: np.ndarray) -> Map:
    """Compute the segmenter.

    Args:
        stored: Its weights, as a file has them.
        upsampled: Picture as `lossy_finenet` takes it, of sides of at least 16.

    Returns:
        Logits of the classes 1..150, `[ceil(height/8), ceil(width/8), 150]`. The label is that of
        the largest logit; of equal ones the lowest counts.

    Raises:
        ValueError: The weights are not exact (`exact_weights.check_bounds`).
    """
    check_bounds(stored)
    height, width, _ = upsampled.shape
    multiple = 2 * OUTPUT_STRIDE
    edges = ((0, -height % multiple), (0, -width % multiple), (0, 0))
    x = signal(np.pad(upsampled, edges, mode="edge"), SEGMENTER_OFFSET)
    # The sum of 2×2 pixels is four times their mean.
    pixels = space_to_depth(x, 2).values.reshape(*(side // 2 for side in x.values.shape[:2]), 4, 3)
    x = Map(pixels.sum(2), x.exponent + 2)
    features = _backbone(stored, x)
    head = conv(stored, "head_features", features)
    rounded = round_to(stored["pyramid_rounded/output_grid"], features)
    for bins in PYRAMID_BINS:
        y = conv(stored, f"pyramid{bins}", average_pool(rounded, bins))
        y = round_to(stored[f"pyramid{bins}_rounded/output_grid"], y)
        y = resize(y, features.values.shape[:2])
        head = add(head, conv(stored, f"head_pyramid{bins}", y))
    logits = double(conv(stored, "head_logits", relu(head)))
    cells = (slice(-(-side // OUTPUT_STRIDE)) for side in (height, width))
    return Map(logits.values[*cells], logits.exponent)


def smapnet(stored: Arrays, logits: Map) -> Map:
    """Compute the SMapNet of representation "classes".

    Args:
        stored: Its weights, as a file has them.
        logits: Logits of the classes, `[h, w, 150]`, as `segmenter` returns them.

    Returns:
        Repaired logits of the same shape.

    Raises:
        ValueError: The weights are not exact (`exact_weights.check_bounds`).
    """
    check_bounds(stored)
    x = conv(stored, "norm", logits)
    start = out = relu(conv(stored, "conv_in", relu(x)))
    for _ in range(SMAPNET_BLOCKS):
        out = conv(stored, "conv2", relu(conv(stored, "conv1", relu(out))))
        out = add(out, start)
    out = conv(stored, "conv_out", relu(out))
    return add(out, round_to(stored["logits/output_grid"], logits))


def upsample(image: np.ndarray, scale: int) -> np.ndarray:
    """Up-sample a compact image by linear interpolation between the centres of pixels.

    Args:
        image: uint8 `[height, width, channels]`.
        scale: 1, 2, 4 or 8.

    Returns:
        int64 `[height * scale, width * scale, channels]` in units of 1/256 grey level.
    """
    values = image.astype(np.int64)
    if scale > 1:
        for axis in (0, 1):
            size = values.shape[axis]
            # Places of the outputs in units of 1/(2 · scale) of an input.
            whole, rest = np.divmod(2 * np.arange(size * scale) + 1 - scale, 2 * scale)
            before, after = (
                values.take(np.clip(index, 0, size - 1), axis) for index in (whole, whole + 1)
            )
            rest = np.expand_dims(rest, (1, 2) if axis == 0 else 1)
            values = before * (2 * scale - rest) + after * rest
    return values * ((1 << GREY_EXPONENT) // (1 if scale == 1 else (2 * scale) ** 2))


def prediction(upsampled: np.ndarray, detail: Map) -> np.ndarray:
    """Return a FineNet's prediction, int `[height, width, 3]` in units of 1/256 grey level.

    Args:
        upsampled: Picture that the FineNet read.
        detail: Its output. Its exponent is at most 15, so that nothing is rounded.
    """
    return upsampled + shifted(detail.values, GREY_EXPONENT + 7 - detail.exponent)


def detail_signal(detail: Map) -> np.ndarray:
    """Return a FineNet's output as engines return it: float32, in units of 127.5 grey levels."""
    return detail.numbers() * np.float32(1 / GREY_SCALE)


def signal(upsampled: np.ndarray, offset: float = 0.0) -> Map:
    """Return (p - 127.5)/128 + offset of grey levels p, which are in units of 1/256."""
    unit = 1 << SIGNAL_EXPONENT
    grey = upsampled.astype(np.int64) << (SIGNAL_EXPONENT - 7 - GREY_EXPONENT)
    return Map(grey - int(127.5 / 128 * unit) + int(offset * unit), SIGNAL_EXPONENT)


def level(stored: Arrays, quality: int) -> Map:
    """Return (100 - quality)/100, `[1, 1, 1]`, on the grid of the layer that reads it."""
    exponent = int(stored["conv0/input_grid"][0])
    # Python rounds halves of fractions to even.
    value = round(Fraction(100 - quality, 100) * Fraction(2) ** exponent)
    return Map(np.full((1, 1, 1), value), exponent)


def label_grid(label_map: np.ndarray) -> np.ndarray:
    """Return the label to the lower right of the centre of each block."""
    start = LABEL_STRIDE // 2
    return label_map[start::LABEL_STRIDE, start::LABEL_STRIDE]


def _residual_blocks(stored: Arrays, x: Map, name: str) -> Map:
    for block in _numbered(stored, f"{name}{{}}_conv1"):
        y = relu(conv(stored, block, x))
        x = add(x, conv(stored, block.replace("_conv1", "_conv2"), y))
    return x


def _numbered(stored: Arrays, name: str, first: int = 0) -> Iterator[str]:
    """Yield the layers of a name with "{}" in the place of the number, as long as there are any."""
    names = (name.format(number) for number in itertools.count(first))
    return itertools.takewhile(lambda layer: f"{layer}/kernel" in stored, names)


def _backbone(stored: Arrays, x: Map) -> Map:
    """Return the features of EfficientNet-Lite0, `[height/8, width/8, 192]`."""
    x = relu6(conv(stored, "stem", x, stride=2))
    for block in itertools.chain.from_iterable(lite0_stages(OUTPUT_STRIDE)):
        inputs = x
        if block.expansion != 1:
            x = relu6(conv(stored, f"{block.name}_expand", x))
        pads = (block.kernel // 2, block.kernel // 2 - 1) if block.shifted else None
        x = conv(stored, f"{block.name}_depthwise", x, block.stride, block.dilation, pads)
        x = conv(stored, f"{block.name}_project", relu6(x))
        if block.stride == 1 and x.values.shape == inputs.values.shape:
            x = add(x, inputs)
    return x
