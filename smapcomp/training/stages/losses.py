"""Loss terms and PSNR of the training stages, written with `keras.ops` for every Keras backend.

Every function returns a float32 scalar, the mean over the batch. Images are floats `[B, H, W, C]`,
in [-1, 1] unless a value range is stated. Inputs of lower precision are computed in float32.

The discriminator's output is a list of scales. Each scale is a list with the outputs of its layers,
`[B, h, w, c]`: the hidden features first, the score map `[B, h, w, 1]` last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

Tensor = Any
DiscriminatorOutput = Sequence[Sequence[Tensor]]

PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Weights of relu1_1 ... relu5_1 (docs/spec.md, section 3; pix2pixHD)."""

# The window of SSIM in Wang et al. 2004.
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5


def _float32(x: Tensor) -> Tensor:
    return ops.cast(x, "float32")


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean absolute difference of two tensors of one shape."""
    return ops.mean(ops.abs(_float32(a) - _float32(b)))


def mse(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean squared difference of two tensors of one shape."""
    return ops.mean(ops.square(_float32(a) - _float32(b)))


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean over the batch of the PSNR in dB: 20·log10(2) - 10·log10(MSE)."""
    error = ops.mean(ops.square(a - b), axis=(1, 2, 3))
    return ops.mean(-10.0 * ops.log10(ops.maximum(error, 1e-10) / 4.0))


def log_mse(image: Tensor, prediction: Tensor, floor: float) -> Tensor:
    """Return the mean over the batch of 10·log10(squared error + floor).

    Without the floor that is minus the PSNR, up to a constant. The floor keeps flat crops, which
    any network predicts well, from dominating the gradient.

    Args:
        image: The pictures.
        prediction: The predicted pictures, of the same shape.
        floor: Added to the squared error of each picture, in units of values in 0..255.
    """
    error = ops.mean(ops.square(image - prediction), axis=(1, 2, 3)) * 127.5**2
    return ops.mean(10.0 * ops.log10(error + floor))


def _gaussian_filter(x: Tensor) -> Tensor:
    """Return Gaussian means over the 11x11 windows of `[B, H, W, C]`: `[B, H-10, W-10, C]`."""
    half = SSIM_WINDOW // 2
    taps = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * SSIM_SIGMA**2))
    kernel = np.tile((taps / taps.sum())[:, None, None, None], (1, 1, x.shape[-1], 1))
    kernel = kernel.astype(np.float32)
    columns = ops.depthwise_conv(x, kernel, padding="valid", data_format="channels_last")
    rows = kernel.transpose(1, 0, 2, 3)
    return ops.depthwise_conv(columns, rows, padding="valid", data_format="channels_last")


def ssim(a: Tensor, b: Tensor, value_range: tuple[float, float] = (-1.0, 1.0)) -> Tensor:
    """Return the structural similarity, averaged over windows, channels and pictures.

    The windows are those of Wang et al. 2004: 11x11, Gaussian with sigma 1.5, inside the picture;
    K1 is 0.01 and K2 is 0.03. A loss subtracts the similarity (docs/spec.md, section 3).

    Args:
        a: Pictures `[B, H, W, C]` with H and W at least 11.
        b: Pictures of the same shape.
        value_range: Lowest and highest value of a sample. SSIM compares means, so it needs both
            ends and not their distance alone.

    Returns:
        Scalar in [-1, 1]; 1 if the pictures are equal.

    Raises:
        ValueError: The pictures are smaller than a window, or the range is empty.
    """
    low, high = value_range
    if not low < high:
        raise ValueError(f"value_range must be (low, high) with low < high, got {value_range}")
    height, width = a.shape[1:3]
    if (height or SSIM_WINDOW) < SSIM_WINDOW or (width or SSIM_WINDOW) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs pictures of at least 11x11, got {height}x{width}")
    # Samples in [-1/2, 1/2], not [0, 1]: the variance E[x^2] - E[x]^2 is the same and loses fewer
    # bits, which matters where a GPU computes convolutions in TF32.
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


def _score_error(output: DiscriminatorOutput, target: float) -> Tensor:
    """Return the sum over the scales of the mean squared difference of score map and target."""
    return sum(ops.mean(ops.square(_float32(scale[-1]) - target)) for scale in output)


def lsgan_generator(fake: DiscriminatorOutput) -> Tensor:
    """Return the generator's least-squares GAN loss: the sum over scales of mean (score - 1)^2.

    Args:
        fake: The discriminator's output for generated pictures.
    """
    return _score_error(fake, 1.0)


def lsgan_discriminator(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
    """Return the discriminator's least-squares GAN loss, with targets 1 for real and 0 for fake.

    It is half of the sum of both errors.

    Args:
        real: The discriminator's output for originals.
        fake: Its output for generated pictures behind `ops.stop_gradient`, so that the loss does
            not train the generator.
    """
    return 0.5 * (_score_error(real, 1.0) + _score_error(fake, 0.0))


def feature_matching(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
    """Return the L1 between the discriminator's features of originals and of generated pictures.

    It is summed over the hidden layers and averaged over the scales; with two scales that is the
    factor 1/2 of docs/spec.md, section 3. No gradient flows into `real`.
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
    """Return the weighted L1 between two lists of VGG features, relu1_1 ... relu5_1.

    Args:
        real: Features of the originals, `[B, h, w, c]` each; no gradient flows into them.
        fake: Features of the generated pictures, of the same shapes.
        weights: One weight for each feature.

    Raises:
        ValueError: The three sequences differ in length.
    """
    if not len(real) == len(fake) == len(weights):
        raise ValueError(f"got {len(real)} and {len(fake)} features for {len(weights)} weights")
    return sum(
        weight * l1(ops.stop_gradient(r), f)
        for weight, r, f in zip(weights, real, fake, strict=True)
    )


def softmax_cross_entropy(logits: Tensor, label_map: Tensor) -> Tensor:
    """Return the cross-entropy in nats, averaged over the pixels whose label is not void.

    Args:
        logits: `[B, h, w, classes]`; channel k stands for label id k + 1.
        label_map: Integers `[B, h, w]` in 0..classes, where 0 is void.

    Returns:
        Scalar, at least 0; 0 if every pixel is void.
    """
    label_map = ops.cast(label_map, "int32")
    known = ops.cast(label_map > 0, "float32")
    loss = ops.sparse_categorical_crossentropy(
        ops.maximum(label_map - 1, 0), _float32(logits), from_logits=True
    )
    return ops.sum(loss * known) / ops.maximum(ops.sum(known), 1.0)
