"""Accuracy of the label maps that encoder and decoder compute, picture by picture."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from smapcomp import metrics
from smapcomp.design import COMPNET_SCALE, dequantise_compact, pad_picture
from smapcomp.predictors.base import Compact

LABEL_MAP_KINDS = ("x", "u", "u, after SMapNet")
"""Label maps that are scored: the segmenter's of the picture x itself; the segmenter's of the
up-sampled compact image u (mode `matched`); and the latter after SMapNet (mode `mapped`)."""


@dataclass(frozen=True)
class ClassCounts:
    """Pixel counts of one picture, from which the scores of a set of pictures are computed.

    Attributes:
        name: Name of the picture.
        counts: float64 `[kinds, 3, 150]`, with kinds in the order of `LABEL_MAP_KINDS`: for each
            class the number of pixels that have the class in both maps, in the true one, and in the
            found one.
    """

    name: str
    counts: np.ndarray


def label_maps(predictor, image: np.ndarray) -> dict[str, np.ndarray]:
    """Return the label map of each of `LABEL_MAP_KINDS`, uint8 `[height, width]`.

    Args:
        predictor: A `smapcomp.predictors.keras_predictor.KerasPredictor`.
        image: uint8 `[height, width, 3]`.
    """
    height, width, _ = image.shape
    padded = pad_picture(image)
    levels = predictor.compact_levels(padded, grey=False)
    compact = dequantise_compact(levels, predictor.variant.step)
    compact_image = Compact(compact, COMPNET_SCALE, quality=None)
    grids = (
        predictor.source_labels(padded),
        *(predictor.predict(compact_image, mode)[0] for mode in ("matched", "mapped")),
    )
    return {
        kind: predictor.variant.label_map(grid)[:height, :width]
        for kind, grid in zip(LABEL_MAP_KINDS, grids, strict=True)
    }


def class_counts(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Count pixels by class as in `ClassCounts.counts`; void pixels of the truth are ignored.

    Args:
        truth: True label map `[height, width]`.
        found: Label map to score, of the same shape.

    Returns:
        float64 `[3, 150]`.
    """
    confusion = metrics.confusion_matrix(truth, found)
    parts = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return np.stack(parts)[:, 1:].astype(np.float64)


def count_labels(predictor, examples: Iterable[dict]) -> Iterator[ClassCounts]:
    """Yield the counts of labelled pictures.

    Args:
        predictor: As for `label_maps`.
        examples: NumPy examples as `data.load(..., labels=True)` returns them.
    """
    for example in examples:
        maps = label_maps(predictor, example["image"])
        counts = [class_counts(example["label_map"], maps[kind]) for kind in LABEL_MAP_KINDS]
        yield ClassCounts(example["name"].decode(), np.stack(counts))


def pixel_accuracy(counts: np.ndarray) -> np.ndarray:
    """Return the share of labelled pixels with the right label: `[..., 3, 150]` to `[...]`."""
    right, labelled, _ = np.moveaxis(counts, -2, 0)
    return right.sum(-1) / labelled.sum(-1)


def mean_iou(counts: np.ndarray) -> np.ndarray:
    """Return the mean intersection over union of classes that occur: `[..., 3, 150]` to `[...]`."""
    right, labelled, found = np.moveaxis(counts, -2, 0)
    union = labelled + found - right
    ratio = np.divide(right, union, out=np.zeros_like(right), where=union > 0)
    return ratio.sum(-1) / (union > 0).sum(-1)
