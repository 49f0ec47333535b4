"""Quality metrics against closed forms, definitions and TensorFlow."""

import io
import itertools
import math

import numpy as np
import pytest
from PIL import Image

from smapcomp.metrics import (
    bits_per_pixel,
    confusion_matrix,
    mean_iou,
    ms_ssim,
    pixel_accuracy,
    psnr,
)

RNG = np.random.default_rng(3)


def natural_picture(height: int, width: int) -> np.ndarray:
    """Return edges, gradients and texture, uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    waves = np.sin(x / 17 + np.cos(y / 29) * 3) * 60 + 128
    squares = ((x // 40 + y // 56) % 2) * 50.0
    noise = RNG.normal(0, 8, (height, width))
    planes = [waves + noise, waves / 2 + squares + noise, squares + 100 * y / height]
    return np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def ms_ssim_by_definition(a: np.ndarray, b: np.ndarray) -> float:
    """Compute the paper's formula of two planes [H, W] for each position of the 11x11 window."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    x, y = a.astype(float), b.astype(float)
    result = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        values = []
        for i, j in itertools.product(range(x.shape[0] - 10), range(x.shape[1] - 10)):
            p, q = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            variance_p = (window * (p - mean_p) ** 2).sum()
            variance_q = (window * (q - mean_q) ** 2).sum()
            covariance = (window * (p - mean_p) * (q - mean_q)).sum()
            value = (2 * covariance + c2) / (variance_p + variance_q + c2)
            if scale == 4:
                value *= (2 * mean_p * mean_q + c1) / (mean_p**2 + mean_q**2 + c1)
            values.append(value)
        result *= max(np.mean(values), 0) ** weight
        height, width = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
        x, y = (
            z[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
            for z in (x, y)
        )
    return result


def test_psnr_of_equal_pictures_is_infinite():
    image = natural_picture(8, 9)
    assert psnr(image, image.copy()) == math.inf


def test_psnr_of_a_constant_difference_has_the_closed_form():
    image = np.full((6, 7, 3), 100, np.uint8)
    assert psnr(image, image + np.uint8(5)) == pytest.approx(20 * math.log10(255 / 5), abs=1e-12)
    assert psnr(image * 0, image * 0 + np.uint8(255)) == 0.0
    one_sample = image.copy()
    one_sample[0, 0, 0] -= 1  # MSE 1/126
    assert psnr(image, one_sample) == pytest.approx(10 * math.log10(255**2 * 126), abs=1e-12)


@pytest.mark.parametrize(("height", "width"), [(176, 176), (177, 203), (333, 161)])
@pytest.mark.parametrize("quality", [5, 50])
def test_ms_ssim_equals_tensorflow(height, width, quality):
    import tensorflow as tf

    image = natural_picture(height, width)
    coded = jpeg(image, quality)
    expected = float(tf.image.ssim_multiscale(image[None], coded[None], 255)[0])
    assert 0.5 < expected < 0.999
    assert ms_ssim(image, coded) == pytest.approx(expected, abs=1e-4)


def test_ms_ssim_equals_its_definition():
    image = natural_picture(176, 176)[:, :, :1]
    coded = jpeg(image[:, :, 0], 20)[:, :, None]
    expected = ms_ssim_by_definition(image[:, :, 0], coded[:, :, 0])
    assert ms_ssim(image, coded) == pytest.approx(expected, abs=1e-9)


def test_ms_ssim_is_one_for_equal_and_zero_for_inverted_pictures():
    image = RNG.integers(0, 256, (176, 180, 3), np.uint8)
    assert ms_ssim(image, image.copy()) == pytest.approx(1, abs=1e-12)
    assert ms_ssim(image, 255 - image) == 0


def test_ms_ssim_of_small_pictures_is_none():
    image = natural_picture(161, 300)
    assert ms_ssim(image, image) is not None
    assert ms_ssim(image[:160], image[:160]) is None
    assert ms_ssim(image[:1, :1], image[:1, :1]) is None


@pytest.mark.parametrize("metric", [psnr, ms_ssim])
def test_pictures_of_other_sizes_or_types_are_refused(metric):
    image = natural_picture(170, 170)
    with pytest.raises(ValueError, match="differ"):
        metric(image, image[:-1])
    with pytest.raises(ValueError, match="uint8"):
        metric(image, image.astype(np.float32))
    with pytest.raises(ValueError, match="uint8"):
        metric(image[:, :, 0], image[:, :, 0])


def test_bits_per_pixel_counts_pixels_not_samples():
    assert bits_per_pixel(768 * 512 // 8, 768, 512) == 1.0
    assert bits_per_pixel(3, 4, 2) == 3.0


def test_segmentation_scores_match_a_count_by_hand():
    truth = np.array([[0, 0, 1, 1], [2, 2, 2, 3]])
    predicted = np.array([[1, 0, 1, 2], [2, 2, 0, 4]])
    confusion = confusion_matrix(truth, predicted)
    assert confusion.shape == (151, 151)
    assert confusion.sum() == 6  # the two void pixels are ignored
    assert pixel_accuracy(confusion) == pytest.approx(3 / 6)
    # 1: 1 of {1, 1}; 2: 2 of {2, 2, 2 and one 1}; 3: 0 of 1; 4: 0 of 1; all others do not occur.
    assert mean_iou(confusion) == pytest.approx((1 / 2 + 2 / 4 + 0 + 0) / 4)


def test_segmentation_scores_add_up_over_pictures():
    truth, predicted = RNG.integers(0, 6, (2, 5, 20, 30))
    total = sum(confusion_matrix(t, p, 5) for t, p in zip(truth, predicted, strict=True))
    np.testing.assert_array_equal(total, confusion_matrix(truth, predicted, 5))
    labelled = truth > 0
    assert pixel_accuracy(total) == np.mean(truth[labelled] == predicted[labelled])
    overlaps = [
        np.sum((truth == c) & (predicted == c))
        / np.sum(labelled & ((truth == c) | (predicted == c)))
        for c in range(1, 6)
    ]
    assert mean_iou(total) == pytest.approx(np.mean(overlaps))


def test_segmentation_scores_without_labelled_pixels_are_nan():
    confusion = confusion_matrix(np.zeros((2, 2), int), np.ones((2, 2), int))
    assert math.isnan(pixel_accuracy(confusion))
    assert math.isnan(mean_iou(confusion))


def test_labels_out_of_range_are_refused():
    labels = np.array([0, 150])
    assert confusion_matrix(labels.astype(np.uint8), labels).sum() == 1
    with pytest.raises(ValueError, match=r"labels 0\.\.151; 0\.\.150 are allowed"):
        confusion_matrix(labels, np.array([0, 151]))
    with pytest.raises(ValueError, match="differ"):
        confusion_matrix(labels, labels[:1])


def test_invisible_pixels_do_not_count():
    image = natural_picture(200, 190)
    visible = np.zeros((200, 190), bool)
    visible[20:180, 10:150] = True
    noise = RNG.integers(0, 256, image.shape, np.uint8)
    other = np.where(visible[:, :, None], image, noise)
    assert psnr(image, other) < 20
    assert psnr(image, other, visible) == math.inf
    assert ms_ssim(image, other, visible) == 1.0
    coded = jpeg(image, 20)
    hidden = np.where(visible[:, :, None], coded, noise)
    assert psnr(image, hidden, visible) == pytest.approx(
        psnr(image[20:180, 10:150], coded[20:180, 10:150]), abs=1e-9
    )
    assert ms_ssim(image, hidden, visible) == ms_ssim(image, coded, visible)
    assert psnr(image, other, np.zeros_like(visible)) == math.inf


def test_metrics_of_wholly_visible_pictures_are_the_usual_ones():
    image = natural_picture(177, 203)
    coded = jpeg(image, 20)
    visible = np.ones((177, 203), bool)
    assert psnr(image, coded, visible) == psnr(image, coded)
    assert ms_ssim(image, coded, visible) == pytest.approx(ms_ssim(image, coded), abs=1e-12)


def test_an_invisible_area_does_not_raise_ms_ssim():
    image = natural_picture(200, 200)
    coded = jpeg(image, 10)
    visible = np.zeros((200, 200), bool)
    visible[60:140, 60:140] = True
    # A constant area would be equal in both pictures if its windows counted.
    filled = [np.where(visible[:, :, None], x, np.uint8(128)) for x in (image, coded)]
    assert ms_ssim(image, coded, visible) < ms_ssim(*filled) - 0.005


@pytest.mark.parametrize(
    "visible", [np.ones((200, 200), np.uint8), np.ones((199, 200), bool), np.ones((2, 2, 1), bool)]
)
def test_other_masks_are_refused(visible):
    image = natural_picture(200, 200)
    for metric in (psnr, ms_ssim):
        with pytest.raises(ValueError, match=r"bool \(200, 200\) is required"):
            metric(image, image, visible)
