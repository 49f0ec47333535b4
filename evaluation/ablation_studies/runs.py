"""Training of networks for an ablation, all with the same budget."""

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments import tensorflow_run
from smapcomp import zoo
from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files
from smapcomp.training.config import TrainingConfig

CODEC_ROLES = ("compnet", "finenet", "segmenter", "smapnet")
"""Networks that coding with CompNet's compact image uses."""


@dataclass(frozen=True)
class TrainingVariant:
    """A network to train, and how its training differs from the other variants.

    Attributes:
        name: Name of the variant.
        stage: Stage of training, which selects the configuration.
        trains: Role of the trained network; all other networks stay as they are.
        changes: Fields of `TrainingConfig`, as "group.field", to their values.
    """

    name: str
    stage: str
    trains: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needs_vgg(self) -> bool:
        """Whether one of the losses compares VGG's features."""
        return bool(self.changes.get("loss.weights.perceptual"))


def _smapnet(name: str, representation: str, channels: int) -> TrainingVariant:
    # All three use the papers' learning rate (docs/spec.md, section 3): only the representation
    # differs.
    changes = {"model.representation": representation, "model.channels": channels}
    changes |= {"optimizer.learning_rate": 5e-4}
    return TrainingVariant(name, "stage2", "smapnet", changes)


SMAPNETS = (
    _smapnet("classes", "classes", 0),
    _smapnet("index-1", "index", 1),
    _smapnet("index-3", "index", 3),
)

_TERMS = ("gan", "feature_matching", "perceptual", "l1", "ssim", "log_mse", "rate")


def _finenet(name: str, **weights: float) -> TrainingVariant:
    changes: dict[str, Any] = {f"loss.weights.{term}": 0.0 for term in _TERMS}
    changes |= {f"loss.weights.{term}": float(weight) for term, weight in weights.items()}
    # CompNet is frozen, so that all variants take the same bits. FineNet is trained without labels,
    # as it is measured, so that no other network has an effect.
    changes["optimizer.rules"] = (("^compnet/", None), ("^(?!compnet/)", 1.0))
    changes["loss.void_share"] = 1.0
    return TrainingVariant(name, "stage1", "finenet", changes)


LOSSES = (
    _finenet("PSNR", log_mse=1),
    _finenet("PSNR + L1", log_mse=1, l1=20),
    _finenet("PSNR + L1 + VGG", log_mse=1, l1=20, perceptual=10),
    _finenet("PSNR + L1 + GAN + feature matching", log_mse=1, l1=20, gan=1, feature_matching=10),
    _finenet("the papers' five", l1=20, perceptual=10, gan=1, feature_matching=10, ssim=1),
)
"""PSNR alone, PSNR with further terms, and the papers' losses with their weights."""


@dataclass(frozen=True)
class Budget:
    """What all trainings of an ablation have in common.

    Attributes:
        data: Source of labelled pictures with the splits "training" and "validation".
        steps: Training steps.
        batch: Pictures in a step.
        size: Side of the crops in pixels.
        vgg: File of VGG's weights; empty for none.
        vgg_depth: 16 or 19.
        seed: Seed of the order of the crops and of the initial weights.
    """

    data: str
    steps: int
    batch: int
    size: int
    vgg: str = ""
    vgg_depth: int = 19
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.steps} steps of {self.batch} × {self.size}²"


def train_variant(
    variant: TrainingVariant, budget: Budget, networks: zoo.Networks, folder: Path
) -> zoo.Networks:
    """Train a variant unless that is done; continue a training that was interrupted.

    Args:
        variant: What to train.
        budget: Data and length of the training.
        networks: Networks that stay as they are; the trained one starts from random values.
        folder: Folder of all trainings; this one's subfolder is named after the budget and the
            variant.

    Returns:
        The networks, the trained one among them.

    Raises:
        Interrupted: SIGTERM or SIGINT came; a checkpoint was saved.
        SmapcompError: The data or the training failed, or the folder has another training.
    """
    place = folder / f"{budget.steps}x{budget.batch}x{budget.size}" / _folder_name(variant.name)
    config = configuration(variant, budget, networks, place / "initial")
    _record_settings(place, [config.to_dict(), _digests(networks.folder)])
    made = place / "networks"
    if not (made / f"{variant.trains}.npz").exists():
        fixed = [role for role in CODEC_ROLES if role != variant.trains]
        _copy(networks.folder, place / "initial", fixed)
        try:
            tensorflow_run.run(config, str(place))
        except (OSError, ValueError) as error:
            if isinstance(error, SmapcompError):
                raise
            raise SmapcompError(f"{place}: {error}") from error
        _copy(networks.folder, made, fixed)
        _copy(place / "weights", made, [variant.trains])
    return zoo.Networks(networks.variant, made)


def _record_settings(place: Path, settings: list) -> None:
    """Write the settings of a new training; check that a started one has the same settings."""
    text = json.dumps(settings, indent=1, sort_keys=True)
    path = place / "settings.json"
    if not path.exists():
        place.mkdir(parents=True, exist_ok=True)
        image_files.write_file(path, text.encode())
    elif path.read_text("utf-8") != text:
        raise SmapcompError(
            f"{place}: was started with other settings, data or networks; "
            "remove it or use another --out"
        )


def configuration(
    variant: TrainingVariant, budget: Budget, networks: zoo.Networks, initial: Path
) -> TrainingConfig:
    """Return the configuration of the training of a variant.

    Args:
        variant: What to train.
        budget: Data and length of the training.
        networks: Networks that stay as they are; their variant selects the configuration.
        initial: Folder of the initial weights.
    """
    module = f"experiments.configs.{variant.stage}_{networks.variant.name}"
    config = importlib.import_module(module).get_config()
    config.update_from_flattened_dict(
        {
            "model.init": str(initial),
            "model.vgg": budget.vgg if variant.needs_vgg else "",
            "model.vgg_depth": budget.vgg_depth,
            "data.source": budget.data,
            "data.batch_size": budget.batch,
            "data.size": budget.size,
            "run.steps": budget.steps,
            "run.seed": budget.seed,
            "checkpoint.best_metric": "",
            # The ablation measures scores itself; the training's own validation would cost time.
            "evaluation.validate_every": budget.steps,
            "evaluation.codec_pictures": 0,
            **variant.changes,
        }
    )
    return TrainingConfig.from_dict(config.to_dict())


def _folder_name(name: str) -> str:
    """Return the letters and digits of a name, for a folder and a codec's option."""
    words = "".join(letter if letter.isalnum() else " " for letter in name.lower()).split()
    return "-".join(words)


def _digests(folder: Path) -> dict[str, str]:
    """Return digests of the networks' files, which show whether a training used other networks."""
    paths = (folder / f"{role}.npz" for role in CODEC_ROLES)
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in paths if p.exists()}


def _copy(source: Path, target: Path, roles: Sequence[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for role in roles:
        path = source / f"{role}.npz"
        if not path.exists():
            raise SmapcompError(f"{path}: no such weights file")
        image_files.write_file(target / path.name, path.read_bytes(), overwrite=True)
