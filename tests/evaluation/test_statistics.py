"""Confidence intervals against closed forms, SciPy's own tests and brute force."""

import numpy as np
import pytest
from scipy import stats

from evaluation.analysis.statistics import (
    Difference,
    holm,
    mean_difference,
    mean_with_interval,
    score_difference,
    verdict,
)
from evaluation.measurement import segmentation
from smapcomp import metrics
from smapcomp.errors import SmapcompError


def test_the_interval_of_three_differences_agrees_with_printed_tables():
    # Differences 1, 2, 3: mean 2, standard error 1/√3; Student's t, two degrees of freedom: 4.303.
    found = mean_difference([11, 22, 33], [10, 20, 30])
    assert found.value == pytest.approx(2)
    assert found.high - 2 == pytest.approx(4.3027 / np.sqrt(3), rel=1e-4)
    assert found.value - found.low == pytest.approx(found.high - found.value)
    assert found.pictures == 3
    assert found.is_noise


@pytest.mark.parametrize("shift", [0.0, 0.3, -2.0])
def test_the_paired_interval_and_p_value_agree_with_scipy(shift):
    rng = np.random.default_rng(1)
    base = rng.normal(30, 4, 24)
    variant = base + shift + rng.normal(0, 0.5, 24)
    found, wanted = mean_difference(variant, base), stats.ttest_rel(variant, base)
    interval = wanted.confidence_interval(0.95)
    assert found.p_value == pytest.approx(wanted.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.is_noise == (wanted.pvalue > 0.05)


def test_one_in_twenty_intervals_misses_the_true_mean():
    rng = np.random.default_rng(2)
    missed = [mean_with_interval(rng.normal(0, 1, 8)).is_noise for _ in range(4000)].count(False)
    # Standard deviation of the count: √(4000 · 0.05 · 0.95) = 14.
    assert abs(missed - 200) < 4 * 14


def test_zero_differences_are_noise_and_equal_nonzero_ones_are_not():
    assert mean_difference([3.0, 4.0], [3.0, 4.0]) == Difference(0, 0, 0, 1, 2)
    assert mean_difference([3.5, 4.5], [3.0, 4.0]) == Difference(0.5, 0.5, 0.5, 0, 2)


@pytest.mark.parametrize(
    ("variant", "base", "message"),
    [
        ([1, 2], [1, 2, 3], "2 values and 3 values are not paired"),
        ([1], [2], "1 pictures: a confidence interval needs at least 2"),
        ([1, np.inf], [1, 1], "difference inf is not finite"),
    ],
)
def test_unpaired_or_infinite_values_are_refused(variant, base, message):
    with pytest.raises(SmapcompError, match=message):
        mean_difference(variant, base)


def test_the_bootstrap_of_a_mean_agrees_with_scipy_and_students_t():
    rng = np.random.default_rng(3)
    base = rng.normal(0, 3, 40)
    variant = base + rng.exponential(1, 40) - 0.2

    def mean(weighted):
        return weighted[..., 0] / weighted[..., 1]

    def with_ones(values):
        return np.stack([values, np.ones(40)], axis=1)

    found = score_difference(mean, with_ones(variant), with_ones(base), resamples=20000)
    wanted = stats.bootstrap(
        (variant - base,), np.mean, n_resamples=20000, method="percentile", rng=rng
    ).confidence_interval
    student = mean_difference(variant, base)
    assert found.value == pytest.approx(student.value)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.02)
    assert (found.low, found.high) == pytest.approx((student.low, student.high), abs=0.08)
    assert found == score_difference(mean, with_ones(variant), with_ones(base), resamples=20000)


def _labels(seed, pictures, right):
    """Return true label maps and label maps of which a share of the pixels is right."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 6, (pictures, 12, 10))
    guess = rng.integers(1, 6, truth.shape)
    return truth, np.where(rng.random(truth.shape) < right, np.maximum(truth, 1), guess)


def _counts(truth, found):
    return np.stack([segmentation.class_counts(t, f) for t, f in zip(truth, found, strict=True)])


def test_scores_of_counts_are_those_of_the_confusion_matrix():
    truth, found = _labels(4, 5, 0.4)
    found[0, 0, :4] = 0  # Void is never right.
    counts = _counts(truth, found)
    confusion = sum(metrics.confusion_matrix(t, f) for t, f in zip(truth, found, strict=True))
    total = counts.sum(0)
    assert segmentation.pixel_accuracy(total) == pytest.approx(metrics.pixel_accuracy(confusion))
    assert segmentation.mean_iou(total) == pytest.approx(metrics.mean_iou(confusion))
    single = segmentation.mean_iou(counts)
    pairs = zip(truth, found, strict=True)
    wanted = [metrics.mean_iou(metrics.confusion_matrix(*pair)) for pair in pairs]
    np.testing.assert_allclose(single, wanted)


def test_the_interval_of_mean_iou_agrees_with_a_brute_force_bootstrap():
    truth, good = _labels(5, 12, 0.45)
    _, bad = _labels(5, 12, 0.35)
    found = score_difference(segmentation.mean_iou, _counts(truth, good), _counts(truth, bad))
    rng = np.random.default_rng(6)
    drawn = []
    for _ in range(800):
        chosen = rng.integers(0, 12, 12)
        scores = [
            metrics.mean_iou(metrics.confusion_matrix(truth[chosen], labels[chosen]))
            for labels in (good, bad)
        ]
        drawn.append(scores[0] - scores[1])
    wanted = [metrics.mean_iou(metrics.confusion_matrix(truth, labels)) for labels in (good, bad)]
    assert found.value == pytest.approx(wanted[0] - wanted[1])
    spread = np.std(drawn)
    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(drawn, (0.025, 0.975))), abs=0.3 * spread
    )
    assert not found.is_noise
    assert found.p_value < 0.01
    same = score_difference(segmentation.mean_iou, _counts(truth, good), _counts(truth, good))
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_holms_p_values_agree_with_a_computation_by_hand():
    # The smallest times 4, the next times 3, ...; never below the one before, never above 1.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_verdict_has_a_direction_and_a_doubt_after_holms_method():
    clear, unclear = Difference(0.2, 0.1, 0.3, 0.001, 24), Difference(0.1, -0.1, 0.3, 0.3, 24)
    assert verdict(clear, True, 0.004) == "better"
    assert verdict(clear, False, 0.004) == "worse"
    assert verdict(clear, True, 0.06) == "better?"
    assert verdict(unclear, True, 1.0) == "noise"
