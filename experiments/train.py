r"""Trains one stage of the codec's networks on one device.

    python -m experiments.train --stage=stage1 --data=DIR --workdir=RUN1 --steps=20000
    python -m experiments.train --stage=segmentation --backbone=LITE0.npz \
        --init=RUN1/weights --workdir=RUN2 ...
    python -m experiments.train --stage=stage2 --init=RUN1/weights,RUN2/weights --workdir=RUN3 ...
    python -m experiments.train --stage=stage3 \
        --init=RUN1/weights,RUN2/weights,RUN3/weights --workdir=RUN4 ...

`--data` is any source with labels: a folder in ADEChallengeData2016's layout, records of
`data.prepare`, TFDS (docs/data.md). A run that was stopped continues from its
last checkpoint when the same command is given again. At the end the trained networks lie in
`WORKDIR/weights`, one file a network, which later stages read by `--init` and the command
`smapcomp` by `--weights_dir`. `tensorboard --logdir=WORKDIR` shows the curves; the
package tensorboard is not among the requirements. The backbone's file is that of
`experiments.import_efficientnet`. `--bfloat16 --cache_mib=4096` make it fast on processors with
AVX512-BF16 and with as much memory.

Exit status: 0 done; 1 the data, the folder or the training failed, said in one line; 75 stopped
by SIGTERM or SIGINT after saving a checkpoint.
"""

import dataclasses
import functools
import os
import re
import sys
from collections.abc import Sequence

from absl import app, flags

from smapcomp.errors import SmapcompError
from smapcomp.quiet import import_keras
from smapcomp.training.errors import Interrupted

EXIT_FAILED = 1
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: the same command again goes on.

SEGMENTATION_SCALES = (0.5, 2.0)
"""Of the crops of the stages segmentation and stage2 (SPEC section 3)."""


def _is_pattern(text: str | None) -> bool:
    try:
        re.compile(text or "")
    except re.error:
        return False
    return True


FLAGS = flags.FLAGS
flags.DEFINE_enum("stage", None, ["stage1", "segmentation", "stage2", "stage3"], "What to train.")
flags.DEFINE_string("data", None, "Source of pictures and labels; docs/data.md.")
flags.DEFINE_string("workdir", None, "Folder of the run; one a stage.")
flags.DEFINE_enum("variant", "lite", ["lite", "paper"], "Which networks.")
flags.DEFINE_list("init", [], "Folders of weights to start from; the last that has a file counts.")
flags.DEFINE_string("backbone", None, "Weights of the segmenter's backbone to start from.")
flags.DEFINE_string("vgg", None, "Weights of VGG for the perceptual loss.")
flags.DEFINE_enum("vgg_depth", "19", ["16", "19"], "Which VGG; the papers' is 19.")
flags.DEFINE_list("loss_weights", [], "Changes to stage 1 and 3's weights, as gan=1,l1=20.")
flags.DEFINE_integer("steps", None, "Number of the last step.", lower_bound=1)
flags.DEFINE_integer("batch_size", 8, "Pictures in a step.", lower_bound=1)
flags.DEFINE_integer(
    "size",
    None,
    "Side of the pictures, a multiple of 8; default: 256, lite's stages 1 and 3 128.",
    lower_bound=16,
)
flags.DEFINE_enum(
    "fit",
    None,
    ["crop", "resize"],
    "Default: lite crops, paper resizes. The segmentation stages rotate and blur some pictures and "
    "scale crops by 0.5 to 2.",
)
flags.DEFINE_integer(
    "cache_mib", 0, "Memory for decoded pictures; 0: decode always.", lower_bound=0
)
flags.DEFINE_enum(
    "representation",
    None,
    ["classes", "index"],
    "SMapNet's; default: lite's classes, paper's index.",
)
flags.DEFINE_enum("channels", None, ["1", "3"], "Of SMapNet's index; default: 3.")
flags.DEFINE_bool(
    "bfloat16",
    False,
    "Compute in bfloat16 where it does no harm: about three times as fast on processors with "
    "AVX512-BF16. Weights, losses, the compact image, the rate and label indices stay in float32.",
)
flags.DEFINE_string(
    "freeze",
    None,
    "Regular expression: layers whose names it finds keep the weights they start with.",
)
flags.DEFINE_float("learning_rate", None, "Highest rate; default: the stage's.", lower_bound=0)
flags.DEFINE_integer("seed", 0, "Of initial weights, order and crops.", lower_bound=0)
flags.DEFINE_integer("checkpoint_every", 500, "Steps.", lower_bound=1)
flags.DEFINE_integer("validate_every", 500, "Steps.", lower_bound=1)
flags.DEFINE_integer("log_every", 50, "Steps.", lower_bound=1)
flags.mark_flags_as_required(["stage", "data", "workdir", "steps"])
flags.register_validator("freeze", _is_pattern, "must be a regular expression")
flags.register_validator("size", lambda size: not (size or 0) % 8, "must be a multiple of 8")


