"""The chain of training stages on networks of one layer each, with the codec on the same ones."""

import importlib
from pathlib import Path

import numpy as np
from PIL import Image

from experiments import train
from smapcomp.models import compnet, finenet, lossy_finenet, pspnet, smapnet
from smapcomp.training.stages import networks
from tests.helpers import light_networks
from tests.helpers.training_configs import full_names

SHORT = {
    "steps": 1,
    "batch_size": 2,
    "size": 32,
    "fit": "crop",
    "scales": (),
    "rotation": 0.0,
    "blur": 0.0,
    "cache_mib": 0,
    "pictures": 1,
    "codec_pictures": 1,
    "rules": ((".*", 1.0),),
    "schedule": "constant",
    "loss.weights.perceptual": 0.0,
    "loss.weights.gan": 0.0,
    "loss.weights.feature_matching": 0.0,
}
"""Fields of a run of one step without VGG and discriminator."""

STAGES = ("stage1", "segmentation", "stage2", "stage3")


def lighten(patch) -> None:
    """Replace the networks of training and codec by those of `light_networks`.

    Args:
        patch: pytest's `monkeypatch`.
    """
    modules = (compnet, finenet, lossy_finenet, pspnet, smapnet)
    for module, build in zip(modules, light_networks.BUILDERS, strict=True):
        patch.setattr(module, build.__name__, build)
        patch.setattr(networks, build.__name__, build)


def make_pictures(root: Path) -> Path:
    """Write two pictures of noise with labels for each split, in ADE20K's layout."""
    rng = np.random.default_rng(3)
    for split in ("training", "validation"):
        for kind, channels in (("images", (3,)), ("annotations", ())):
            (root / kind / split).mkdir(parents=True)
            for index in range(2):
                high = 256 if channels else 151
                pixels = rng.integers(0, high, (40, 48, *channels), dtype=np.uint8)
                Image.fromarray(pixels).save(root / f"{kind}/{split}/{index}.png")
    return root


def train_stage(pictures, workdir, stage: str, variant: str, **changes) -> str:
    """Train a stage for one step and return the folder of its weights."""
    config = importlib.import_module(f"experiments.configs.{stage}_{variant}").get_config()
    changes = SHORT | {"source": str(pictures)} | changes
    config.update_from_flattened_dict(full_names(changes))
    train.train(config, str(workdir))
    return str(Path(workdir) / "weights")


def train_chain(pictures, runs: Path, variant: str) -> list[str]:
    """Train four stages, each from the weights of the earlier ones; return their weights."""
    folders: list[str] = []
    for stage in STAGES:
        options = {"init": ",".join(folders), "allow_random": stage == "segmentation"}
        folders.append(train_stage(pictures, runs / stage, stage, variant, **options))
    return folders
