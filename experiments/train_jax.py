r"""Trains one stage of the codec's networks on one accelerator with Keras' JAX backend.

    python -m experiments.train_jax --stage=stage1 --variant=paper --pictures=photos.npz \
        --vgg=VGG19.npz --workdir=RUN1 --steps=100000 --bfloat16
    python -m experiments.train_jax --stage=segmentation --init=RUN1/weights --workdir=RUN2 ...

It needs JAX, Keras, NumPy, h5py, Pillow and absl, and no TensorFlow (docs/training_jax.md). The
stages are those of `smapcomp.training.stages.stage`; only the loop differs from that of
`experiments.train`: pictures lie in the accelerator's memory and crops are cut inside the compiled
step. `data.pack_pictures` writes the array file.

A run ends with its last step or when `--seconds` are used up, whichever comes first, and learning
rates fall along what is used up faster. A run that was stopped continues from its last checkpoint
when the same command is given again. The averaged weights of the trained networks lie in
`WORKDIR/weights`, one file a network, which later stages read by `--init` and the command
`smapcomp` by `--weights_dir`; curves in `WORKDIR/curves.jsonl`.

Exit status: 0 done; 1 the data, the folder or the training failed, said in one line; 75 stopped
by SIGTERM or SIGINT after saving a checkpoint.
"""

import dataclasses
import os
import sys
from collections.abc import Sequence
from functools import partial

from absl import app, flags, logging

from smapcomp.design import SCALES
from smapcomp.errors import SmapcompError

EXIT_FAILED = 1
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: the same command again goes on.

FLAGS = flags.FLAGS


def define_flags(values: flags.FlagValues = FLAGS) -> None:
    """Defines the job's flags."""
    string, integer = (
        partial(f, flag_values=values) for f in (flags.DEFINE_string, flags.DEFINE_integer)
    )
    enum, real = (partial(f, flag_values=values) for f in (flags.DEFINE_enum, flags.DEFINE_float))
    switch, many = (partial(f, flag_values=values) for f in (flags.DEFINE_bool, flags.DEFINE_list))
    stages = ["stage1", "segmentation", "stage2", "stage3", "lossy"]
    enum("stage", None, stages, "What to train.")
    string("pictures", None, "Array file of data.pack_pictures.")
    string("coded", None, "Array file of data.pack_coded, in stage lossy.")
    enum("scale", "1", list(map(str, SCALES)), "Of the compact images in stage lossy.")
    string("workdir", None, "Folder of the run; one a stage.")
    enum("variant", "lite", ["lite", "paper"], "Which networks.")
    many("init", [], "Folders of weights to start from; the last that has a file counts.")
    string("backbone", None, "Weights of the segmenter's backbone to start from.")
    string("vgg", None, "Weights of VGG for the perceptual loss.")
    enum("vgg_depth", "19", ["16", "19"], "Which VGG; the papers' is 19.")
    enum(
        "losses",
        None,
        ["five", "psnr_rate"],
        "Of stages 1 and 3: the papers' five, or PSNR and the compact layer's bits; default: "
        "paper's five, lite's psnr_rate.",
    )
    many("loss_weights", [], "Changes to those losses' weights, as gan=1,l1=20.")
    integer("steps", None, "Number of the last step.", lower_bound=1)
    real("seconds", None, "Of training at most, compilation not counted.", lower_bound=1)
    integer("batch_size", 8, "Crops in a step.", lower_bound=1)
    integer(
        "crop",
        None,
        "Side of the crops, a multiple of 8; default: 256, lite's stages 1 and 3 128.",
        lower_bound=16,
    )
    switch("bfloat16", False, "Compute in bfloat16 where it does no harm.")
    switch("recompute", False, "In stages 1 and 3: more work and less memory.")
    real("learning_rate", None, "Highest rate; default: the stage's.", lower_bound=0)
    integer("seed", 0, "Of initial weights and crops.", lower_bound=0)
    integer("checkpoint_every", 500, "Steps.", lower_bound=1)
    integer("validate_every", 5000, "Steps.", lower_bound=1)
    integer("log_every", 50, "Steps.", lower_bound=1)
    flags.mark_flags_as_required(["stage", "pictures", "workdir"], values)
    flags.register_validator(
        "crop", lambda crop: not (crop or 0) % 8, "must be a multiple of 8", values
    )


def _loss_weights():
    from smapcomp.training import settings

    kind = FLAGS.losses or {"paper": "five", "lite": "psnr_rate"}[FLAGS.variant]
    weights = {"five": settings.Stage1Weights(), "psnr_rate": settings.LITE_WEIGHTS}[kind]
    names = [field.name for field in dataclasses.fields(weights)]
    for change in FLAGS.loss_weights:
        name, _, value = change.partition("=")
        if name not in names:
            raise SmapcompError(f"--loss_weights: {name!r} is no term; terms: {', '.join(names)}")
        try:
            weights = dataclasses.replace(weights, **{name: float(value)})
        except ValueError:
            raise SmapcompError(f"--loss_weights: {change!r} is not name=number") from None
    return weights


def _crop() -> int:
    from smapcomp.training.settings import LITE_SIZES

    return FLAGS.crop or (LITE_SIZES[FLAGS.stage] if FLAGS.variant == "lite" else 256)