def build_stage():
    """The stage that the flags ask for, its networks holding the weights of `--init`."""
    from smapcomp.training import stages
    from smapcomp.zoo import VARIANTS

    variant = VARIANTS[FLAGS.variant]
    representation = FLAGS.representation or variant.representation
    # Lite's FineNet serves the modes without labels too, the papers' was never without.
    void_shares = {"stage1": 0.5, "stage3": 0.25} if FLAGS.variant == "lite" else {}
    void_share = void_shares.get(FLAGS.stage, 0.0)
    if FLAGS.stage == "stage1":
        weights = _loss_weights(stages)
        models = _codec_models(variant, weights)
        stage = stages.stage1(models, weights, variant.step, void_share)
    elif FLAGS.stage == "segmentation":
        stage = stages.segmentation(_segmentation_models(variant), variant.step)
    elif FLAGS.stage == "stage2":
        models = _label_models(variant, representation)
        stage = stages.stage2(models, variant.step, representation)
    else:
        weights = _loss_weights(stages)
        models = _label_models(variant, representation) | _codec_models(variant, weights)
        stage = stages.stage3(
            models, weights, variant.step, void_share, representation=representation
        )
    trained = {role for roles in stage.groups.values() for role in roles}
    for role, model in stage.models.items():
        found = _load(role, model)
        if not found and role not in trained and role != "vgg":
            raise SmapcompError(f"--init: {FLAGS.stage} holds {role} fixed; no {role}.npz there")
    if FLAGS.freeze is not None:
        _freeze([stage.models[role] for role in sorted(trained)])
    return stage


def _freeze(models) -> None:
    """Holds the layers that --freeze finds; their batch normalisation keeps its statistics."""
    layers = [layer for model in models for layer in model.layers]
    found = [layer for layer in layers if re.search(FLAGS.freeze, layer.name)]
    if not any(layer.trainable_variables for layer in found):
        raise SmapcompError(f"--freeze={FLAGS.freeze}: no trained layer has such a name")
    for layer in found:
        layer.trainable = False


def _network(build, *arguments, exact: bool = False, **options):
    """A network that computes in what --bfloat16 says, if not `exact`; its weights are float32."""
    import keras

    half = FLAGS.bfloat16 and not exact
    keras.config.set_dtype_policy("mixed_bfloat16" if half else "float32")
    try:
        return build(*arguments, **options)
    finally:
        keras.config.set_dtype_policy("float32")


def _loss_weights(stages):
    weights = stages.LITE_WEIGHTS if FLAGS.variant == "lite" else stages.Stage1Weights()
    names = [field.name for field in dataclasses.fields(weights)]
    for change in FLAGS.loss_weights:
        name, _, value = change.partition("=")
        if name not in names:
            raise app.UsageError(f"--loss_weights: {name!r} is no term; terms: {', '.join(names)}")
        try:
            weights = dataclasses.replace(weights, **{name: float(value)})
        except ValueError:
            raise app.UsageError(f"--loss_weights: {change!r} is not name=number") from None
    return weights


def _codec_models(variant, weights) -> dict:
    from smapcomp.levels import max_level
    from smapcomp.models.compnet import build_compnet
    from smapcomp.models.discriminator import build_discriminator
    from smapcomp.models.finenet import build_finenet
    from smapcomp.models.vgg import build_vgg16_features, build_vgg19_features
    from smapcomp.training.rate import build_rate_model

    models = {
        "compnet": _network(build_compnet, variant.name),
        "finenet": _network(build_finenet, variant.name),
    }
    if weights.gan or weights.feature_matching:
        models["discriminator"] = _network(build_discriminator, variant.name)
    if weights.perceptual:
        if FLAGS.vgg is None:
            raise app.UsageError("--vgg is needed; --loss_weights=perceptual=0 does without")
        build_vgg = {"16": build_vgg16_features, "19": build_vgg19_features}[FLAGS.vgg_depth]
        models["vgg"] = _network(build_vgg, FLAGS.vgg)
    if weights.rate:
        # Differences of nearly equal probabilities: bfloat16 has none of their digits.
        models["rate"] = _network(build_rate_model, max_level(variant.step), exact=True)
    return models


