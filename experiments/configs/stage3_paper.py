r"""Stage 3 for the papers' networks: CompNet and FineNet with the labels that the decoder finds.

    python -m experiments.train --config=experiments/configs/stage3_paper.py \
        --workdir=runs/stage3 --config.data.source=ADE20K --config.model.vgg=VGG19.npz \
        --config.model.init=runs/stage1/weights,runs/segmentation/weights,runs/stage2/weights

The papers have no such stage. Losses and optimizer are stage 1's, and it is a third as long. The
discriminator starts from random weights unless `runs/stage1/weights` has one. The JAX backend needs
`--config.data.fit=crop`.
Time and score: this project has not trained it.
"""

import ml_collections

from experiments.configs import common

EPOCHS = 50


def get_config() -> ml_collections.ConfigDict:
    """Return the configuration that the module describes."""
    config = common.make_config("stage3", "paper")
    config.run.steps = common.epochs_to_steps(EPOCHS, config.data.batch_size)
    config.checkpoint.best_metric = "validation/psnr"
    return config
