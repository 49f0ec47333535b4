"""Default configuration of each stage and variant, with every field.

`smapcomp.training.config_groups` describes the fields. A configuration is locked: overriding a
field that does not exist is an error.
"""

import ml_collections

from smapcomp.training import recipes
from smapcomp.training.config import TrainingConfig
from smapcomp.training.config_groups import DataConfig, ModelConfig, RunConfig

ADE20K_PICTURES = 20_210
"""Pictures in ADE20K's training split (SceneParse150), on which the papers' epochs are based."""

CACHE_MIB = 1500
"""Memory for decoded pictures in the configurations of the bundled networks."""


def make_config(stage: str, variant: str) -> ml_collections.ConfigDict:
    """Return the defaults of a stage; `data.source` and the initial weights must be added.

    Args:
        stage: One of `smapcomp.training.config_groups.STAGES`.
        variant: Variant of the networks: "lite" or "paper". Stage lossy has only "lite".
    """
    lite = variant == "lite"
    scaled = lite and stage in ("segmentation", "stage2")
    config = TrainingConfig(
        model=ModelConfig(stage=stage, variant=variant),
        loss=recipes.loss_config(stage, variant),
        data=DataConfig(
            size=recipes.LITE_SIZES[stage] if lite else recipes.PAPER_SIZE,
            fit="crop" if lite else "resize",
            scales=recipes.SEGMENTATION_SCALES if scaled else (),
        ),
        optimizer=recipes.optimizer_config(stage, variant),
        run=RunConfig(steps=1),
    )
    return ml_collections.ConfigDict(config.to_dict())


def epochs_to_steps(epochs: int, batch_size: int) -> int:
    """Return the number of steps of so many epochs of ADE20K."""
    return epochs * ADE20K_PICTURES // batch_size
