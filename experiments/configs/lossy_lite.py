r"""A FineNet of lossy compact images; the number after the colon is their scale: 1, 2, 4 or 8.

    python -m data.code_compact --source=DIR --scale=1 --passes=2 --out=coded_x1
    python -m experiments.train --config=experiments/configs/lossy_lite.py:1 \
        --workdir=runs/lossy_x1 --config.data.source=coded_x1 \
        --config.model.init=runs/segmentation/weights,runs/stage2/weights

Segmenter and SMapNet stay fixed: those of docs/training.md's runs, or the bundled ones in
`smapcomp/weights/lite`. Scales 2, 4 and 8 need fewer steps if they start from a trained network of
one of these scales. They look for `finenet_xSCALE.npz` in the folders of `init`: first their own,
then the nearest scale's.

    python -m experiments.train --config=experiments/configs/lossy_lite.py:4 \
        --workdir=runs/lossy_x4 --config.data.source=coded_x4 \
        --config.model.init=runs/segmentation/weights,runs/stage2/weights,runs/lossy_x2/weights

Time and score of the bundled weights, which were trained otherwise (docs/model_card.md): scale 1 by
the JAX backend on a GPU, 91,658 steps of 64 crops, gains 0.54 dB over the decoded picture on whole
validation tiles; scales 2, 4 and 8 on two processor cores, 522, 408 and 257 steps, gain 0.46, 0.32
and 0.10 dB.
"""

import ml_collections

from experiments.configs import common

STEPS = {1: 12_000, 2: 6_000, 4: 6_000, 8: 6_000}
"""Steps by scale: the first starts from random weights, the others from another scale's."""


def get_config(scale: str = "1") -> ml_collections.ConfigDict:
    """Return the configuration that the module describes.

    Args:
        scale: Scale of the compact images.

    Raises:
        ValueError: The scale is not allowed.
    """
    if scale not in map(str, STEPS):
        raise ValueError(f"lossy_lite.py:{scale}: the scale must be one of 1, 2, 4, 8")
    config = common.make_config("lossy", "lite")
    config.model.scale = int(scale)
    config.run.steps = STEPS[config.model.scale]
    config.run.average_decay = 0.998
    config.checkpoint.best_metric = "validation/gain_db"
    return config
