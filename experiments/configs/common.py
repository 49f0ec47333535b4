"""Every field of a training configuration, with what most stages have in it.

A configuration is locked: overriding a field that is not here is an error.
"""

import dataclasses

import ml_collections

from smapcomp.training.settings import (
    LITE_SIZES,
    LITE_WEIGHTS,
    SEGMENTATION_SCALES,
    VOID_SHARES,
    Stage1Weights,
    mse_floor,
    optimizer_settings,
)

ADE20K_PICTURES = 20_210
"""In ADE20K's training split (SceneParse150): what the papers' epochs are of."""

ROTATION, BLUR_SHARE = 10.0, 0.5
"""Of the papers' segmentation stage: the highest angle in degrees (SPEC section 3), and the share
of the pictures that are blurred (decided here, as hszhao/semseg does)."""


def fields(stage: str, variant: str) -> ml_collections.ConfigDict:
    """A configuration with all fields; `data`, and where the docstring says so others, to be given.

    Args:
        stage: "stage1", "segmentation", "stage2", "stage3" or, with "lite", "lossy".
        variant: Of the networks: "lite" or "paper".
    """
    lite = variant == "lite"
    labels = stage in ("segmentation", "stage2")
    weights = LITE_WEIGHTS if lite else Stage1Weights()
    return ml_collections.ConfigDict(
        {
            # What is trained: smapcomp.training.networks.StageSettings.
            "stage": stage,
            "variant": variant,
            "scale": 1,  # Of the compact image; stage lossy.
            "init": "",  # Folders of weights, separated by commas; the last that has a file counts.
            "backbone": "",
            "vgg": "",
            "vgg_depth": 19,
            "loss_weights": dataclasses.asdict(weights),
            "mse_floor": mse_floor(stage),
            "void_share": VOID_SHARES.get((stage, variant), 0.0),
            "representation": "classes" if lite else "index",
            "channels": 0,
            "rules": ((".*", 1.0),),
            "precision": "float32",
            "recompute": False,
            # On what.
            "data": "",
            "batch_size": 8,  # Of the global batch: all replicas together.
            "size": LITE_SIZES[stage] if lite else 256,
            "fit": "crop" if lite else "resize",
            "scales": SEGMENTATION_SCALES if lite and labels else (),
            "rotation": 0.0,  # Highest angle, degrees.
            "blur": 0.0,  # Share of the pictures.
            "cache_mib": 0,  # Memory for decoded pictures; 0: decode always.
            "seed": 0,
            # How.
            "steps": 1,
            "optimizer": dataclasses.asdict(optimizer_settings(stage, variant)),
            "average_decay": 0.0,  # Of the weights' moving average; 0: none.
            "jit_compile": False,
            "deterministic": False,  # Ops that give the same bits again; slower, needed on GPUs.
            # When.
            "checkpoint_every": 500,
            "keep": 3,
            "best_metric": "",
            "best_is": "max",
            "log_every": 50,
            "validate_every": 500,
            "image_every": 1000,
            "pictures": 4,
            "codec_every": 2000,  # Stages 1 and 3.
            "codec_pictures": 4,
        }
    )
