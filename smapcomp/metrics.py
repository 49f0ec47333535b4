"""Metrics of reconstructions and label maps, in NumPy alone.

`psnr` and `ms_ssim` take pictures as they are stored: uint8 `[H, W, C]` in 0..255. The scores of
segmentation take a confusion matrix, which can be summed over pictures.
"""

import numpy as np

from smapcomp.design import NUM_CLASSES

MAX_VALUE = 255.0
"""Largest value of a sample."""

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the five scales (Wang et al., "Multiscale structural similarity", 2003)."""

MS_SSIM_MIN_SIDE = 161
"""Shortest side in pixels for MS-SSIM: halved four times and rounded up, it must still hold the
11-tap window."""

_WINDOW_TAPS = 11
_WINDOW_SIGMA = 1.5
_INVISIBLE_GREY = 128
_STRIP_PIXELS = 1 << 20
_C1 = (0.01 * MAX_VALUE) ** 2
_C2 = (0.03 * MAX_VALUE) ** 2


def psnr(a: np.ndarray, b: np.ndarray, visible: np.ndarray | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB over all samples of visible pixels.

    Args:
        a: uint8 `[H, W, C]`.
        b: uint8 of the same shape.
        visible: bool `[H, W]`, the pixels that count; `None` for all.

    Returns:
        10 log10(255² / MSE); infinity if no visible pixel differs.

    Raises:
        ValueError: The shapes differ, or a dtype is not that above.

    Example:
        >>> black = np.zeros((8, 8, 3), np.uint8)
        >>> round(psnr(black, black + np.uint8(1)), 2)
        48.13
    """
    _check_pictures(a, b)
    _check_visible(visible, a)
    total, count = 0, 0
    # Strip by strip, since the differences take far more memory than the picture.
    height, width, _ = a.shape
    rows = max(1, _STRIP_PIXELS // max(1, width))
    for top in range(0, height, rows):
        strip = slice(top, top + rows)
        x, y = a[strip], b[strip]
        if visible is not None:
            x, y = x[visible[strip]], y[visible[strip]]
        total += int(np.square(x.astype(np.int32) - y).sum(dtype=np.int64))
        count += x.size
    if total == 0:
        return float("inf")
    return float(10 * np.log10(MAX_VALUE**2 / (total / count)))


def psnr_planes(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean over the channels of the PSNR of each, in dB, as EDMS and DSSLIC define it.

    It is never less than `psnr`. Arguments and errors are those of `psnr`.
    """
    _check_pictures(a, b)
    return float(np.mean([psnr(a[..., c : c + 1], b[..., c : c + 1]) for c in range(a.shape[2])]))


def ms_ssim(a: np.ndarray, b: np.ndarray, visible: np.ndarray | None = None) -> float | None:
    """Return the multi-scale structural similarity, as `tf.image.ssim_multiscale` defines it.

    It has five scales and an 11-tap Gaussian window with sigma 1.5, without padding, and is the
    mean over the channels. It is computed in float64: TensorFlow's float32 result is up to 2e-4 too
    high above 0.995.

    With `visible`, both pictures are filled with the same grey where they are invisible, and the
    mean of each scale is that over the windows whose centre is visible, so that a large invisible
    area does not raise the result. At a coarser scale a sample is visible if any of the four
    samples that it averages is. If no centre of a scale is visible, all its windows count.

    Args:
        a: uint8 `[H, W, C]`.
        b: uint8 of the same shape.
        visible: bool `[H, W]`, the pixels that count; `None` for all.

    Returns:
        0..1, 1 for equal pictures. `None` if a side is shorter than `MS_SSIM_MIN_SIDE`: there is no
        fifth scale then, and a value of fewer scales could not be compared.

    Raises:
        ValueError: The shapes differ, or a dtype is not that above.

    Example:
        >>> noise = np.random.default_rng(0).integers(0, 256, (176, 176, 3), dtype=np.uint8)
        >>> ms_ssim(noise, noise)
        1.0
        >>> ms_ssim(noise[:100], noise[:100]) is None
        True
    """
    _check_pictures(a, b)
    _check_visible(visible, a)
    if min(a.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    if visible is not None:
        a, b = (np.where(visible[:, :, None], x, np.uint8(_INVISIBLE_GREY)) for x in (a, b))
    # Channel by channel, since the filtered planes take far more memory than the picture.
    channels = range(a.shape[2])
    return float(np.mean([_ms_ssim_plane(a[:, :, c], b[:, :, c], visible) for c in channels]))


def bits_per_pixel(n_bytes: int, width: int, height: int) -> float:
    """Return the bits of a file for each pixel (not for each sample) of the picture.

    Example:
        >>> bits_per_pixel(24_576, width=768, height=512)
        0.5
    """
    return 8 * n_bytes / (width * height)


def confusion_matrix(
    truth: np.ndarray, predicted: np.ndarray, num_classes: int = NUM_CLASSES
) -> np.ndarray:
    """Count how often each class is predicted as each; pixels whose true label is void are ignored.

    Args:
        truth: Integers of any shape in 0..num_classes; 0 is void.
        predicted: Integers of the same shape and range.
        num_classes: Number of classes.

    Returns:
        int64 `[num_classes + 1, num_classes + 1]`: element [t, p] is the number of pixels of true
        label t and predicted label p. Row 0 is zero. Column 0 counts the pixels that are predicted
        void, which are errors.

    Raises:
        ValueError: The shapes differ, or a label is outside 0..num_classes.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"label maps of shapes {truth.shape} and {predicted.shape} differ")
    size = num_classes + 1
    for labels in (truth, predicted):
        if labels.size and not 0 <= labels.min() <= labels.max() < size:
            raise ValueError(f"labels {labels.min()}..{labels.max()}; 0..{num_classes} are allowed")
    labelled = truth > 0
    index = truth[labelled].astype(np.int64) * size + predicted[labelled]
    return np.bincount(index, minlength=size * size).reshape(size, size)


def pixel_accuracy(confusion: np.ndarray) -> float:
    """Return the share of labelled pixels with the right label, 0..1; NaN if none is labelled."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float("nan")


def mean_iou(confusion: np.ndarray) -> float:
    """Return the mean over classes of intersection over union, 0..1; NaN if nothing is labelled.

    Void is not a class. Classes that occur neither in the truth nor in the prediction are left out.
    """
    intersection = np.diag(confusion)[1:]
    union = confusion.sum(axis=0)[1:] + confusion.sum(axis=1)[1:] - intersection
    present = union > 0
    return float(np.mean(intersection[present] / union[present])) if present.any() else float("nan")


def _check_pictures(a: np.ndarray, b: np.ndarray) -> None:
    for picture in (a, b):
        if picture.dtype != np.uint8 or picture.ndim != 3:
            raise ValueError(f"got {picture.dtype} {picture.shape}; uint8 [H, W, C] is required")
    if a.shape != b.shape:
        raise ValueError(f"pictures of shapes {a.shape} and {b.shape} differ")


def _check_visible(visible: np.ndarray | None, picture: np.ndarray) -> None:
    if visible is not None and (visible.dtype != bool or visible.shape != picture.shape[:2]):
        raise ValueError(
            f"visible pixels {visible.dtype} {visible.shape}; bool {picture.shape[:2]} is required"
        )


def _ms_ssim_plane(a: np.ndarray, b: np.ndarray, visible: np.ndarray | None) -> float:
    """Return the MS-SSIM of two planes, uint8 `[H, W]`."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    product = 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        if scale:
            x, y = _halve(x), _halve(y)
            # The mean of four is positive if one of them is.
            visible = None if visible is None else _halve(visible.astype(np.float64)) > 0
        ssim, contrast_structure = _ssim(x, y, visible)
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        product *= max(ssim if last else contrast_structure, 0.0) ** weight
    return product


def _ssim(x: np.ndarray, y: np.ndarray, visible: np.ndarray | None) -> tuple[float, float]:
    """Return the means over windows of SSIM and of its contrast-structure factor.

    The windows are those with a visible centre if there are any, else all.
    """
    mean_x, mean_y = _blur(x), _blur(y)
    mean_product = mean_x * mean_y
    mean_squares = np.square(mean_x) + np.square(mean_y)
    covariance = _blur(x * y) - mean_product
    variances = _blur(np.square(x) + np.square(y)) - mean_squares
    contrast_structure = (2 * covariance + _C2) / (variances + _C2)
    ssim = (2 * mean_product + _C1) / (mean_squares + _C1) * contrast_structure
    if visible is not None:
        margin = _WINDOW_TAPS // 2
        centres = visible[margin:-margin, margin:-margin]
        if centres.any():
            ssim, contrast_structure = ssim[centres], contrast_structure[centres]
    return float(ssim.mean()), float(contrast_structure.mean())


def _window() -> np.ndarray:
    """Return the Gaussian window, float64 `[11]`, whose sum is 1."""
    offsets = np.arange(_WINDOW_TAPS) - _WINDOW_TAPS // 2
    window = np.exp(-(offsets**2) / (2 * _WINDOW_SIGMA**2))
    return window / window.sum()


def _blur(x: np.ndarray) -> np.ndarray:
    """Filter `[H, W]` with the window along both sides without padding: `[H - 10, W - 10]`."""
    return _blur_rows(_blur_rows(x).T).T


def _blur_rows(x: np.ndarray) -> np.ndarray:
    window = _window()
    length = len(x) - _WINDOW_TAPS + 1
    middle = _WINDOW_TAPS // 2
    blurred = window[middle] * x[middle : middle + length]
    # The window is symmetric, so two taps share one product.
    for tap in range(middle):
        mirrored = _WINDOW_TAPS - 1 - tap
        blurred += window[tap] * (x[tap : tap + length] + x[mirrored : mirrored + length])
    return blurred


def _halve(x: np.ndarray) -> np.ndarray:
    """Return the means of 2x2 blocks of `[H, W]`; an odd last row or column counts twice."""
    height, width = x.shape
    x = np.pad(x, ((0, height % 2), (0, width % 2)), mode="symmetric")
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
