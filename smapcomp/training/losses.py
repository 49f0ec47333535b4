"""Loss terms of every training stage, in `keras.ops` alone so that they run on any Keras backend.

Every function returns a float32 scalar: the mean over the batch. Images are [B, H, W, C] floats,
in [-1, 1] unless a value range is stated. Inputs of lower precision are computed in float32.

The discriminator's answer, `stages` below, is a list of scales; each scale is a list with the
output of every stage, [B, h, w, c]: the hidden features first, the score map [B, h, w, 1] last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

Tensor = Any
Stages = Sequence[Sequence[Tensor]]

# relu1_1 ... relu5_1, SPEC section 3 (pix2pixHD).
PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
# SSIM's window, Wang et al. 2004.
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5


def _float32(x: Tensor) -> Tensor:
    return ops.cast(x, "float32")


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of one shape."""
    return ops.mean(ops.abs(_float32(a) - _float32(b)))


def mse(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of two tensors of one shape."""
    return ops.mean(ops.square(_float32(a) - _float32(b)))


def _gaussian_filter(x: Tensor) -> Tensor:
    """Gaussian mean over 11x11 windows inside [B, H, W, C]: [B, H-10, W-10, C]."""
    half = SSIM_WINDOW // 2
    taps = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * SSIM_SIGMA**2))
    kernel = np.tile((taps / taps.sum())[:, None, None, None], (1, 1, x.shape[-1], 1))
    kernel = kernel.astype(np.float32)
    columns = ops.depthwise_conv(x, kernel, padding="valid", data_format="channels_last")
    rows = kernel.transpose(1, 0, 2, 3)
    return ops.depthwise_conv(columns, rows, padding="valid", data_format="channels_last")


def ssim(a: Tensor, b: Tensor, value_range: tuple[float, float] = (-1.0, 1.0)) -> Tensor:
    """Single-scale structural similarity, averaged over windows, channels and pictures.

    Wang et al. 2004: 11x11 Gaussian windows inside the picture, sigma 1.5, K1 0.01, K2 0.03.
    A loss subtracts it: SPEC section 3 weights it with -1.

    Args:
      a, b: [B, H, W, C] with H and W at least 11.
      value_range: lowest and highest value of a sample. SSIM compares means, so it needs both ends
        and not their distance alone.

    Returns:
      A scalar in [-1, 1]; 1 when the pictures are equal.

    Raises:
      ValueError: when the pictures are known to be smaller than a window or the range is empty.
    """
    low, high = value_range
    if not low < high:
        raise ValueError(f"value_range must be (low, high) with low < high, got {value_range}")
    height, width = a.shape[1:3]
    if (height or SSIM_WINDOW) < SSIM_WINDOW or (width or SSIM_WINDOW) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs pictures of at least 11x11, got {height}x{width}")
    # Samples in [-1/2, 1/2], not [0, 1]: the variance E[x^2] - E[x]^2 is the same and loses fewer
    # bits, which counts where a GPU computes convolutions in TF32.
    a = (_float32(a) - low) / (high - low) - 0.5
    b = (_float32(b) - low) / (high - low) - 0.5
    maps = _gaussian_filter(ops.concatenate([a, b, a * a + b * b, a * b], axis=-1))
    mean_a, mean_b, mean_squares, mean_product = ops.split(maps, 4, axis=-1)
    variances = mean_squares - mean_a * mean_a - mean_b * mean_b
    covariance = mean_product - mean_a * mean_b
    mean_a, mean_b = mean_a + 0.5, mean_b + 0.5
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    contrast_structure = (2 * covariance + c2) / (variances + c2)
    return ops.mean(luminance * contrast_structure)


def _score_error(stages: Stages, target: float) -> Tensor:
    """Sum over the scales of the mean squared distance between the score map and `target`."""
    return sum(ops.mean(ops.square(_float32(scale[-1]) - target)) for scale in stages)


def lsgan_generator(fake: Stages) -> Tensor:
    """Least-squares GAN loss of the generator: the sum over scales of mean (score - 1)^2.

    Args:
      fake: the discriminator's stages for generated pictures.
    """
    return _score_error(fake, 1.0)


def lsgan_discriminator(real: Stages, fake: Stages) -> Tensor:
    """Least-squares GAN loss of the discriminator, half of (real towards 1 + fake towards 0).

    Args:
      real: its stages for originals.
      fake: its stages for generated pictures that carry no gradient (`ops.stop_gradient` before
        the discriminator), so that the generator isn't trained by it.
    """
    return 0.5 * (_score_error(real, 1.0) + _score_error(fake, 0.0))


def feature_matching(real: Stages, fake: Stages) -> Tensor:
    """L1 between the discriminator's hidden features of originals and of generated pictures.

    Summed over the hidden stages, averaged over the scales (the half of SPEC section 3: there are
    two). Originals are a fixed target: no gradient flows into `real`.
    """
    terms = [
        l1(ops.stop_gradient(r), f)
        for real_scale, fake_scale in zip(real, fake, strict=True)
        for r, f in zip(real_scale[:-1], fake_scale[:-1], strict=True)
    ]
    return sum(terms) / len(real)


def perceptual(
    real: Sequence[Tensor],
    fake: Sequence[Tensor],
    weights: Sequence[float] = PERCEPTUAL_WEIGHTS,
) -> Tensor:
    """Weighted L1 between two lists of VGG features, relu1_1 ... relu5_1.

    Args:
      real: features of the originals, [B, h, w, c] each; a fixed target, no gradient.
      fake: features of the generated pictures, same shapes.
      weights: one a feature.

    Raises:
      ValueError: when the three are not equally long.
    """
    if not len(real) == len(fake) == len(weights):
        raise ValueError(f"got {len(real)} and {len(fake)} features for {len(weights)} weights")
    return sum(
        weight * l1(ops.stop_gradient(r), f)
        for weight, r, f in zip(weights, real, fake, strict=True)
    )


def softmax_cross_entropy(logits: Tensor, label_map: Tensor) -> Tensor:
    """Cross-entropy in nats, averaged over the pixels whose label is not void.

    Args:
      logits: [B, h, w, classes] of any scale; channel k stands for label id k + 1.
      label_map: [B, h, w] integers, 0 = void, 1..classes.

    Returns:
      A scalar at or above 0; 0 when every pixel is void.
    """
    label_map = ops.cast(label_map, "int32")
    known = ops.cast(label_map > 0, "float32")
    loss = ops.sparse_categorical_crossentropy(
        ops.maximum(label_map - 1, 0), _float32(logits), from_logits=True
    )
    return ops.sum(loss * known) / ops.maximum(ops.sum(known), 1.0)
