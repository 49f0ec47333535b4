"""Confidence intervals and tests of differences between two ways to code or label pictures.

Both ways are compared on the same pictures, which are a sample of all pictures. The differences are
paired, because pictures differ far more from each other than codecs do on one picture.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from smapcomp.errors import SmapcompError

CONFIDENCE = 0.95
"""How often an interval contains the true value."""
RESAMPLES = 4000
"""Samples of the bootstrap. The ends of its intervals then vary by a few hundredths of their
length."""

SEED = 20201
"""Seed of the bootstrap."""


@dataclass(frozen=True)
class Difference:
    """A difference with its confidence interval.

    Attributes:
        value: Variant minus base.
        low: Lower end of the interval.
        high: Upper end of the interval.
        p_value: Two-sided p-value: how often chance alone would give a difference as large.
        pictures: Number of pictures that the difference was computed from.
    """

    value: float
    low: float
    high: float
    p_value: float
    pictures: int

    @property
    def is_noise(self) -> bool:
        """Whether the interval contains 0."""
        return self.low <= 0 <= self.high


def mean_difference(
    variant: Sequence[float], base: Sequence[float], confidence: float = CONFIDENCE
) -> Difference:
    """Return the mean of paired differences with an interval by Student's t.

    Student's t allows for the spread being estimated from a few dozen pictures; the normal
    distribution would give too short an interval (by a tenth for ten pictures). It assumes that the
    mean of the differences is normally distributed, which is nearly true for dozens of pictures
    even if single differences are not.

    Args:
        variant: One finite number for each picture.
        base: The same for the base, in the same order.
        confidence: How often such intervals contain the true mean, between 0 and 1.

    Raises:
        SmapcompError: The lengths differ, there are fewer than two numbers, or one is not finite.
    """
    if len(variant) != len(base):
        raise SmapcompError(f"{len(variant)} values and {len(base)} values are not paired")
    differences = np.asarray(variant, np.float64) - np.asarray(base, np.float64)
    return mean_with_interval(differences, confidence)


def mean_with_interval(differences: Sequence[float], confidence: float = CONFIDENCE) -> Difference:
    """Return the mean of numbers that are already differences, such as BD-rates.

    Args:
        differences: One finite number for each picture.
        confidence: As for `mean_difference`.

    Raises:
        SmapcompError: There are fewer than two numbers, or one is not finite.
    """
    values = np.asarray(differences, np.float64)
    if len(values) < 2:
        raise SmapcompError(f"{len(values)} pictures: a confidence interval needs at least 2")
    if not np.isfinite(values).all():
        raise SmapcompError(f"difference {values[~np.isfinite(values)][0]} is not finite")
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    freedom = len(values) - 1
    half_width = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    ratio = abs(mean) / error if error else (math.inf if mean else 0.0)
    p_value = float(2 * stats.t.sf(ratio, freedom))
    return Difference(mean, mean - half_width, mean + half_width, p_value, len(values))


def score_difference(
    score: Callable[[np.ndarray], np.ndarray],
    variant: np.ndarray,
    base: np.ndarray,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Difference:
    """Return the difference of a score of a whole set, such as mean IoU, by the bootstrap.

    Such a score is no mean over pictures. Sets of as many pictures are drawn from the set, with
    replacement and the same for both; the interval leaves out an equal share of their differences
    at each end. With fewer than about twenty pictures such intervals are somewhat too short.

    Args:
        score: Function from sums over pictures to scores of `count` sets: `[count, ...]` to
            `[count]`.
        variant: What each picture adds to the sums, `[pictures, ...]`.
        base: The same for the base, in the same order.
        confidence: As for `mean_difference`.
        resamples: Number of drawn sets.
        seed: Seed of the draws.

    Raises:
        SmapcompError: The shapes differ, or there are fewer than two pictures.
    """
    if variant.shape != base.shape:
        raise SmapcompError(f"values of shapes {variant.shape} and {base.shape} are not paired")
    count = len(variant)
    if count < 2:
        raise SmapcompError(f"{count} pictures: a confidence interval needs at least 2")
    rng = np.random.default_rng(seed)
    times = rng.multinomial(count, np.full(count, 1 / count), resamples).astype(np.float64)

    def scores(weights: np.ndarray) -> np.ndarray:
        parts = (np.tensordot(weights, values, axes=1) for values in (variant, base))
        ours, theirs = (score(part) for part in parts)
        return ours - theirs

    drawn = scores(times)
    (value,) = scores(np.ones((1, count)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    # One is added, as a p-value of 0 would claim more than a finite number of draws can show.
    beyond = min(np.sum(drawn <= 0), np.sum(drawn >= 0)) + 1
    p_value = min(1.0, 2 * float(beyond) / (resamples + 1))
    return Difference(float(value), float(low), float(high), p_value, count)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's method, for all differences of one table.

    If twenty differences are all chance, one is expected to have a 95 % interval without 0. Among
    differences with an adjusted p-value under 0.05, the probability that any is chance is under
    0.05, whatever the dependence between them.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def verdict(difference: Difference, more_is_better: bool, adjusted: float) -> str:
    """Return "better", "worse" or "noise" for a difference.

    Args:
        difference: The difference; it is noise if its interval contains 0.
        more_is_better: Whether a larger value of the compared quantity is better.
        adjusted: Adjusted p-value from `holm`. From 0.05 up, a "?" is appended: among so many
            differences this one may be chance.
    """
    if difference.is_noise:
        return "noise"
    word = "better" if (difference.value > 0) == more_is_better else "worse"
    return word if adjusted < 1 - CONFIDENCE else f"{word}?"
