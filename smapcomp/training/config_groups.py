"""Groups of fields of a training configuration (`smapcomp.training.config`).

Values are checked when an object is made. Importing this module loads no Keras, because the backend
is chosen after the configuration has been read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from smapcomp.design import SCALES
from smapcomp.training.errors import ConfigError
from smapcomp.training.rules import RulePairs, Rules, RulesError
from smapcomp.zoo import VARIANTS

STAGES = ("stage1", "segmentation", "stage2", "stage3", "lossy")
"""Stages of training, in the order in which they are trained."""

FIXED_SMAPNET_STAGES = ("stage3", "lossy")
"""Stages that find labels with an SMapNet that is already trained."""

PRECISIONS = ("float32", "bfloat16", "float16")
"""Number formats in which networks can compute: the keys of `models.precision.POLICIES`."""

OPTIMIZERS = ("adam", "sgd")
LEARNING_RATE_SCHEDULES = ("constant", "constant_then_linear", "polynomial", "cosine")

TIME_LIMITED_SPAN = 1_000_000
"""Number of positions of a run that is limited by time alone (see `RunConfig.position`)."""


def require(condition: bool, name: str, value: Any, expected: str) -> None:
    """Check the value of a field.

    Args:
        condition: Whether the value is allowed.
        name: Name of the field, "GROUP.FIELD".
        value: The value.
        expected: Description of the allowed values, which follows "it must be".

    Raises:
        ConfigError: The value is not allowed.
    """
    if not condition:
        raise ConfigError(f"config.{name} {value!r} is not allowed; it must be {expected}")


def _require_one_of(name: str, value: Any, allowed: Sequence) -> None:
    require(value in allowed, name, value, f"one of {', '.join(map(repr, allowed))}")


def _require_at_least(low: int, group: str, config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        require(value >= low, f"{group}.{name}", value, f"at least {low}")


@dataclass(frozen=True)
class ModelConfig:
    """Networks that are trained, and what they start from.

    Attributes:
        stage: One of `STAGES`.
        variant: Set of networks: "lite" or "paper".
        scale: Scale of the lossy compact image in stage lossy: 1, 2, 4 or 8. The stage trains the
            network `finenet_xSCALE`.
        init: Folders of weights to start from, separated by commas. If several have a network's
            file, the last one counts. A lossy FineNet without a file of its own starts from the
            nearest other scale's of the same architecture.
        allow_random: Whether networks that stay fixed or are tuned, and frozen layers, may have
            random values because no file has their weights.
        backbone: File of initial weights of the segmenter's backbone, or empty.
        vgg: File of VGG's weights; needed if the perceptual loss has a weight.
        vgg_depth: 16 or 19; the papers use 19.
        representation: Representation of labels in SMapNet: "classes" or "index". Empty for the
            variant's own in the stages before 3; in the others, which keep SMapNet fixed, for that
            of its weights.
        channels: Channels of SMapNet's index image: 1 or 3; 0 for the representation's default or,
            with a fixed SMapNet, for that of its weights.
        precision: Number format in which networks compute, one of `PRECISIONS`. Two networks
            always compute in float32: the rate model, which takes differences of nearly equal
            probabilities, and SMapNet with representation "index", because from 0.5 up the steps
            of bfloat16 are as large as those of indices.
        recompute: Whether stages 1 and 3 compute the activations of their networks again in the
            backward pass instead of keeping them.

    Raises:
        ConfigError: A value is not allowed.
    """

    stage: str = "stage1"
    variant: str = "lite"
    scale: int = 1
    init: str = ""
    allow_random: bool = False
    backbone: str = ""
    vgg: str = ""
    vgg_depth: int = 19
    representation: str = ""
    channels: int = 0
    precision: str = "float32"
    recompute: bool = False

    def __post_init__(self):
        for name, allowed in (
            ("stage", STAGES),
            ("variant", tuple(VARIANTS)),
            ("scale", SCALES),
            ("vgg_depth", (16, 19)),
            ("representation", ("", "classes", "index")),
            ("channels", (0, 1, 3)),
            ("precision", PRECISIONS),
        ):
            _require_one_of(f"model.{name}", getattr(self, name), allowed)
        if not self.representation and self.stage not in FIXED_SMAPNET_STAGES:
            own = VARIANTS[self.variant].representation
            object.__setattr__(self, "representation", own)
        if self.channels and self.representation != "index":
            raise ConfigError(
                f"config.model.channels {self.channels} needs representation 'index', "
                f"not {self.representation!r}"
            )
        if self.recompute and self.stage not in ("stage1", "stage3"):
            raise ConfigError(
                f"config.model.recompute with stage {self.stage!r}; allowed: 'stage1', 'stage3', "
                "whose networks have no batch statistics"
            )
        if self.stage == "lossy" and self.variant != "lite":
            raise ConfigError(
                f"config.model.variant {self.variant!r} with stage 'lossy'; allowed: 'lite'"
            )

    @property
    def init_folders(self) -> tuple[str, ...]:
        """The folders of `init`."""
        return tuple(filter(None, self.init.split(",")))


@dataclass(frozen=True)
class LossWeights:
    """Weights of the loss terms of stages 1 and 3 (docs/spec.md, section 3).

    A term of weight 0 is not computed. The defaults are the papers'.

    Attributes:
        gan: Least-squares adversarial loss.
        feature_matching: L1 between hidden features of the discriminator.
        perceptual: L1 between features of VGG.
        l1: Mean absolute error of values in [-1, 1].
        ssim: Structural similarity, which is subtracted.
        log_mse: 10·log10 of a crop's squared error, which is minus its PSNR, in dB.
        rate: Weight in dB of one bit per pixel of the compact layer.
    """

    gan: float = 1.0
    feature_matching: float = 10.0
    perceptual: float = 10.0
    l1: float = 20.0
    ssim: float = 1.0
    log_mse: float = 0.0
    rate: float = 0.0

    @property
    def adversarial(self) -> bool:
        """Whether a term needs the discriminator."""
        return bool(self.gan or self.feature_matching)


@dataclass(frozen=True)
class LossConfig:
    """Losses of FineNet's stages: 1, 3 and lossy.

    Attributes:
        weights: Weights of the terms in stages 1 and 3.
        mse_floor: Squared error, of values in 0..255, that `losses.log_mse` adds to a crop's.
        void_share: Share of each batch, in [0, 1], that FineNet sees without labels.

    Raises:
        ConfigError: A value is not allowed.
    """

    weights: LossWeights = field(default_factory=LossWeights)
    mse_floor: float = 4.0
    void_share: float = 0.0

    def __post_init__(self):
        require(self.mse_floor > 0, "loss.mse_floor", self.mse_floor, "above 0")
        require(0 <= self.void_share <= 1, "loss.void_share", self.void_share, "in [0, 1]")


@dataclass(frozen=True)
class DataConfig:
    """Training and validation pictures.

    Attributes:
        source: Source of pictures. TensorFlow backend: what `data.load` takes; for stage lossy,
            records of `data.code_compact`. JAX backend: array file of `data.pack_pictures`.
        coded: Array file of `data.pack_coded`; for stage lossy with the JAX backend alone.
        batch_size: Examples in a step's batch, all replicas together.
        size: Side of the pictures in pixels, a multiple of 8; in stage lossy of 16.
        fit: "crop" cuts windows, "resize" resizes whole pictures. JAX backend: "crop".
        scales: Lowest and highest factor by which pictures are scaled before a crop, or empty.
        rotation: Largest angle of a random rotation in degrees. TensorFlow backend.
        blur: Share of the pictures that are blurred. TensorFlow backend.
        cache_mib: Memory for decoded pictures in MiB; 0 decodes each picture every time. The JAX
            backend ignores it, because it holds all pictures in the accelerator's memory.

    Raises:
        ConfigError: A value is not allowed.
    """

    source: str = ""
    coded: str = ""
    batch_size: int = 8
    size: int = 256
    fit: str = "crop"
    scales: tuple[float, ...] = ()
    rotation: float = 0.0
    blur: float = 0.0
    cache_mib: int = 0

    def __post_init__(self):
        object.__setattr__(self, "scales", tuple(self.scales))
        good = self.size >= 16 and self.size % 8 == 0
        require(good, "data.size", self.size, "a multiple of 8, at least 16")
        _require_one_of("data.fit", self.fit, ("crop", "resize"))
        _require_at_least(1, "data", self, "batch_size")
        _require_at_least(0, "data", self, "cache_mib")
        scales = self.scales
        good = not scales or (len(scales) == 2 and 0 < scales[0] <= scales[1])
        require(good, "data.scales", scales, "empty or (low, high) with 0 < low <= high")
        good = not scales or self.fit == "crop"
        require(good, "data.scales", scales, f"empty with config.data.fit {self.fit!r}")
        require(0 <= self.rotation <= 45, "data.rotation", self.rotation, "in [0, 45] degrees")
        require(0 <= self.blur <= 1, "data.blur", self.blur, "in [0, 1]")


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer, learning-rate schedule and layer-wise rates.

    Attributes:
        kind: "adam" or "sgd".
        learning_rate: Highest learning rate.
        schedule: "constant"; "constant_then_linear", which falls to 0 at the run's end;
            "polynomial", of power `power`, to 0; or "cosine", half a period to 0 after a warm-up
            over `optimizers.WARM_UP_SHARE` of the run.
        constant_share: Share of the run during which "constant_then_linear" is constant.
        power: Exponent of "polynomial".
        beta_1: Adam's decay of the first moment; that of the second is 0.999.
        momentum: Momentum of SGD.
        weight_decay: Share of each weight, times the learning rate, that a step subtracts; 0 for
            none.
        clip_norm: Norm to which the gradient of a group of variables is clipped; 0 for none.
        rules: Pairs of a regular expression and a multiplier of the learning rate, `None` to
            freeze; see `smapcomp.training.rules.Rules`.

    Raises:
        ConfigError: A value is not allowed.
    """

    kind: str = "adam"
    learning_rate: float = 5e-4
    schedule: str = "constant"
    constant_share: float = 2 / 3
    power: float = 0.9
    beta_1: float = 0.9
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    rules: RulePairs = ((".*", 1.0),)

    def __post_init__(self):
        _require_one_of("optimizer.kind", self.kind, OPTIMIZERS)
        _require_one_of("optimizer.schedule", self.schedule, LEARNING_RATE_SCHEDULES)
        names = ("learning_rate", "power", "weight_decay", "clip_norm")
        _require_at_least(0, "optimizer", self, *names)
        for name in ("constant_share", "beta_1", "momentum"):
            value = getattr(self, name)
            require(0 <= value < 1, f"optimizer.{name}", value, "in [0, 1)")
        try:
            object.__setattr__(self, "rules", Rules(self.rules).pairs)
        except RulesError as error:
            raise ConfigError(f"config.optimizer.rules: {error}") from None


