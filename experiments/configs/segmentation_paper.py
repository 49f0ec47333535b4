r"""The papers' segmenter: PSPNet on ResNet-50, on pictures and on up-sampled compact images.

    python -m experiments.train --config=experiments/configs/segmentation_paper.py \
        --workdir=runs/segmentation --config.data.source=ADE20K \
        --config.model.init=runs/stage1/weights --config.model.backbone=resnet50.npz

docs/spec.md, section 3: SGD at 0.01 with momentum 0.9, ten times that rate for the heads, weight
decay 1e-4, polynomial schedule of power 0.9, batches of 16 crops scaled by 0.5 to 2, rotated and
blurred. The papers do not give the length; it is the 20 epochs of CSAILVision's PSPNet. The JAX
backend neither rotates nor blurs, and has no mean IoU; it needs `--config.data.rotation=0.0
--config.data.blur=0.0 --config.checkpoint.best_metric=validation/pixel_accuracy`.
Time and score: this project has not trained it. Published for such a network on sharp pictures of
ADE20K's validation split: mean IoU 41.3 to 41.9 %, pixel accuracy 79.7 to 80.4 %.
"""

import ml_collections

from experiments.configs import common
from smapcomp.training.recipes import PAPER_RULES, SEGMENTATION_SCALES

EPOCHS = 20

ROTATION = 10.0
"""Largest angle of the random rotation in degrees (docs/spec.md, section 3)."""

BLUR_SHARE = 0.5
"""Share of the pictures that are blurred; that of hszhao/semseg, since the papers give none."""


def get_config() -> ml_collections.ConfigDict:
    """Return the configuration that the module describes."""
    config = common.make_config("segmentation", "paper")
    config.data.batch_size = 16
    config.run.steps = common.epochs_to_steps(EPOCHS, config.data.batch_size)
    config.data.fit = "crop"
    config.data.scales = SEGMENTATION_SCALES
    config.data.rotation = ROTATION
    config.data.blur = BLUR_SHARE
    config.optimizer.rules = PAPER_RULES["segmentation"]
    config.checkpoint.best_metric = "validation/mean_iou_sharp"
    return config
