"""Weights that the networks of a stage start from, and a check of those that must not be random."""

import dataclasses
import os
import zipfile
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from smapcomp.design import SCALES
from smapcomp.errors import SmapcompError
from smapcomp.models.exact_weights import is_exact
from smapcomp.models.lossy_finenet import SIZES
from smapcomp.models.weights import load_weights, named_variables
from smapcomp.training.config_groups import FIXED_SMAPNET_STAGES, ModelConfig
from smapcomp.training.rules import Rules
from smapcomp.training.stages.stage import Stage
from smapcomp.zoo import (
    TRAINING_HEADS,
    VARIANTS,
    lossy_finenet_role,
    smapnet_channels,
    smapnet_representation,
)

RANDOM = "random values"
"""Source of the weights of a network that no file was found for."""

FINE_TUNED = {"segmentation": ("segmenter",), "stage3": ("compnet", "finenet")}
"""Networks that a stage trains on from earlier weights. The discriminator and the rate model of
stage 3 may be new, because the bundled weights do not have them."""

ALLOW = "--config.model.allow_random=True starts it from random values"


def require_init_folders(model: ModelConfig) -> None:
    """Check that all folders of `init` exist.

    Raises:
        SmapcompError: One does not.
    """
    for folder in model.init_folders:
        if not os.path.isdir(folder):
            raise SmapcompError(f"config.model.init: {folder}: no such folder of weights")


def weights_file(model: ModelConfig, role: str) -> str | None:
    """Return the file that a network starts from, or `None`.

    It is the network's own file in the last folder that has one. Without one, a lossy FineNet
    starts from the nearest other scale's of the same architecture.
    """
    names = [role]
    if role == lossy_finenet_role(model.scale):
        same_size = [scale for scale in SCALES if SIZES[scale] == SIZES[model.scale]]
        nearest_first = sorted(same_size, key=lambda scale: abs(scale - model.scale))
        names = [lossy_finenet_role(scale) for scale in nearest_first]
    for name in names:
        for folder in reversed(model.init_folders):
            path = os.path.join(folder, f"{name}.npz")
            if os.path.exists(path):
                return path
    return None


def starts_exact(model: ModelConfig, role: str) -> bool:
    """Return whether a network starts from exact weights, and is exact then.

    Raises:
        SmapcompError: The file of its weights cannot be read.
    """
    path = weights_file(model, role)
    if path is None:
        return False
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return is_exact(arrays.files)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise SmapcompError(f"{path}: not a file of weights: {error}") from None


def with_smapnet_of_weights(model: ModelConfig) -> ModelConfig:
    """Return the configuration with the representation and the channels of SMapNet's weights.

    A stage that keeps SMapNet fixed takes them from its file; without a file they are the
    configuration's or the variant's. Stages without SMapNet keep their configuration.

    Raises:
        SmapcompError: The configuration names others than the file has, or the file is no SMapNet.
    """
    if model.stage not in ("stage2", *FIXED_SMAPNET_STAGES):
        return model
    path = weights_file(model, "smapnet")
    if path is None:
        own = model.representation or VARIANTS[model.variant].representation
        return dataclasses.replace(model, representation=own)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            channels = smapnet_channels(dict(arrays))
        representation = smapnet_representation(channels)
    except (ValueError, EOFError) as error:
        raise SmapcompError(f"{path}: {error}") from None
    if model.representation not in ("", representation):
        raise SmapcompError(
            f"{path}: an SMapNet of representation {representation!r}; "
            f"config.model.representation is {model.representation!r}"
        )
    if model.stage == "stage2" or representation != "index":
        return dataclasses.replace(model, representation=representation)
    if model.channels not in (0, channels):
        raise SmapcompError(
            f"{path}: an SMapNet of {channels} channels; config.model.channels is {model.channels}"
        )
    return dataclasses.replace(model, representation=representation, channels=channels)