@dataclass(frozen=True)
class RunConfig:
    """Length of the run, and how its steps are computed.

    Attributes:
        steps: Number of the last step, counted from the run's first start; 0 if `epochs` stands
            for it or only `seconds` limits the run.
        epochs: Number of times that the run passes over the training pictures, which a job converts
            to steps (`run_plan.with_steps_of_epochs`); 0 if it is not used.
        seconds: Time of training after which the run ends, without compilation and without the
            time between two starts; 0 for no limit. JAX backend. If `steps` is set too, the run
            ends with the limit that is reached first, and learning rates follow it.
        average_decay: Decay, in [0, 1), of the moving averages of the weights. The averages are
            what is validated and written at the end. 0 for no averages.
        seed: Seed of the initial weights, the order of the pictures and the crops.
        jit_compile: Whether steps are compiled with XLA. TensorFlow backend on one device; the JAX
            backend and TPUs always compile.
        deterministic: Whether only operations are used that give the same bits in every run. They
            are slower; GPUs need them. TensorFlow backend.

    Raises:
        ConfigError: A value is not allowed.
    """

    steps: int = 0
    epochs: float = 0.0
    seconds: float = 0.0
    average_decay: float = 0.0
    seed: int = 0
    jit_compile: bool = False
    deterministic: bool = False

    def __post_init__(self):
        _require_at_least(0, "run", self, "steps", "seconds", "seed")
        require(0 <= self.epochs < math.inf, "run.epochs", self.epochs, "at least 0 and finite")
        if self.steps and self.epochs:
            raise ConfigError(
                f"config.run.steps {self.steps} and config.run.epochs {self.epochs} are both set; "
                "one of them must be 0"
            )
        if not (self.steps or self.epochs or self.seconds):
            raise ConfigError("config.run.steps, .epochs and .seconds are all 0; set one")
        require(0 <= self.average_decay < 1, "run.average_decay", self.average_decay, "in [0, 1)")

    @property
    def span(self) -> int:
        """The position at which the run and the learning-rate schedules end."""
        return self.steps or TIME_LIMITED_SPAN

    def position(self, step: int, seconds: float) -> int:
        """Return how far the run is, in 0..span, after so many steps and seconds."""
        by_time = int(seconds / self.seconds * self.span) if self.seconds else 0
        return min(max(step if self.steps else 0, by_time), self.span)


