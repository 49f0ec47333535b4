r"""The papers' stage 2: SMapNet, from the segmenter's labels of u to those of the picture.

    python -m experiments.train --config=experiments/configs/stage2_paper.py --workdir=runs/3 \
        --config.data=ADE20K --config.init=runs/1/weights,runs/2/weights

Label indices, squared error, batch 32, Adam at 5e-4 with the final layer at a tenth of it, stopped
at epoch 150 (SPEC section 3). `--config.representation=classes` trains on logits instead. This
project hasn't trained it: there are no times and no scores.
"""

import ml_collections

from experiments.configs import common
from smapcomp.training.settings import PAPER_RULES

EPOCHS = 150


def get_config() -> ml_collections.ConfigDict:
    """See above."""
    config = common.fields("stage2", "paper")
    config.batch_size = 32
    config.steps = EPOCHS * common.ADE20K_PICTURES // config.batch_size
    config.rules = PAPER_RULES["stage2"]
    config.best_metric = "validation/agreement"
    return config
