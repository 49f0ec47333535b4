r"""The papers' stage 1: CompNet and FineNet with the original labels, and the discriminator.

    python -m experiments.train --config=experiments/configs/stage1_paper.py \
        --workdir=runs/stage1 --config.data.source=ADE20K --config.model.vgg=VGG19.npz

docs/spec.md, section 3: five losses; Adam at 2e-4 with beta_1 0.5, for 100 epochs at that rate and
for 50 more in a straight line to 0; batches of 8 pictures resized to 256x256.
`--config.model.recompute=True` needs less memory (docs/gpu.md). The JAX backend needs
`--config.data.fit=crop`.
Time and score: this project has not trained it.
"""

import ml_collections

from experiments.configs import common

EPOCHS = 150


def get_config() -> ml_collections.ConfigDict:
    """Return the configuration that the module describes."""
    config = common.make_config("stage1", "paper")
    config.run.steps = common.epochs_to_steps(EPOCHS, config.data.batch_size)
    config.checkpoint.best_metric = "validation/psnr"
    return config
