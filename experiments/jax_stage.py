"""Stages of `experiments.train_jax` with their networks."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import keras

from smapcomp.errors import SmapcompError
from smapcomp.levels import max_level
from smapcomp.models.compnet import build_compnet
from smapcomp.models.discriminator import build_discriminator
from smapcomp.models.finenet import build_finenet
from smapcomp.models.pspnet import build_pspnet
from smapcomp.models.smapnet import build_smapnet
from smapcomp.models.vgg import build_vgg16_features, build_vgg19_features
from smapcomp.models.weights import load_weights, save_weights
from smapcomp.training import stages
from smapcomp.training.rate import build_rate_model
from smapcomp.zoo import VARIANTS

VGG = {16: build_vgg16_features, 19: build_vgg19_features}

VOID_SHARES = {("stage1", "lite"): 0.5, ("stage3", "lite"): 0.25}
"""Of a batch that FineNet sees without labels, by stage and variant, else 0: lite's FineNet serves
the modes without labels too, the papers' was never without."""

LARGE_ROLES = ("compnet", "finenet", "discriminator", "vgg")
"""Networks without a state that gradients of stages 1 and 3 flow through."""


@dataclass(frozen=True)
class StageOptions:
    """What is trained.

    Attributes:
        stage: "stage1", "segmentation", "stage2" or "stage3".
        variant: Of the networks, a key of `smapcomp.zoo.VARIANTS`.
        loss_weights: Of stages 1 and 3.
        init: Folders of weights to start from; the last that has a network's file counts.
        backbone: Weights of the segmenter's backbone to start from, or None.
        vgg: Weights of VGG, where the perceptual loss has weight, or None.
        vgg_depth: A key of `VGG`.
        bfloat16: Compute in it but for the rate, whose differences of nearly equal probabilities
            need float32, and SMapNet's index: from 0.5 up, the steps of bfloat16 are as large as
            those of indices.
        recompute: Compute the networks' results of stages 1 and 3 again in the backward pass.
    """

    stage: str
    variant: str
    loss_weights: stages.Stage1Weights
    init: Sequence[str] = ()
    backbone: str | None = None
    vgg: str | None = None
    vgg_depth: int = 19
    bfloat16: bool = False
    recompute: bool = False


def build_stage(options: StageOptions) -> stages.Stage:
    """The stage, its networks holding the weights that they start with.

    Raises:
        SmapcompError: Options don't go together, or a network that is held fixed has no weights.
        ValueError, OSError: A file of weights is missing or does not fit.
    """
    if options.recompute and options.stage not in ("stage1", "stage3"):
        raise SmapcompError("--recompute goes with stages 1 and 3; the others' networks have state")
    variant, weights = VARIANTS[options.variant], options.loss_weights
    void_share = VOID_SHARES.get((options.stage, options.variant), 0.0)
    if options.stage == "stage1":
        models = _codec_models(options)

        def build(networks):
            return stages.stage1(networks, weights, variant.step, void_share)
    elif options.stage == "segmentation":
        models = _segmentation_models(options)

        def build(networks):
            return stages.segmentation(networks, variant.step)
    elif options.stage == "stage2":
        models = _label_models(options)

        def build(networks):
            return stages.stage2(networks, variant.step, variant.representation)
    else:
        models = _label_models(options) | _codec_models(options)

        def build(networks):
            return stages.stage3(
                networks,
                weights,
                variant.step,
                void_share,
                representation=variant.representation,
            )

    stage = build(models)
    trained = {role for roles in stage.groups.values() for role in roles}
    for role, model in models.items():
        if not _load(options, role, model) and role not in {*trained, "vgg"}:
            raise SmapcompError(f"--init: {stage.name} holds {role} fixed; no {role}.npz there")
    return recomputing(stage, build) if options.recompute else stage


def recomputing(stage: stages.Stage, build: Callable[[Mapping], stages.Stage]) -> stages.Stage:
    """The stage, keeping no inner results of its large networks for the gradient.

    They are computed again in the backward pass: more work, for the memory of one network at a
    time instead of all.

    Args:
        stage: What `build` makes of its networks.
        build: Makes the stage of functions that are called as the networks are.
    """
    networks = {
        role: _recomputed(model) if role in LARGE_ROLES else model
        for role, model in stage.models.items()
    }
    return replace(stage, losses=build(networks).losses)


def _recomputed(network: keras.Model) -> Callable:

    def call(inputs, training: bool = False):
        return jax.checkpoint(lambda inputs: network(inputs, training=training))(inputs)

    return call


def save_networks(stage: stages.Stage, folder: str) -> None:
    """Writes the trained networks to `ROLE.npz`, without heads that only training needs."""
    os.makedirs(folder, exist_ok=True)
    for roles in stage.groups.values():
        for role in roles:
            leave_out = "auxiliary" if role == "segmenter" else None
            path = os.path.join(folder, f"{role}.npz")
            save_weights(stage.models[role], path, leave_out=leave_out)


def _network(options: StageOptions, build: Callable, *args, exact: bool = False, **kwargs):
    half = options.bfloat16 and not exact
    keras.config.set_dtype_policy("mixed_bfloat16" if half else "float32")
    try:
        return build(*args, **kwargs)
    finally:
        keras.config.set_dtype_policy("float32")


def _codec_models(options: StageOptions) -> dict[str, keras.Model]:
    weights, variant = options.loss_weights, VARIANTS[options.variant]
    models = {
        "compnet": _network(options, build_compnet, variant.name),
        "finenet": _network(options, build_finenet, variant.name),
    }
    if weights.gan or weights.feature_matching:
        models["discriminator"] = _network(options, build_discriminator, variant.name)
    if weights.perceptual:
        if options.vgg is None:
            raise SmapcompError("--vgg is needed; --loss_weights=perceptual=0 does without")
        models["vgg"] = _network(options, VGG[options.vgg_depth], options.vgg)
    if weights.rate:
        models["rate"] = _network(options, build_rate_model, max_level(variant.step), exact=True)
    return models


def _segmentation_models(options: StageOptions) -> dict[str, keras.Model]:
    variant = VARIANTS[options.variant]
    models = {
        "compnet": _network(options, build_compnet, variant.name),
        "segmenter": _network(options, build_pspnet, variant.backbone, auxiliary=True),
    }
    if options.backbone:
        load_weights(models["segmenter"], options.backbone, partial=True)
    return models


def _label_models(options: StageOptions) -> dict[str, keras.Model]:
    variant = VARIANTS[options.variant]
    index = variant.representation == "index"
    return {
        "compnet": _network(options, build_compnet, variant.name),
        "segmenter": _network(options, build_pspnet, variant.backbone),
        "smapnet": _network(options, build_smapnet, variant.representation, exact=index),
    }


def _load(options: StageOptions, role: str, model: keras.Model) -> bool:
    for folder in reversed(options.init):
        path = os.path.join(folder, f"{role}.npz")
        if os.path.exists(path):
            # A finished segmenter has lost the auxiliary head that its own stage has.
            load_weights(model, path, partial=options.stage == "segmentation")
            return True
    return False
