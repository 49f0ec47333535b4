r"""The papers' segmenter: PSPNet on ResNet-50, on pictures and on up-sampled compact ones.

    python -m experiments.train --config=experiments/configs/segmentation_paper.py \
        --workdir=runs/2 --config.data=ADE20K --config.init=runs/1/weights \
        --config.backbone=RESNET50.npz

SGD at 0.01 with momentum 0.9 and the heads at ten times that rate, decay 1e-4, polynomial rate of
power 0.9, batch 16, crops scaled by 0.5 to 2, rotated and blurred (SPEC section 3). How long
is not published; the 20 epochs of CSAILVision's PSPNet are taken. Published for such a network on
sharp pictures of ADE20K's validation split: mIoU 41.3 to 41.9 %, pixel accuracy 79.7 to 80.4 %.
This project hasn't trained it: there are no times and no scores of its own.
"""

import ml_collections

from experiments.configs import common
from smapcomp.training.settings import PAPER_RULES, SEGMENTATION_SCALES

EPOCHS = 20


def get_config() -> ml_collections.ConfigDict:
    """See above."""
    config = common.fields("segmentation", "paper")
    config.batch_size = 16
    config.steps = EPOCHS * common.ADE20K_PICTURES // config.batch_size
    config.fit = "crop"
    config.scales = SEGMENTATION_SCALES
    config.rotation = common.ROTATION
    config.blur = common.BLUR_SHARE
    config.rules = PAPER_RULES["segmentation"]
    config.best_metric = "validation/mean_iou_sharp"
    return config
