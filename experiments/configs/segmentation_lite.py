r"""The segmenter of the box: PSPNet's head on EfficientNet-Lite0.

    python -m experiments.train --config=experiments/configs/segmentation_lite.py \
        --workdir=runs/2 --config.data=DIR --config.init=runs/1/weights \
        --config.backbone=efficientnet_lite0.npz

Stem, stages 1 and 2 and the depthwise kernels stay as they come. The box's run took 10 minutes on
two cores of an AMD EPYC with AVX512-BF16 that other work shared, with
`--config.precision=bfloat16`. Expected on the model card's validation tiles: pixel accuracy 46.8 %
on pictures, 45.4 % on up-sampled ones (docs/model_card.md).
"""

import ml_collections

from experiments.configs import common

FROZEN = r"stem|stage[12]_|[^/]*_depthwise/"


def get_config() -> ml_collections.ConfigDict:
    """See above."""
    config = common.fields("segmentation", "lite")
    config.steps = 1000
    config.rules = ((f"^segmenter/({FROZEN})", None), (f"^segmenter/(?!{FROZEN})", 1.0))
    config.cache_mib = 1500
    config.best_metric = "validation/pixel_accuracy_upsampled"
    return config