def _stage_settings():
    from smapcomp.training.layerwise import Rules
    from smapcomp.training.networks import StageSettings
    from smapcomp.training.settings import PAPER_RULES, VOID_SHARES, mse_floor

    rules = PAPER_RULES.get(FLAGS.stage) if FLAGS.variant == "paper" else None
    return StageSettings(
        stage=FLAGS.stage,
        variant=FLAGS.variant,
        scale=int(FLAGS.scale),
        init=tuple(FLAGS.init),
        backbone=FLAGS.backbone or "",
        vgg=FLAGS.vgg or "",
        vgg_depth=int(FLAGS.vgg_depth),
        loss_weights=_loss_weights(),
        mse_floor=mse_floor(FLAGS.stage),
        void_share=VOID_SHARES.get((FLAGS.stage, FLAGS.variant), 0.0),
        rules=Rules(rules) if rules else Rules(),
        precision="bfloat16" if FLAGS.bfloat16 else "float32",
        recompute=FLAGS.recompute,
    )


def _optimizer():
    from smapcomp.training.settings import optimizer_settings

    settings, weights = optimizer_settings(FLAGS.stage, FLAGS.variant), _loss_weights()
    if FLAGS.stage in ("stage1", "stage3") and (weights.gan or weights.feature_matching):
        settings = dataclasses.replace(settings, beta_1=0.5)  # as the papers' (SPEC section 3)
    if FLAGS.learning_rate is None:
        return settings
    return dataclasses.replace(settings, learning_rate=FLAGS.learning_rate)


def _settings() -> dict:
    """What may not change when a run is continued; where files lie and what is logged may."""
    names = ("stage", "variant", "scale", "steps", "seconds", "batch_size", "bfloat16", "seed")
    settings = {name: FLAGS[name].value for name in (*names, "learning_rate")}
    return settings | {"crop": _crop(), "loss_weights": dataclasses.asdict(_loss_weights())}


def run() -> None:
    """Trains what the flags ask for."""
    if FLAGS.steps is None and FLAGS.seconds is None:
        raise SmapcompError("--steps or --seconds is needed")
    if FLAGS.stage == "lossy" and FLAGS.variant != "lite":
        raise SmapcompError(f"--variant={FLAGS.variant}: stage lossy has lite alone")
    if FLAGS.stage == "lossy" and not FLAGS.coded:
        raise SmapcompError("--stage=lossy needs --coded, the file of data.pack_coded")
    backend = os.environ.setdefault("KERAS_BACKEND", "jax")
    if backend != "jax":
        raise SmapcompError(f"KERAS_BACKEND is {backend}; it must be jax, or not set")
    try:
        import jax
        import keras
    except ImportError as error:
        raise SmapcompError(f"JAX and Keras are needed: {error}") from None

    from data.batches import jax_batches
    from smapcomp.training.jax_trainer.loop import Budget, Plan, train
    from smapcomp.training.jax_trainer.step import Training, recomputed
    from smapcomp.training.networks import build_stage
    from smapcomp.training.optimizers import build_optimizer
    from smapcomp.training.settings import SEGMENTATION_SCALES

    keras.utils.set_random_seed(FLAGS.seed)
    budget = Budget(FLAGS.steps, FLAGS.seconds)
    # Before the networks are built: a wrong --pictures is said at once.
    if FLAGS.stage == "lossy":
        take, as_batch = jax_batches.cut_coded, jax_batches.as_coded_batch
        pictures = jax_batches.load_coded_training(
            FLAGS.pictures, FLAGS.coded, _crop(), int(FLAGS.scale)
        )
        validation = jax_batches.load_coded_validation(FLAGS.pictures, FLAGS.coded)
    else:
        scaled = FLAGS.stage in ("segmentation", "stage2")
        take = (
            partial(jax_batches.cut_scaled, scales=SEGMENTATION_SCALES)
            if scaled
            else jax_batches.cut
        )
        as_batch = jax_batches.as_batch
        pictures = jax_batches.load_training(FLAGS.pictures, _crop())
        validation = jax_batches.load_validation(FLAGS.pictures)
    logging.info("%d pictures on %s", len(pictures["sizes"]), jax.devices()[0])
    settings = _stage_settings()
    stage = build_stage(settings, recompute=recomputed, labels_given=FLAGS.stage == "lossy")
    optimizers = {
        group: build_optimizer(_optimizer(), budget.span, settings.rules) for group in stage.groups
    }
    training = Training(stage, optimizers, partial(take, batch=FLAGS.batch_size, crop=_crop()))
    train(
        training,
        pictures,
        jax.random.key(FLAGS.seed),
        FLAGS.workdir,
        Plan(budget, FLAGS.checkpoint_every, FLAGS.validate_every, FLAGS.log_every, _settings()),
        partial(training.mean_metrics, validation, as_batch),
    )


def main(arguments: Sequence[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    from smapcomp.training.errors import Interrupted

    try:
        run()
    except Interrupted as interrupted:
        print(f"{interrupted}; the same command goes on from there", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except (SmapcompError, OSError, ValueError) as error:
        message = " ".join(str(error).split())
        print(f"train_jax: {message}", file=sys.stderr)
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    define_flags()
    app.run(main)
