"""Which differences between two ways of coding or labelling pictures are more than chance.

Two ways are compared on the same pictures, which stand for pictures in general: what varies is
which pictures were taken. Differences are paired, since pictures differ far more among themselves
than codecs do on one of them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from smapcomp.errors import SmapcompError

CONFIDENCE = 0.95
RESAMPLES = 4000
"""Of the bootstrap: the ends of its intervals then vary by a few hundredths of their length."""

SEED = 20201


@dataclass(frozen=True)
class Difference:
    """A difference with its confidence interval.

    Attributes:
        value: The difference itself, variant less base.
        low, high: Ends of the interval.
        p_value: Two-sided: how often chance alone would give a difference as large.
        pictures: That it was taken over.
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
    """Mean of the paired differences, by Student's t.

    The spread of the differences is itself estimated from a few dozen pictures; Student's t allows
    for that, where the normal distribution would give too short an interval (by a tenth for ten
    pictures). It takes the mean of the differences for normally distributed, which it nearly is
    for dozens of pictures even where single differences are not.

    Args:
        variant, base: A figure for each picture, in the same order; finite.
        confidence: How often such intervals contain the true mean, over 0 and under 1.

    Raises:
        SmapcompError: Not as many figures of one as of the other, fewer than two, or one that is
            not finite.
    """
    if len(variant) != len(base):
        raise SmapcompError(f"{len(variant)} figures against {len(base)}: they are not paired")
    differences = np.asarray(variant, np.float64) - np.asarray(base, np.float64)
    return mean_of(differences, confidence)


def mean_of(differences: Sequence[float], confidence: float = CONFIDENCE) -> Difference:
    """As `mean_difference`, of figures that are differences already, such as BD-rates."""
    values = np.asarray(differences, np.float64)
    if len(values) < 2:
        raise SmapcompError(f"{len(values)} pictures: a confidence interval needs at least 2")
    if not np.isfinite(values).all():
        raise SmapcompError(f"difference {values[~np.isfinite(values)][0]} is not finite")
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    freedom = len(values) - 1
    reach = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    ratio = abs(mean) / error if error else (math.inf if mean else 0.0)
    p_value = float(2 * stats.t.sf(ratio, freedom))
    return Difference(mean, mean - reach, mean + reach, p_value, len(values))


def score_difference(
    score: Callable[[np.ndarray], np.ndarray],
    variant: np.ndarray,
    base: np.ndarray,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Difference:
    """Difference of a score of a whole set, such as mean IoU, which is no mean over pictures.

    Its interval is the bootstrap's: sets of as many pictures are drawn from the set, with
    replacement, the same for both; the interval leaves out an equal share of their differences at
    each end. With fewer than some twenty pictures such intervals are rather too short.

    Args:
        score: Of what pictures add up to: `[count, ...]` to `[count]`, for `count` sets at once.
        variant, base: What each picture adds, `[pictures, ...]`, in the same order.
        confidence: As in `mean_difference`.
        resamples: How many sets are drawn.
        seed: The same seed gives the same interval.

    Raises:
        SmapcompError: The shapes differ, or there are fewer than two pictures.
    """
    if variant.shape != base.shape:
        raise SmapcompError(f"figures of shapes {variant.shape} and {base.shape} are not paired")
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
    # One more on either side: a p-value of 0 would claim more than the draws can tell.
    beyond = min(np.sum(drawn <= 0), np.sum(drawn >= 0)) + 1
    p_value = min(1.0, 2 * float(beyond) / (resamples + 1))
    return Difference(float(value), float(low), float(high), p_value, count)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values by Holm's method, for the family of all the differences of one table.

    Of twenty differences that are all chance, one is expected to have a 95 % interval without 0.
    Among differences whose adjusted p-value is under 0.05, the chance that any at all is noise is
    under 0.05, however they depend on each other.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def verdict(difference: Difference, more_is_better: bool, adjusted: float) -> str:
    """What to call a difference: "better", "worse" or "noise".

    Args:
        difference: Noise if its interval contains 0.
        more_is_better: Of the figure.
        adjusted: Its p-value by `holm`; where that is not under 0.05, the word has "?" behind it:
            among so many differences it may be chance.
    """
    if difference.is_noise:
        return "noise"
    word = "better" if (difference.value > 0) == more_is_better else "worse"
    return word if adjusted < 1 - CONFIDENCE else f"{word}?"
