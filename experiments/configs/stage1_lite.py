r"""Stage 1 of the weights in the box: CompNet, FineNet and the estimate of the rate.

    python -m experiments.train --config=experiments/configs/stage1_lite.py --workdir=runs/1 \
        --config.data=DIR

The box's run had three legs of 16,467 steps in all, 46 minutes on two cores of an AMD EPYC with
AVX512-BF16 that other work shared, with `--config.precision=bfloat16`; this is one leg of as many
at the last one's settings. Expected on the model card's validation tiles: prediction 27.3 dB at
0.127 bpp, estimated, of the compact layer (docs/model_card.md).
"""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
    """See above."""
    config = common.fields("stage1", "lite")
    config.steps = 16_500
    config.cache_mib = 1500
    config.best_metric = "validation/psnr"
    return config
