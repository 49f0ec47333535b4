r"""Stage 1 of the bundled weights: CompNet, FineNet and the rate model.

    python -m experiments.train --config=experiments/configs/stage1_lite.py \
        --workdir=runs/stage1 --config.data.source=DIR

Time: the bundled weights were trained in three runs of 16,467 steps in all, 46 minutes on two cores
of an AMD EPYC with AVX512-BF16 that other work shared, with `--config.model.precision=bfloat16`.
This is one run of as many steps with the settings of the last of them.
Score on the model card's validation tiles: prediction 27.3 dB at an estimated 0.127 bpp of the
compact layer (docs/model_card.md).
"""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
    """Return the configuration that the module describes."""
    config = common.make_config("stage1", "lite")
    config.run.steps = 16_500
    config.data.cache_mib = common.CACHE_MIB
    config.checkpoint.best_metric = "validation/psnr"
    return config
