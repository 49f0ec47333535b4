r"""Stage 2 of the bundled weights: SMapNet on the segmenter's logits.

    python -m experiments.train --config=experiments/configs/stage2_lite.py \
        --workdir=runs/stage2 --config.data.source=DIR \
        --config.model.init=runs/stage1/weights,runs/segmentation/weights

Time: 3 minutes on two cores of an AMD EPYC with AVX512-BF16 that other work shared, with
`--config.model.precision=bfloat16`.
Score on the model card's validation tiles: pixel accuracy 46.7 % after SMapNet, 45.4 % before it
(docs/model_card.md).
"""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
    """Return the configuration that the module describes."""
    config = common.make_config("stage2", "lite")
    config.run.steps = 400
    config.optimizer.learning_rate = 1e-4
    config.data.cache_mib = common.CACHE_MIB
    config.checkpoint.best_metric = "validation/agreement"
    return config
