"""Stages with their networks, built from a configuration."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import keras

from smapcomp.design import max_level
from smapcomp.errors import SmapcompError
from smapcomp.models.compnet import build_compnet
from smapcomp.models.discriminator import build_discriminator
from smapcomp.models.exact_segmenter import build_exact_segmenter
from smapcomp.models.finenet import build_finenet
from smapcomp.models.lossy_finenet import build_lossy_finenet
from smapcomp.models.precision import recomputed, with_precision
from smapcomp.models.pspnet import build_pspnet
from smapcomp.models.smapnet import build_smapnet
from smapcomp.models.vgg import build_vgg16_features, build_vgg19_features
from smapcomp.models.weights import save_weights
from smapcomp.training.config import TrainingConfig
from smapcomp.training.config_groups import LossWeights, ModelConfig
from smapcomp.training.layerwise import freeze
from smapcomp.training.rules import Rules, require_used
from smapcomp.training.stages import codec_stages, label_stages, lossy_stage
from smapcomp.training.stages.initial_weights import (
    load_initial_weights,
    require_init_folders,
    starts_exact,
    with_smapnet_of_weights,
)
from smapcomp.training.stages.rate_model import build_rate_model
from smapcomp.training.stages.stage import Stage
from smapcomp.zoo import TRAINING_HEADS, VARIANTS, lossy_finenet_role

VGG = {16: build_vgg16_features, 19: build_vgg19_features}
"""VGG's feature extractors by depth."""

NO_LOSSES = LossWeights(**dict.fromkeys(vars(LossWeights()), 0.0))
"""Loss weights with which stage 1 needs CompNet and FineNet alone."""


def build_stage(
    config: TrainingConfig,
    random_weights: bool = False,
    recompute: codec_stages.Wrap = recomputed,
    labels_in_batch: bool = False,
) -> Stage:
    """Return the stage of a configuration with its initial weights; call in the strategy's scope.

    Args:
        config: Networks, losses and rules.
        random_weights: Whether no file is read and all weights are random, as measurements of a
            step's time and memory need it.
        recompute: Function that makes a network compute its activations again in the backward pass,
            if the configuration asks for it; by default TensorFlow's.
        labels_in_batch: Whether batches of stage lossy have `labels_seen`, so that the networks
            that find labels are not needed.

    Raises:
        SmapcompError: A network that stays fixed or is tuned has no weights, a folder of `init`
            does not exist, SMapNet's weights have another representation than the configuration,
            or the rules do not fit the variables.
        ValueError: A file of weights does not fit its network.
        OSError: A file of weights cannot be read.
    """
    loss, rules = config.loss, Rules(config.optimizer.rules)
    require_init_folders(config.model)
    model = with_smapnet_of_weights(config.model)
    step = VARIANTS[model.variant].step
    wrap = recompute if model.recompute else None
    if model.stage == "stage1":
        models = _codec_models(model, loss.weights, random_weights)
        stage = codec_stages.stage1(
            models, loss.weights, step, loss.void_share, loss.mse_floor, wrap
        )
    elif model.stage == "segmentation":
        stage = label_stages.segmentation(_segmentation_models(model), step)
    elif model.stage == "stage2":
        stage = label_stages.stage2(_label_models(model), step, model.representation)
    elif model.stage == "lossy":
        stage = lossy_stage.lossy(
            _lossy_models(model, labels_in_batch),
            model.scale,
            loss.void_share,
            loss.mse_floor,
            model.representation,
        )
    else:
        models = _label_models(model) | _codec_models(model, loss.weights, random_weights)
        stage = codec_stages.stage3(
            models,
            loss.weights,
            step,
            loss.void_share,
            representation=model.representation,
            floor=loss.mse_floor,
            wrap=wrap,
        )
    if not random_weights:
        sources = load_initial_weights(stage, model, rules)
        stage = dataclasses.replace(stage, sources=sources)
    _apply_rules(stage, rules)
    return stage