@dataclass(frozen=True)
class CheckpointConfig:
    """Checkpoints of the run.

    Attributes:
        every: Steps between two checkpoints; the last step always has one.
        keep: Number of the newest checkpoints that are kept.
        best_metric: Curve of a probe, such as "validation/psnr", by which the best checkpoint is
            kept too; empty for none.
        best_is: "max" or "min".

    Raises:
        ConfigError: A value is not allowed.
    """

    every: int = 500
    keep: int = 2
    best_metric: str = ""
    best_is: str = "max"

    def __post_init__(self):
        _require_at_least(1, "checkpoint", self, "every", "keep")
        _require_one_of("checkpoint.best_is", self.best_is, ("max", "min"))


@dataclass(frozen=True)
class EvaluationConfig:
    """Measurements during the run.

    Attributes:
        log_every: Steps over which the values of the curves are averaged.
        validate_every: Steps between two validations.
        image_every: Steps between two sets of pictures. TensorFlow backend.
        pictures: Number of those pictures. TensorFlow backend.
        codec_every: Steps between two measurements of the real codec, in stages 1 and 3.
            TensorFlow backend.
        codec_pictures: Pictures that are coded; 0 for no such measurement. TensorFlow backend.
        histogram_every: Steps between two sets of histograms of the trained weights; 0 for none.
            TensorFlow backend.
        graph: Whether the graph of the networks is written once. TensorFlow backend.

    Raises:
        ConfigError: A value is not allowed.
    """

    log_every: int = 50
    validate_every: int = 500
    image_every: int = 1000
    pictures: int = 4
    codec_every: int = 2000
    codec_pictures: int = 4
    histogram_every: int = 0
    graph: bool = False

    def __post_init__(self):
        names = ("log_every", "validate_every", "image_every", "pictures", "codec_every")
        _require_at_least(1, "evaluation", self, *names)
        _require_at_least(0, "evaluation", self, "codec_pictures", "histogram_every")
