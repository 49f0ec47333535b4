r"""Stage 3 of the box: CompNet and FineNet on the labels that the decoder finds.

    python -m experiments.train --config=experiments/configs/stage3_lite.py --workdir=runs/4 \
        --config.data=DIR --config.init=runs/1/weights,runs/2/weights,runs/3/weights

The box's run took 10 minutes on two cores of an AMD EPYC with AVX512-BF16 that other work shared,
with `--config.precision=bfloat16`. Expected on the model card's validation tiles: prediction 27.33
dB at 0.126 bpp, estimated, of the compact layer (docs/model_card.md).
"""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
    """See above."""
    config = common.fields("stage3", "lite")
    config.steps = 4000
    config.cache_mib = 1500
    config.best_metric = "validation/psnr"
    return config
