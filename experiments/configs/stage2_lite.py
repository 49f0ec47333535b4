r"""Stage 2 of the box: SMapNet on the segmenter's logits.

    python -m experiments.train --config=experiments/configs/stage2_lite.py --workdir=runs/3 \
        --config.data=DIR --config.init=runs/1/weights,runs/2/weights

The box's run took 3 minutes on two cores of an AMD EPYC with AVX512-BF16 that other work shared,
with `--config.precision=bfloat16`. Expected on the model card's validation tiles: pixel accuracy
46.7 % after SMapNet, 45.4 % before (docs/model_card.md).
"""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
    """See above."""
    config = common.fields("stage2", "lite")
    config.steps = 400
    config.optimizer.learning_rate = 1e-4
    config.cache_mib = 1500
    config.best_metric = "validation/agreement"
    return config
