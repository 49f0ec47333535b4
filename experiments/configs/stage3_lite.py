r"""Stage 3 of the bundled weights: CompNet and FineNet with the labels that the decoder finds.

    python -m experiments.train --config=experiments/configs/stage3_lite.py \
        --workdir=runs/stage3 --config.data.source=DIR \
        --config.model.init=runs/stage1/weights,runs/segmentation/weights,runs/stage2/weights

Time: 10 minutes on two cores of an AMD EPYC with AVX512-BF16 that other work shared, with
`--config.model.precision=bfloat16`.
Score on the model card's validation tiles: prediction 27.33 dB at an estimated 0.126 bpp of the
compact layer (docs/model_card.md).
"""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
    """Return the configuration that the module describes."""
    config = common.make_config("stage3", "lite")
    config.run.steps = 4000
    config.data.cache_mib = common.CACHE_MIB
    config.checkpoint.best_metric = "validation/psnr"
    return config
