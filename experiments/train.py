"""Trains one stage of the codec's networks on one device.

    python -m experiments.train --stage=stage1 --data=DIR --workdir=RUN1 --steps=20000
    python -m experiments.train --stage=segmentation --init=RUN1/weights --workdir=RUN2 ...
    python -m experiments.train --stage=stage2 --init=RUN1/weights,RUN2/weights --workdir=RUN3 ...

`--data` is a folder in ADEChallengeData2016's layout. A run that was stopped continues from its
last checkpoint when the same command is given again. At the end the trained networks lie in
`WORKDIR/weights`, one file a network, which later stages read by `--init` and the command
`smapcomp` by `--weights_dir`. `tensorboard --logdir=WORKDIR` shows the curves; the
package tensorboard is not among the requirements.

Exit status: 0 done; 1 the data, the folder or the training failed, said in one line; 75 stopped
by SIGTERM or SIGINT after saving a checkpoint.
"""

import dataclasses
import os
import sys
from collections.abc import Sequence

from absl import app, flags

from smapcomp.errors import SmapcompError
from smapcomp.quiet import import_keras
from smapcomp.training.errors import Interrupted

EXIT_FAILED = 1
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: the same command again goes on.

FLAGS = flags.FLAGS
flags.DEFINE_enum("stage", None, ["stage1", "segmentation", "stage2", "stage3"], "What to train.")
flags.DEFINE_string("data", None, "Folder of pictures and annotations.")
flags.DEFINE_string("workdir", None, "Folder of the run; one a stage.")
flags.DEFINE_enum("variant", "lite", ["lite", "paper"], "Which networks.")
flags.DEFINE_list("init", [], "Folders of weights to start from; the last that has a file counts.")
flags.DEFINE_string("backbone", None, "Weights of the segmenter's backbone to start from.")
flags.DEFINE_string("vgg", None, "Weights of VGG-19 for the perceptual loss.")
flags.DEFINE_list("loss_weights", [], "Changes to stage 1 and 3's weights, as gan=1,l1=20.")
flags.DEFINE_integer("steps", None, "Number of the last step.", lower_bound=1)
flags.DEFINE_integer("batch_size", 8, "Pictures in a step.", lower_bound=1)
flags.DEFINE_integer("size", 256, "Side of the pictures, a multiple of 8.", lower_bound=16)
flags.DEFINE_enum("fit", None, ["crop", "resize"], "Default: lite crops, paper resizes.")
flags.DEFINE_float("learning_rate", None, "Highest rate; default: the stage's.", lower_bound=0)
flags.DEFINE_integer("seed", 0, "Of initial weights, order and crops.", lower_bound=0)
flags.DEFINE_integer("checkpoint_every", 500, "Steps.", lower_bound=1)
flags.DEFINE_integer("validate_every", 500, "Steps.", lower_bound=1)
flags.DEFINE_integer("log_every", 50, "Steps.", lower_bound=1)
flags.mark_flags_as_required(["stage", "data", "workdir", "steps"])
flags.register_validator("size", lambda size: size % 8 == 0, "must be a multiple of 8")


def build_stage():
    """The stage that the flags ask for, its networks holding the weights of `--init`."""
    from smapcomp.training import stages
    from smapcomp.zoo import VARIANTS

    variant = VARIANTS[FLAGS.variant]
    if FLAGS.stage in ("stage1", "stage3"):
        weights = _loss_weights(stages)
        models = _codec_models(variant, weights, with_labels=FLAGS.stage == "stage3")
        build = stages.stage1 if FLAGS.stage == "stage1" else stages.stage3
        # Lite's FineNet serves the modes without labels too, the papers' was never without.
        share = {"stage1": 0.5, "stage3": 0.25}[FLAGS.stage] if FLAGS.variant == "lite" else 0.0
        stage = build(models, weights, variant.step, void_share=share)
    elif FLAGS.stage == "segmentation":
        stage = stages.segmentation(_segmentation_models(variant), variant.step)
    else:
        stage = stages.stage2(_segmentation_models(variant), variant.step)
    trained = {role for roles in stage.groups.values() for role in roles}
    for role, model in stage.models.items():
        found = _load(role, model)
        if not found and role not in trained and role != "vgg":
            raise SmapcompError(f"--init: {FLAGS.stage} holds {role} fixed; no {role}.npz there")
    return stage


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


def _codec_models(variant, weights, with_labels: bool) -> dict:
    from smapcomp.models.compnet import build_compnet
    from smapcomp.models.discriminator import build_discriminator
    from smapcomp.models.finenet import build_finenet
    from smapcomp.models.layers import max_level
    from smapcomp.models.pspnet import build_pspnet
    from smapcomp.models.smapnet import build_smapnet
    from smapcomp.models.vgg import build_vgg19_features
    from smapcomp.training.rate import build_rate_model

    models = {"compnet": build_compnet(variant.name), "finenet": build_finenet(variant.name)}
    if weights.gan or weights.feature_matching:
        models["discriminator"] = build_discriminator(variant.name)
    if weights.perceptual:
        if FLAGS.vgg is None:
            raise app.UsageError("--vgg is needed; --loss_weights=perceptual=0 does without")
        models["vgg"] = build_vgg19_features(FLAGS.vgg)
    if weights.rate:
        models["rate"] = build_rate_model(max_level(variant.step))
    if with_labels:
        models["segmenter"] = build_pspnet(variant.backbone)
        models["smapnet"] = build_smapnet("classes")
    return models


def _segmentation_models(variant) -> dict:
    from smapcomp.models.compnet import build_compnet
    from smapcomp.models.pspnet import build_pspnet
    from smapcomp.models.smapnet import build_smapnet
    from smapcomp.models.weights import load_weights

    auxiliary = FLAGS.stage == "segmentation"
    models = {
        "compnet": build_compnet(variant.name),
        "segmenter": build_pspnet(variant.backbone, auxiliary=auxiliary),
    }
    if not auxiliary:
        models["smapnet"] = build_smapnet("classes")
    elif FLAGS.backbone:
        load_weights(models["segmenter"], FLAGS.backbone, partial=True)
    return models


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

    from data import clear_errors, pipeline
    from smapcomp.training.loop import Plan, mean_metrics, train
    from smapcomp.training.optimizers import build_optimizers

    keras.utils.set_random_seed(FLAGS.seed)
    options = {
        "batch_size": FLAGS.batch_size,
        "size": FLAGS.size,
        "fit": FLAGS.fit or ("crop" if FLAGS.variant == "lite" else "resize"),
    }
    with clear_errors():
        # Opened before the networks are built: a wrong --data is said at once.
        validation = pipeline.validation_batches(FLAGS.data, **options)
        pipeline.training_batches(FLAGS.data, **options)
        stage = build_stage()
        train(
            stage,
            build_optimizers(stage, FLAGS.variant, FLAGS.steps, FLAGS.learning_rate),
            lambda step: pipeline.training_batches(
                FLAGS.data, seed=FLAGS.seed, start_step=step, **options
            ),
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
