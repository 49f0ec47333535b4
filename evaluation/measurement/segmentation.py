"""Scores of the label maps that encoder and decoder see, picture by picture."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from smapcomp import metrics
from smapcomp.design import COMPNET_SCALE, dequantise_compact, pad_picture

VIEWS = ("x", "u", "u, after SMapNet")
"""The segmenter's label map of the picture itself; that of the up-sampled compact image, which is
mode `matched`; and that after SMapNet, mode `mapped`."""


@dataclass(frozen=True)
class Labelled:
    """What one picture adds to the scores of a set.

    Attributes:
        name: Of the picture.
        counts: float64 `[views, 3, 150]`, in the order of `VIEWS`: by class, how many pixels are
            labelled so and found so, are labelled so, are labelled and found so.
    """

    name: str
    counts: np.ndarray


def label_maps(predictor, image: np.ndarray) -> dict[str, np.ndarray]:
    """The label map of each of `VIEWS`, uint8 `[height, width]`.

    Args:
        predictor: A `smapcomp.predictors.keras_predictor.KerasPredictor`.
        image: uint8 `[height, width, 3]`.
    """
    from smapcomp.predictors.base import Compact

    height, width, _ = image.shape
    padded = pad_picture(image)
    levels = predictor.compact_levels(padded, grey=False)
    compact = dequantise_compact(levels, predictor.variant.step)
    seen = Compact(compact, COMPNET_SCALE, quality=None)
    grids = (
        predictor.source_labels(padded),
        *(predictor.predict(seen, mode)[0] for mode in ("matched", "mapped")),
    )
    return {
        view: predictor.variant.full_size(grid)[:height, :width]
        for view, grid in zip(VIEWS, grids, strict=True)
    }


def class_counts(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """As `Labelled.counts` has them, of two label maps `[height, width]`; void is ignored."""
    confusion = metrics.confusion_matrix(truth, found)
    parts = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return np.stack(parts)[:, 1:].astype(np.float64)


def measure(predictor, examples: Iterable[dict]) -> Iterator[Labelled]:
    """Scores pictures with labels, as `data.load(..., labels=True)` gives them in NumPy."""
    for example in examples:
        maps = label_maps(predictor, example["image"])
        counts = [class_counts(example["label_map"], maps[view]) for view in VIEWS]
        yield Labelled(example["name"].decode(), np.stack(counts))


def pixel_accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of the labelled pixels that are found right: `[..., 3, 150]` to `[...]`."""
    right, labelled, _ = np.moveaxis(counts, -2, 0)
    return right.sum(-1) / labelled.sum(-1)


def mean_iou(counts: np.ndarray) -> np.ndarray:
    """Mean of intersection over union over the classes that occur: `[..., 3, 150]` to `[...]`."""
    right, labelled, found = np.moveaxis(counts, -2, 0)
    union = labelled + found - right
    ratio = np.divide(right, union, out=np.zeros_like(right), where=union > 0)
    return ratio.sum(-1) / (union > 0).sum(-1)