def _apply_rules(stage: Stage, rules: Rules) -> None:
    """Freeze variables, after a check that each has one rule and that every rule is used."""
    require_used(rules, [name for group in stage.groups for name in stage.names(group)])
    for role in stage.trained_roles():
        network = stage.models[role]
        freeze(network, {id(v): f"{role}/{v.path}" for v in network.trainable_variables}, rules)
    for group in stage.groups:
        if not stage.variables(group):
            raise SmapcompError(
                f"config.optimizer.rules freeze all of {', '.join(stage.groups[group])}"
            )


def _network(model: ModelConfig, build, *args, float32: bool = False, **kwargs) -> keras.Model:
    precision = "float32" if float32 or kwargs.get("exact") else model.precision
    return with_precision(build, precision, *args, **kwargs)


def _codec_models(
    model: ModelConfig, weights: LossWeights, random_vgg: bool = False
) -> dict[str, keras.Model]:
    variant = VARIANTS[model.variant]
    models = {
        "compnet": _network(model, build_compnet, variant.name),
        "finenet": _network(
            model, build_finenet, variant.name, exact=starts_exact(model, "finenet")
        ),
    }
    if weights.adversarial:
        models["discriminator"] = _network(model, build_discriminator, variant.name)
    if weights.perceptual:
        if not model.vgg and not random_vgg:
            raise SmapcompError(
                "config.model.vgg is empty; the perceptual loss needs VGG's weights "
                "(or set config.loss.weights.perceptual to 0)"
            )
        models["vgg"] = _network(model, VGG[model.vgg_depth], model.vgg or None)
    if weights.rate:
        models["rate"] = _network(model, build_rate_model, max_level(variant.step), float32=True)
    return models


def _segmentation_models(model: ModelConfig) -> dict[str, keras.Model]:
    variant = VARIANTS[model.variant]
    return {
        "compnet": _network(model, build_compnet, variant.name),
        "segmenter": _network(model, build_pspnet, variant.backbone, auxiliary=True),
    }


def _label_models(model: ModelConfig) -> dict[str, keras.Model]:
    compnet = _network(model, build_compnet, VARIANTS[model.variant].name)
    return {"compnet": compnet} | _decoder_label_models(model)


def _lossy_models(model: ModelConfig, labels_in_batch: bool) -> dict[str, keras.Model]:
    role = lossy_finenet_role(model.scale)
    exact = starts_exact(model, role)
    finenet = _network(model, build_lossy_finenet, model.scale, exact=exact)
    labels = {} if labels_in_batch else _decoder_label_models(model)
    return {role: finenet} | labels


def _decoder_label_models(model: ModelConfig) -> dict[str, keras.Model]:
    variant, index = VARIANTS[model.variant], model.representation == "index"
    options = (model.representation, model.channels or None)
    exact = starts_exact(model, "smapnet")
    if starts_exact(model, "segmenter"):
        segmenter = _network(model, build_exact_segmenter, float32=True)
    else:
        segmenter = _network(model, build_pspnet, variant.backbone)
    return {
        "segmenter": segmenter,
        "smapnet": _network(model, build_smapnet, *options, float32=index, exact=exact),
    }


def build_codec_networks(model: ModelConfig) -> dict[str, keras.Model]:
    """Return the networks of stage 1 or 3 that the codec runs, untrained and in float32."""
    model = with_smapnet_of_weights(dataclasses.replace(model, precision="float32"))
    models = _codec_models(model, NO_LOSSES)
    if model.stage == "stage3":
        models |= _label_models(model)
    return models


def save_networks(
    models: Mapping[str, keras.Model], roles: Sequence[str], folder: str, dtype: str = "float32"
) -> None:
    """Write networks to `FOLDER/ROLE.npz`, without heads that only training needs.

    Args:
        models: Networks by role.
        roles: Roles of the networks that are written.
        folder: Folder of the files; it is created if it does not exist.
        dtype: Float type of the values.
    """
    os.makedirs(folder, exist_ok=True)
    for role in roles:
        path = os.path.join(folder, f"{role}.npz")
        save_weights(models[role], path, dtype, TRAINING_HEADS.get(role))
