"""A stage with its networks, from what a configuration says."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import keras

from smapcomp.design import SCALES, max_level
from smapcomp.errors import SmapcompError
from smapcomp.models.compnet import build_compnet
from smapcomp.models.discriminator import build_discriminator
from smapcomp.models.finenet import build_finenet
from smapcomp.models.lossy_finenet import SIZES, build_lossy_finenet
from smapcomp.models.precision import POLICIES, recomputed, with_precision
from smapcomp.models.pspnet import build_pspnet
from smapcomp.models.smapnet import build_smapnet
from smapcomp.models.vgg import build_vgg16_features, build_vgg19_features
from smapcomp.models.weights import load_weights, save_weights
from smapcomp.training.layerwise import Rules, freeze, require_used
from smapcomp.training.rate_model import build_rate_model
from smapcomp.training.settings import LITE_WEIGHTS, MSE_FLOOR, Stage1Weights
from smapcomp.training.stages import label_stages, lossy_stage
from smapcomp.training.stages import stage as stages
from smapcomp.zoo import VARIANTS, lossy_role

STAGES = ("stage1", "segmentation", "stage2", "stage3", "lossy")
VGG = {16: build_vgg16_features, 19: build_vgg19_features}

NO_LOSSES = Stage1Weights(**dict.fromkeys(vars(Stage1Weights()), 0.0))
"""With which stage 1 needs CompNet and FineNet alone."""


@dataclasses.dataclass(frozen=True)
class StageSettings:
    """What is trained.

    Attributes:
        stage: One of `STAGES`.
        variant: Of the networks: "lite" or "paper".
        scale: Of the compact image in stage lossy: 1, 2, 4 or 8; what it trains is called
            `finenet_xSCALE`.
        init: Folders of weights to start from; the last that has a network's file counts. A lossy
            FineNet whose own file is nowhere starts from the nearest other scale's of its size.
        backbone: Weights of the segmenter's backbone to start from; empty for none.
        vgg: Weights of VGG, where the perceptual loss has weight.
        vgg_depth: 16 or 19; the papers' is 19.
        loss_weights: Of stages 1 and 3.
        mse_floor: Of `stages.log_mse`.
        void_share: Of the batch that FineNet sees without labels, in stages 1, 3 and lossy.
        representation: SMapNet's: "classes" or "index"; empty for the variant's.
        channels: Of SMapNet's index: 1 or 3; 0 for its representation's own.
        rules: Layer-wise rates of all trained variables.
        precision: What networks compute in, but for the rate estimate, whose differences of nearly
            equal probabilities need float32, and SMapNet's index: from 0.5 up, the steps of
            bfloat16 are as large as those of indices.
        recompute: Whether stages 1 and 3 compute their networks' results again in the backward
            pass instead of keeping them.

    Raises:
        ValueError: A value is not allowed.
    """

    stage: str
    variant: str = "lite"
    scale: int = 1
    init: tuple[str, ...] = ()
    backbone: str = ""
    vgg: str = ""
    vgg_depth: int = 19
    loss_weights: Stage1Weights = LITE_WEIGHTS
    mse_floor: float = MSE_FLOOR
    void_share: float = 0.0
    representation: str = ""
    channels: int = 0
    rules: Rules = dataclasses.field(default_factory=Rules)
    precision: str = "float32"
    recompute: bool = False

    def __post_init__(self):
        for name, allowed in (
            ("stage", STAGES),
            ("variant", tuple(VARIANTS)),
            ("scale", SCALES),
            ("vgg_depth", tuple(VGG)),
            ("representation", ("", "classes", "index")),
            ("channels", (0, 1, 3)),
        ):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name} {value!r}; allowed: {', '.join(map(repr, allowed))}")
        if self.precision not in POLICIES:
            raise ValueError(
                f"precision {self.precision!r} is unknown; allowed: {', '.join(POLICIES)}"
            )
        if self.mse_floor <= 0:
            raise ValueError(f"mse_floor must be above 0, got {self.mse_floor}")
        if not 0 <= self.void_share <= 1:
            raise ValueError(f"void_share must be in [0, 1], got {self.void_share}")
        representation = self.representation or VARIANTS[self.variant].representation
        object.__setattr__(self, "representation", representation)
        if self.channels and representation != "index":
            raise ValueError(f"channels {self.channels} goes with representation 'index'")
        if self.recompute and self.stage not in ("stage1", "stage3"):
            raise ValueError("recompute goes with stages 1 and 3; the other networks have a state")


def build_stage(
    settings: StageSettings,
    random_weights: bool = False,
    recompute: stages.Wrap = recomputed,
    labels_given: bool = False,
) -> stages.Stage:
    """The stage, its networks holding the weights that they start with; within a strategy's scope.

    Args:
        settings: What is trained.
        random_weights: Read no files: for measurements of what a step needs.
        recompute: Makes a network keep no inner results, where the settings ask for it; another
            backend than TensorFlow needs its own.
        labels_given: Whether batches of stage lossy bring `labels_seen`; the networks that find
            labels are not needed then.

    Raises:
        SmapcompError: A network that is held fixed has no weights, or rules don't fit.
        ValueError, OSError: A file of weights is missing or does not fit.
    """
    step, weights = VARIANTS[settings.variant].step, settings.loss_weights
    wrap = recompute if settings.recompute else None
    if settings.stage == "stage1":
        models = _codec_models(settings, random_weights)
        stage = stages.stage1(models, weights, step, settings.void_share, settings.mse_floor, wrap)
    elif settings.stage == "segmentation":
        stage = label_stages.segmentation(_segmentation_models(settings), step)
    elif settings.stage == "stage2":
        stage = label_stages.stage2(_label_models(settings), step, settings.representation)
    elif settings.stage == "lossy":
        stage = lossy_stage.lossy(
            _lossy_models(settings, labels_given),
            settings.scale,
            settings.void_share,
            settings.mse_floor,
            settings.representation,
        )
    else:
        models = _label_models(settings) | _codec_models(settings, random_weights)
        stage = stages.stage3(
            models,
            weights,
            step,
            settings.void_share,
            representation=settings.representation,
            floor=settings.mse_floor,
            wrap=wrap,
        )
    trained = stage.trained_roles()
    for role, model in () if random_weights else stage.models.items():
        found = _load(settings, role, model)
        if not found and role not in (*trained, "vgg"):
            raise SmapcompError(f"init: {settings.stage} holds {role} fixed; no {role}.npz there")
    _apply_rules(stage, settings.rules)
    return stage


def _apply_rules(stage: stages.Stage, rules: Rules) -> None:
    """Freezes what rules freeze, and checks that they say one thing of each variable."""
    require_used(rules, [name for group in stage.groups for name in stage.names(group)])
    for role in stage.trained_roles():
        model = stage.models[role]
        freeze(model, {id(v): f"{role}/{v.path}" for v in model.trainable_variables}, rules)
    for group in stage.groups:
        if not stage.variables(group):
            raise SmapcompError(f"rules freeze all of {', '.join(stage.groups[group])}")


def _network(settings: StageSettings, build, *args, exact: bool = False, **kwargs) -> keras.Model:
    return with_precision(build, "float32" if exact else settings.precision, *args, **kwargs)


def _codec_models(settings: StageSettings, random_vgg: bool = False) -> dict[str, keras.Model]:
    weights, variant = settings.loss_weights, VARIANTS[settings.variant]
    models = {
        "compnet": _network(settings, build_compnet, variant.name),
        "finenet": _network(settings, build_finenet, variant.name),
    }
    if weights.gan or weights.feature_matching:
        models["discriminator"] = _network(settings, build_discriminator, variant.name)
    if weights.perceptual:
        if not settings.vgg and not random_vgg:
            raise SmapcompError("vgg is needed; loss_weights.perceptual=0 does without")
        models["vgg"] = _network(settings, VGG[settings.vgg_depth], settings.vgg or None)
    if weights.rate:
        models["rate"] = _network(settings, build_rate_model, max_level(variant.step), exact=True)
    return models


def _segmentation_models(settings: StageSettings) -> dict[str, keras.Model]:
    variant = VARIANTS[settings.variant]
    models = {
        "compnet": _network(settings, build_compnet, variant.name),
        "segmenter": _network(settings, build_pspnet, variant.backbone, auxiliary=True),
    }
    if settings.backbone:
        load_weights(models["segmenter"], settings.backbone, partial=True)
    return models


def _label_models(settings: StageSettings) -> dict[str, keras.Model]:
    compnet = _network(settings, build_compnet, VARIANTS[settings.variant].name)
    return {"compnet": compnet} | _decoder_label_models(settings)


def _lossy_models(settings: StageSettings, labels_given: bool) -> dict[str, keras.Model]:
    finenet = _network(settings, build_lossy_finenet, settings.scale)
    labels = {} if labels_given else _decoder_label_models(settings)
    return {lossy_role(settings.scale): finenet} | labels


def _decoder_label_models(settings: StageSettings) -> dict[str, keras.Model]:
    variant, index = VARIANTS[settings.variant], settings.representation == "index"
    options = (settings.representation, settings.channels or None)
    return {
        "segmenter": _network(settings, build_pspnet, variant.backbone),
        "smapnet": _network(settings, build_smapnet, *options, exact=index),
    }


def build_codec_networks(settings: StageSettings) -> dict[str, keras.Model]:
    """Networks for `coding`: as stage 1 or 3 has them, untrained, in float32."""
    settings = dataclasses.replace(settings, precision="float32", loss_weights=NO_LOSSES)
    models = _codec_models(settings)
    if settings.stage == "stage3":
        models |= _label_models(settings)
    return models


def _load(settings: StageSettings, role: str, model: keras.Model) -> bool:
    names = [role]
    if role == lossy_role(settings.scale):
        alike = [scale for scale in SCALES if SIZES[scale] == SIZES[settings.scale]]
        names = map(lossy_role, sorted(alike, key=lambda scale: abs(scale - settings.scale)))
    for name in names:
        for folder in reversed(settings.init):
            path = os.path.join(folder, f"{name}.npz")
            if os.path.exists(path):
                # A finished segmenter has lost the auxiliary head that its own stage has.
                load_weights(model, path, partial=settings.stage == "segmentation")
                return True
    return False


def save_networks(
    models: Mapping[str, keras.Model], roles: Sequence[str], folder: str, dtype: str = "float32"
) -> None:
    """Writes networks to `ROLE.npz`, without heads that only training needs."""
    os.makedirs(folder, exist_ok=True)
    for role in roles:
        leave_out = "auxiliary" if role == "segmenter" else None
        save_weights(models[role], os.path.join(folder, f"{role}.npz"), dtype, leave_out)