def _segmentation_models(variant) -> dict:
    from smapcomp.models.compnet import build_compnet
    from smapcomp.models.pspnet import build_pspnet
    from smapcomp.models.weights import load_weights

    models = {
        "compnet": _network(build_compnet, variant.name),
        "segmenter": _network(build_pspnet, variant.backbone, auxiliary=True),
    }
    if FLAGS.backbone:
        load_weights(models["segmenter"], FLAGS.backbone, partial=True)
    return models


def _label_models(variant, representation: str) -> dict:
    from smapcomp.models.compnet import build_compnet
    from smapcomp.models.pspnet import build_pspnet
    from smapcomp.models.smapnet import build_smapnet

    index = representation == "index"
    if FLAGS.channels and not index:
        raise app.UsageError("--channels goes with --representation=index")
    channels = int(FLAGS.channels) if FLAGS.channels else None
    return {
        "compnet": _network(build_compnet, variant.name),
        "segmenter": _network(build_pspnet, variant.backbone),
        # From 0.5 up, the steps of bfloat16 are as large as those of the indices.
        "smapnet": _network(build_smapnet, representation, channels, exact=index),
    }


def _load(role: str, model) -> bool:
    from smapcomp.models.weights import load_weights

    paths = [os.path.join(folder, f"{role}.npz") for folder in FLAGS.init]
    for path in reversed(paths):
        if os.path.exists(path):
            # A finished segmenter has lost the auxiliary head that its own stage has.
            load_weights(model, path, partial=FLAGS.stage == "segmentation")
            return True
    return False


def _save(stage) -> None:
    from smapcomp.models.weights import save_weights

    folder = os.path.join(FLAGS.workdir, "weights")
    os.makedirs(folder, exist_ok=True)
    for roles in stage.groups.values():
        for role in roles:
            leave_out = "auxiliary" if role == "segmenter" else None
            save_weights(
                stage.models[role], os.path.join(folder, f"{role}.npz"), leave_out=leave_out
            )


def run() -> None:
    """Trains what the flags ask for."""
    import_keras()
    import keras

    from data import PictureCache, clear_errors, pipeline
    from data.transforms import BLUR_SHARE, ROTATION
    from smapcomp.training.loop import Plan, mean_metrics, train
    from smapcomp.training.optimizers import build_optimizers
    from smapcomp.training.stages import LITE_SIZES

    keras.utils.set_random_seed(FLAGS.seed)
    options = {
        "batch_size": FLAGS.batch_size,
        "size": FLAGS.size or (LITE_SIZES[FLAGS.stage] if FLAGS.variant == "lite" else 256),
        "fit": FLAGS.fit or ("crop" if FLAGS.variant == "lite" else "resize"),
        "cache": PictureCache(FLAGS.cache_mib << 20) if FLAGS.cache_mib else None,
    }
    segmenting = FLAGS.stage in ("segmentation", "stage2")
    scaled = segmenting and options["fit"] == "crop"
    stream = functools.partial(
        pipeline.training_batches,
        FLAGS.data,
        seed=FLAGS.seed,
        scales=SEGMENTATION_SCALES if scaled else None,
        rotation=ROTATION if segmenting else 0.0,
        blur=BLUR_SHARE if segmenting else 0.0,
        **options,
    )
    with clear_errors():
        # Opened before the networks are built: a wrong --data is said at once.
        validation = pipeline.validation_batches(FLAGS.data, **options)
        stream()
        stage = build_stage()
        train(
            stage,
            build_optimizers(stage, FLAGS.variant, FLAGS.steps, FLAGS.learning_rate),
            lambda step: stream(start_step=step),
            FLAGS.workdir,
            Plan(FLAGS.steps, FLAGS.checkpoint_every, FLAGS.log_every, FLAGS.validate_every),
            mean_metrics(stage, validation),
        )
    _save(stage)


def main(arguments: Sequence[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    try:
        run()
    except Interrupted as interrupted:
        print(f"{interrupted}; the same command goes on from there", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except (SmapcompError, OSError, ValueError) as error:
        message = " ".join(str(error).split())
        print(f"train: {message}", file=sys.stderr)
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    app.run(main)
