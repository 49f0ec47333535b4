r"""The papers' stage 1: CompNet and FineNet with the original labels, and the discriminator.

    python -m experiments.train --config=experiments/configs/stage1_paper.py --workdir=runs/1 \
        --config.data=ADE20K --config.vgg=VGG19.npz

Five losses, Adam at 2e-4 with beta_1 0.5, 100 epochs at that rate and 50 more in a straight line to
0, batch 8 of pictures resized to 256x256 (SPEC section 3). `--config.recompute=True` needs less
memory (docs/training.md). This project hasn't trained it: there are no times and no scores.
"""

import ml_collections

from experiments.configs import common

EPOCHS = 150


def get_config() -> ml_collections.ConfigDict:
    """See above."""
    config = common.fields("stage1", "paper")
    config.steps = EPOCHS * common.ADE20K_PICTURES // config.batch_size
    config.best_metric = "validation/psnr"
    return config
