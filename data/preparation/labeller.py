"""Label maps by the segmenter of the codec, to be computed once and stored."""

from __future__ import annotations

import numpy as np

from data.preparation.shards import Labeller
from smapcomp import zoo
from smapcomp.design import pad_picture
from smapcomp.predictors.engines import load_predictor


def labeller_name(variant: str, weights_dir: str | None) -> str:
    """Return the name of a segmenter in a manifest: its variant and the digest of its weights.

    Args:
        variant: As `smapcomp.zoo.load_networks` takes it.
        weights_dir: As `smapcomp.zoo.load_networks` takes it.
    """
    digest = zoo.cached_networks(variant, weights_dir).digest("finenet")
    return f"segmenter {variant} {digest.hex()}"


def build_labeller(variant: str, weights_dir: str | None) -> Labeller:
    """Return a function that labels pictures as the encoder does.

    Args:
        variant: As `smapcomp.zoo.load_networks` takes it.
        weights_dir: As `smapcomp.zoo.load_networks` takes it.

    Raises:
        SmapcompError: There are no such weights.
    """
    predictor = load_predictor(variant, weights_dir)

    def label(image: np.ndarray) -> np.ndarray:
        height, width, _ = image.shape
        grid = predictor.source_labels(pad_picture(image))
        return predictor.variant.label_map(grid)[:height, :width].astype(np.uint8)

    return label
