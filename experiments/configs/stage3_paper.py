r"""Stage 3 for the papers' networks, decided here: the labels are those that are found.

    python -m experiments.train --config=experiments/configs/stage3_paper.py --workdir=runs/4 \
        --config.data=ADE20K --config.init=runs/1/weights,runs/2/weights,runs/3/weights \
        --config.vgg=VGG19.npz

Losses and optimizer are stage 1's; the discriminator starts anew unless runs/1 has one. A third of
stage 1's length, decided here. This project hasn't trained it: there are no times and no scores.
"""

import ml_collections

from experiments.configs import common

EPOCHS = 50


def get_config() -> ml_collections.ConfigDict:
    """See above."""
    config = common.fields("stage3", "paper")
    config.steps = EPOCHS * common.ADE20K_PICTURES // config.batch_size
    config.best_metric = "validation/psnr"
    return config
