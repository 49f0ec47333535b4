r"""The papers' stage 2: SMapNet, from the segmenter's labels of the up-sampled compact image.

    python -m experiments.train --config=experiments/configs/stage2_paper.py \
        --workdir=runs/stage2 --config.data.source=ADE20K \
        --config.model.init=runs/stage1/weights,runs/segmentation/weights

docs/spec.md, section 3: label indices, squared error, batches of 32, Adam at 5e-4 with a tenth of
that rate for the last layer, 150 epochs. `--config.model.representation=classes` trains on logits
instead. The JAX backend needs `--config.data.fit=crop`.
Time and score: this project has not trained it.
"""

import ml_collections

from experiments.configs import common
from smapcomp.training.recipes import PAPER_RULES

EPOCHS = 150


def get_config() -> ml_collections.ConfigDict:
    """Return the configuration that the module describes."""
    config = common.make_config("stage2", "paper")
    config.data.batch_size = 32
    config.run.steps = common.epochs_to_steps(EPOCHS, config.data.batch_size)
    config.optimizer.rules = PAPER_RULES["stage2"]
    config.checkpoint.best_metric = "validation/agreement"
    return config