def load_initial_weights(stage: Stage, model: ModelConfig, rules: Rules) -> dict[str, str]:
    """Load the networks of a stage.

    Args:
        stage: The stage, before its rules freeze variables.
        model: Where the files are, and whether random values are allowed everywhere.
        rules: Learning rates, which tell what is frozen.

    Returns:
        Role to the description of where its weights come from.

    Raises:
        SmapcompError: A network that stays fixed or is tuned has no weights, or frozen variables
            have random values.
        ValueError: A file does not fit its network.
        OSError: A file cannot be read.
    """
    sources = {}
    trained = stage.trained_roles()
    for role, network in stage.models.items():
        if role == "vgg":  # Its weights are loaded where it is built.
            sources[role] = model.vgg
            continue
        loaded: set[str] = set()
        files = []
        if role == "segmenter" and role in trained and model.backbone:
            files.append(model.backbone)
        path = weights_file(model, role)
        if path is not None:
            files.append(path)
        for file in files:
            # A backbone lacks the head, and a segmenter's file the auxiliary head, which only its
            # training has.
            partial = model.stage == "segmentation"
            head = None if partial else TRAINING_HEADS.get(role)
            loaded |= load_weights(network, file, partial, head)
        if not model.allow_random:
            if not files and (role not in trained or role in FINE_TUNED.get(model.stage, ())):
                raise SmapcompError(_missing(model, role, fixed=role not in trained))
            if role in trained:
                _require_loaded(model, role, _frozen(role, network, rules), loaded)
        sources[role] = _source(files, len(set(named_variables(network)) - loaded))
    return sources


def _missing(model: ModelConfig, role: str, fixed: bool) -> str:
    folders = ", ".join(model.init_folders)
    searched = f"no {role}.npz in {folders}" if folders else f"empty, so there is no {role}.npz"
    use = f"{model.stage} {'keeps this network fixed' if fixed else 'starts from its weights'}"
    backbone = "" if fixed or role != "segmenter" else " or from config.model.backbone"
    inner = [f for f in model.init_folders if os.path.isdir(os.path.join(f, "weights"))]
    hint = f"; {inner[0]} is a run, whose weights are in {inner[0]}/weights" if inner else ""
    return f"config.model.init: {searched}; {use}{backbone}{hint} ({ALLOW})"


def _frozen(role: str, network: keras.Model, rules: Rules) -> list[str]:
    """Return the variables, as `layer/variable`, that the rules freeze."""
    keys = {id(variable): key for key, variable in named_variables(network).items()}
    return [
        keys[id(variable)]
        for variable in network.trainable_variables
        if rules.multiplier(f"{role}/{variable.path}") is None and id(variable) in keys
    ]


def _require_loaded(model: ModelConfig, role: str, frozen: Sequence[str], loaded: set[str]) -> None:
    random = [key for key in frozen if key not in loaded]
    if random:
        raise SmapcompError(
            f"config.optimizer.rules freeze {len(random)} arrays of {role} that have random "
            f"values, such as {role}/{random[0]}; config.model.init {model.init!r} has no weights "
            f"for them ({ALLOW})"
        )


def _source(files: Sequence[str], random_arrays: int) -> str:
    if not files:
        return RANDOM
    rest = f"; {random_arrays} arrays from {RANDOM}" if random_arrays else ""
    return ", then ".join(files) + rest


def weights_table(stage: Stage, sources: Mapping[str, str]) -> str:
    """Return a table of a stage's networks, how they are trained and where they start from.

    Args:
        stage: The stage, after its rules have frozen variables.
        sources: Result of `load_initial_weights`.
    """
    rows = [("network", "training", "starts from")]
    trained = stage.trained_roles()
    for role, network in stage.models.items():
        kind = "trained" if role in trained else "fixed"
        if role in trained:
            # Moving statistics are trained with the layer that they belong to.
            frozen = sum(_is_frozen(layer, variable) for layer, variable in _weights(network))
            if frozen:
                kind += f", {frozen} of {len(_weights(network))} arrays frozen"
        rows.append((role, kind, sources.get(role, RANDOM)))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {source}" for name, kind, source in rows
    )


def _weights(network: keras.Model) -> list[tuple[keras.Layer, keras.Variable]]:
    return [
        (layer, variable)
        for layer in network.layers
        for variable in layer.variables
        if "seed" not in variable.name
    ]


def _is_frozen(layer: keras.Layer, variable: keras.Variable) -> bool:
    moving = "moving" in variable.name
    return not layer.trainable or (not moving and not variable.trainable)
