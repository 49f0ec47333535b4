"""Label maps that the codec's own segmenter makes, to compute once and store."""

from __future__ import annotations

import numpy as np

from data.preparation.shards import Labeller
from smapcomp import zoo
from smapcomp.design import pad_picture
from smapcomp.predictors.engines import predictor_of


def labeller_name(variant: str, weights_dir: str | None) -> str:
    """What a manifest calls the segmenter: its variant and the digest of its weights."""
    return f"segmenter {variant} {zoo.load(variant, weights_dir).digest('finenet').hex()}"


def build_labeller(variant: str, weights_dir: str | None) -> Labeller:
    """The segmenter of a variant as the encoder uses it.

    Args:
      variant, weights_dir: as `smapcomp.zoo.load` takes them.

    Raises:
      SmapcompError: there are no such weights.
    """
    predictor = predictor_of(variant, weights_dir)

    def label(image: np.ndarray) -> np.ndarray:
        height, width, _ = image.shape
        grid = predictor.source_labels(pad_picture(image))
        return predictor.variant.full_size(grid)[:height, :width].astype(np.uint8)

    return label
