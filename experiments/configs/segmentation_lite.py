r"""The bundled segmenter: PSPNet's head on EfficientNet-Lite0.

    python -m experiments.train --config=experiments/configs/segmentation_lite.py \
        --workdir=runs/segmentation --config.data.source=DIR \
        --config.model.init=runs/stage1/weights --config.model.backbone=lite0.npz

The stem, the first two stages of the backbone and all depthwise kernels stay fixed.
Time: 10 minutes on two cores of an AMD EPYC with AVX512-BF16 that other work shared, with
`--config.model.precision=bfloat16`.
Score on the model card's validation tiles: pixel accuracy 46.8 % on pictures, 45.4 % on up-sampled
compact images (docs/model_card.md).
"""

import ml_collections

from experiments.configs import common

FROZEN = r"stem|stage[12]_|[^/]*_depthwise/"
"""Regular expression of the frozen layers."""


def get_config() -> ml_collections.ConfigDict:
    """Return the configuration that the module describes."""
    config = common.make_config("segmentation", "lite")
    config.run.steps = 1000
    config.optimizer.rules = (
        (f"^segmenter/({FROZEN})", None),
        (f"^segmenter/(?!{FROZEN})", 1.0),
    )
    config.data.cache_mib = common.CACHE_MIB
    config.checkpoint.best_metric = "validation/pixel_accuracy_upsampled"
    return config
