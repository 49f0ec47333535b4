"""Networks that are trained anew for an ablation, all with the same budget."""

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smapcomp import zoo
from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files as image_io

CODEC_ROLES = ("compnet", "finenet", "segmenter", "smapnet")
"""What coding with CompNet's compact image needs."""


@dataclass(frozen=True)
class Run:
    """A network that is trained, and how it differs from its fellows.

    Attributes:
        name: Of the variant.
        stage: Of training.
        trains: The role that is trained; all others are as they were.
        changes: Fields of the configuration, flattened, to their values.
        representation: Of SMapNet; None for the variant's.
    """

    name: str
    stage: str
    trains: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    representation: str | None = None

    @property
    def needs_vgg(self) -> bool:
        """Whether a loss of it looks at VGG's features."""
        return bool(self.changes.get("loss_weights.perceptual"))


def _smapnet(name: str, representation: str, channels: int) -> Run:
    # The papers' rate for all three (SPEC section 3): what differs is the format alone.
    changes = {"representation": representation, "channels": channels}
    changes |= {"optimizer.learning_rate": 5e-4}
    return Run(name, "stage2", "smapnet", changes, representation)


SMAPNETS = (
    _smapnet("classes", "classes", 0),
    _smapnet("index-1", "index", 1),
    _smapnet("index-3", "index", 3),
)

_TERMS = ("gan", "feature_matching", "perceptual", "l1", "ssim", "log_mse", "rate")


def _finenet(name: str, **weights: float) -> Run:
    changes: dict[str, Any] = {f"loss_weights.{term}": 0.0 for term in _TERMS}
    changes |= {f"loss_weights.{term}": float(weight) for term, weight in weights.items()}
    # A compact image that stays as it is takes the same bits, whatever FineNet learns; and without
    # labels, as it is measured, no other network has a part in it.
    changes |= {"rules": (("^compnet/", None), ("^(?!compnet/)", 1.0)), "void_share": 1.0}
    return Run(name, "stage1", "finenet", changes)


LOSSES = (
    _finenet("PSNR", log_mse=1),
    _finenet("PSNR + L1", log_mse=1, l1=20),
    _finenet("PSNR + L1 + VGG", log_mse=1, l1=20, perceptual=10),
    _finenet("PSNR + L1 + GAN + feature matching", log_mse=1, l1=20, gan=1, feature_matching=10),
    _finenet("the papers' five", l1=20, perceptual=10, gan=1, feature_matching=10, ssim=1),
)
"""PSNR alone, what each term adds to it, and the papers' losses with their weights."""


@dataclass(frozen=True)
class Budget:
    """What all runs of an ablation have in common.

    Attributes:
        data: Source of pictures with labels, of splits "training" and "validation".
        steps: Of each run.
        batch: Pictures in a step.
        size: Of the crops, pixels.
        vgg: Weights of VGG; empty for none.
        vgg_depth: 16 or 19.
        seed: Of the crops' order and the first weights.
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


def trained(run: Run, budget: Budget, networks: zoo.Networks, folder: Path) -> zoo.Networks:
    """Trains a run, unless that is done, and goes on with one that was interrupted.

    Args:
        run: What to train.
        budget: How long, and on what.
        networks: Those that are held fixed; the trained one starts from random values.
        folder: Of all runs; this one's has a name of the budget and its own.

    Returns:
        The networks with the trained one among them.

    Raises:
        Interrupted: SIGTERM or SIGINT came; the step was finished and saved.
        SmapcompError: The data or the training failed, or the folder holds another run.
    """
    from experiments import train_run

    place = folder / f"{budget.steps}x{budget.batch}x{budget.size}" / _file_name(run.name)
    config = configuration(run, budget, networks, place / "initial")
    _claim(place, [config.to_dict(), _digests(networks.folder)])
    made = place / "networks"
    if not (made / f"{run.trains}.npz").exists():
        fixed = [role for role in CODEC_ROLES if role != run.trains]
        _copy(networks.folder, place / "initial", fixed)
        try:
            train_run.run(config, str(place))
        except (OSError, ValueError) as error:
            if isinstance(error, SmapcompError):
                raise
            raise SmapcompError(f"{place}: {error}") from error
        _copy(networks.folder, made, fixed)
        _copy(place / "weights", made, [run.trains])
    representation = run.representation or networks.variant.representation
    variant = dataclasses.replace(networks.variant, representation=representation)
    return zoo.Networks(variant, made)


def _claim(place: Path, settings: list) -> None:
    """Writes what a run is begun with, or checks that it was begun with the same."""
    text = json.dumps(settings, indent=1, sort_keys=True)
    path = place / "settings.json"
    if not path.exists():
        place.mkdir(parents=True, exist_ok=True)
        image_io.write_file(path, text.encode())
    elif path.read_text("utf-8") != text:
        raise SmapcompError(
            f"{place}: was begun with other settings, data or networks; "
            "remove it or give another --out"
        )


def configuration(run: Run, budget: Budget, networks: zoo.Networks, initial: Path):
    """The configuration of `experiments.train` that a run has."""
    module = f"experiments.configs.{run.stage}_{networks.variant.name}"
    config = importlib.import_module(module).get_config()
    config.update_from_flattened_dict(
        {
            "data": budget.data,
            "init": str(initial),
            "steps": budget.steps,
            "batch_size": budget.batch,
            "size": budget.size,
            "seed": budget.seed,
            "vgg": budget.vgg if run.needs_vgg else "",
            "vgg_depth": budget.vgg_depth,
            # A score is what the ablation measures itself; the job's own, at the end, costs time.
            "validate_every": budget.steps,
            "codec_pictures": 0,
            "best_metric": "",
            **run.changes,
        }
    )
    return config


def _file_name(name: str) -> str:
    """The letters and digits of a name, for a folder and for a codec's option."""
    words = "".join(letter if letter.isalnum() else " " for letter in name.lower()).split()
    return "-".join(words)


def _digests(folder: Path) -> dict[str, str]:
    """Tell other networks from those that a run was made with."""
    paths = (folder / f"{role}.npz" for role in CODEC_ROLES)
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in paths if p.exists()}


def _copy(source: Path, target: Path, roles: Sequence[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for role in roles:
        path = source / f"{role}.npz"
        if not path.exists():
            raise SmapcompError(f"{path}: no such weights file")
        image_io.write_file(target / path.name, path.read_bytes(), overwrite=True)
