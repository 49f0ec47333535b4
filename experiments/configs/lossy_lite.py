r"""The box's FineNet of one scale of lossy compact images: 1, 2, 4 or 8, behind the colon.

    python -m data.code_compact --source=DIR --scale=1 --passes=2 --out=coded_x1
    python -m experiments.train --config=experiments/configs/lossy_lite.py:1 --workdir=runs/x1 \
        --config.data=coded_x1 --config.init=runs/2/weights,runs/3/weights

Segmenter and SMapNet are held fixed: runs/2 and runs/3 of docs/training.md, or the box's,
`smapcomp/weights/lite`. Scales 2, 4 and 8 need fewer steps when they start from a finished one of
them, whose `finenet_xSCALE.npz` they find among the folders of `init` (the nearest scale's, and
their own before it):

    python -m experiments.train --config=experiments/configs/lossy_lite.py:4 --workdir=runs/x4 \
        --config.data=coded_x4 --config.init=runs/2/weights,runs/3/weights,runs/x2/weights

The box's were trained otherwise (docs/model_card.md): scale 1 on a GPU by experiments.train_jax,
91,658 steps of 64 crops, for a gain of 0.54 dB over the decoded picture on whole validation tiles;
the others here for 522, 408 and 257 steps, for 0.46, 0.32 and 0.10 dB.
"""

import ml_collections

from experiments.configs import common

STEPS = {1: 12_000, 2: 6_000, 4: 6_000, 8: 6_000}
"""By scale; decided here, the first from nothing and the others from another scale's weights."""


def get_config(scale: str = "1") -> ml_collections.ConfigDict:
    """See above.

    Raises:
        ValueError: The scale is another one.
    """
    config = common.fields("lossy", "lite")
    if scale not in map(str, STEPS):
        raise ValueError(f"lossy_lite.py:{scale}: the scale must be one of 1, 2, 4, 8")
    config.scale = int(scale)
    config.steps = STEPS[config.scale]
    config.average_decay = 0.998
    config.best_metric = "validation/gain_db"
    return config
