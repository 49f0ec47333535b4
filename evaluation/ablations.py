r"""Measure what each part of the codec contributes, with confidence intervals over pictures.

    python -m evaluation.ablations --pictures=kodak --data=ADEChallengeData2016 --out=out/ablations
    python -m evaluation.ablations --only=modes,lossless --pictures=DIR --out=out/ablations
    python -m evaluation.ablations --only=smapnet,losses --pictures=kodak \
        --data=ADEChallengeData2016 --train_data=ade256 --vgg=VGG19.npz --train_steps=20000 \
        --out=out/ablations

| Group | Compared | Required flags |
|---|---|---|
| modes | none, sent, matched, mapped; in the papers' design and in the default one | `--pictures` |
| lossless | the papers' lossless compact layer, and lossy ones | `--pictures` |
| residual | the residual coders that are installed | `--pictures` |
| segmentation | the segmenter's label map of x, of u, and after SMapNet | `--data` |
| smapnet | SMapNets of classes and of one or three channels of index | `--data`, `--train_data` |
| losses | FineNets trained with PSNR, L1, VGG, adversarial losses | `--pictures`, `--train_data` |

x is a picture and u its up-sampled compact image. The last two groups first train networks one
after another, all with the same number of steps. Tables are written to `OUT/ablations.md` and
`OUT/ablations.csv`, one for each group and set of pictures. Measured points, scores and trained
networks are kept in OUT, so that the same command continues where it was interrupted. `--data` and
`--train_data` are sources of labelled pictures that `data.load` takes.

Exit status: 0 success; 1 an input, the work or a flag is at fault; 75 stopped by SIGTERM or SIGINT
during training, after a checkpoint was saved; 130 interrupted elsewhere.
"""

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from absl import app, flags

from data.picture_folder import find_pictures
from evaluation.ablation_studies import compression, label_scores, runs, tables
from evaluation.ablation_studies.tables import Row
from evaluation.measurement import harness
from smapcomp import zoo
from smapcomp.codec.options import CompressOptions
from smapcomp.errors import SmapcompError
from smapcomp.jobs.exits import EXIT_RESUMABLE, errors_in_one_line, fail, refuse_arguments
from smapcomp.keras_startup import import_keras
from smapcomp.training.errors import Interrupted

FLAGS = flags.FLAGS

REQUIRED_FLAGS = {
    "modes": ("pictures",),
    "lossless": ("pictures",),
    "residual": ("pictures",),
    "segmentation": ("data",),
    "smapnet": ("data", "train_data"),
    "losses": ("pictures", "train_data"),
}
"""Group to the flags that it requires."""


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The command line without its flags.
    """
    refuse_arguments(arguments)
    groups = selected_groups(FLAGS)
    import_keras()
    with errors_in_one_line("ablations"):
        try:
            measure_groups(groups, FLAGS)
        except Interrupted as interrupted:
            message = f"{interrupted}; the same command continues from there"
            fail("ablations", message, EXIT_RESUMABLE)


def selected_groups(values: flags.FlagValues) -> list[str]:
    """Return the groups of `--only` or, without it, all groups whose required flags are set.

    Raises:
        app.UsageError: A group is unknown or lacks a required flag, or there is no group.
    """
    unknown = sorted(set(values.only or ()) - set(REQUIRED_FLAGS))
    if unknown:
        raise app.UsageError(
            f"--only={unknown[0]} is unknown; allowed: {', '.join(REQUIRED_FLAGS)}"
        )
    groups = []
    for group, needs in REQUIRED_FLAGS.items():
        missing = [f"--{name}" for name in needs if not values[name].value]
        if not missing and group in (values.only or REQUIRED_FLAGS):
            groups.append(group)
        elif missing and group in (values.only or ()):
            raise app.UsageError(f"--only={group}: needs {' and '.join(missing)}")
        elif missing and not values.only:
            print(
                f"ablations: group {group} is left out without {' and '.join(missing)}",
                file=sys.stderr,
            )
    if not groups:
        raise app.UsageError("nothing to measure; set --pictures or --data")
    return groups


def measure_groups(groups: Sequence[str], values: flags.FlagValues) -> None:
    """Measure groups, write the tables after each, and print the groups' tables.

    Raises:
        Interrupted: SIGTERM or SIGINT came during training; a checkpoint was saved.
        SmapcompError: An input or the work is at fault.
    """
    folder = Path(values.out)
    pictures = find_pictures(values.pictures, values.kodak_dir) if values.pictures else []
    if len(pictures) == 1:
        raise SmapcompError(
            f"--pictures={values.pictures}: has one picture; confidence intervals need two or more"
        )
    folder.mkdir(parents=True, exist_ok=True)
    rows = tables.read_rows(folder / "ablations.csv")
    measured: dict[str, Callable[[], list[Row]]] = {
        "modes": functools.partial(
            _compression, compression.modes_ladders, compression.modes_rows, values, pictures
        ),
        "lossless": functools.partial(
            _compression, compression.lossless_ladders, compression.lossless_rows, values, pictures
        ),
        "residual": functools.partial(
            _compression, compression.residual_ladders, compression.residual_rows, values, pictures
        ),
        "segmentation": functools.partial(_segmentation, values),
        "smapnet": functools.partial(_smapnets, values),
        "losses": functools.partial(_losses, values, pictures),
    }
    for group in groups:
        rows = tables.merge_rows(rows, measured[group]())
        tables.write_tables(folder, rows)
    displayed = [row for row in rows if row.group in groups]
    print(tables.markdown(displayed))


def _compression(
    ladders: Callable, rows: Callable, values: flags.FlagValues, pictures: list[Path]
) -> list[Row]:
    """Return the rows of a group that compares ways of coding.

    Args:
        ladders: Function of `compression` that returns the codecs to measure.
        rows: Function of `compression` that returns the rows.
        values: The flags.
        pictures: Files of pictures.
    """
    common = _common(values.variant, values.weights_dir)
    points = harness.measure_qualities(ladders(common), pictures, Path(values.out), values.jobs)
    return rows(points, common, _set_name(values, values.pictures))


def _segmentation(values: flags.FlagValues) -> list[Row]:
    networks = zoo.cached_networks(values.variant, values.weights_dir)
    return label_scores.segmentation_rows(_scores(values, networks), _labelled_name(values))


def _smapnets(values: flags.FlagValues) -> list[Row]:
    networks = zoo.cached_networks(values.variant, values.weights_dir)
    budget = _budget(values, values.smapnet_size)
    folder = Path(values.out) / "runs" / "smapnet"
    counts = {
        variant.name: _scores(values, runs.train_variant(variant, budget, networks, folder))
        for variant in runs.SMAPNETS
    }
    return label_scores.smapnet_rows(counts, _labelled_name(values), str(budget))


def _scores(values: flags.FlagValues, networks: zoo.Networks) -> np.ndarray:
    return label_scores.score_label_maps(
        networks, values.data, values.split, Path(values.out) / "labels"
    )


def _labelled_name(values: flags.FlagValues) -> str:
    return _set_name(values, values.data, values.split)


def _losses(values: flags.FlagValues, pictures: list[Path]) -> list[Row]:
    networks = zoo.cached_networks(values.variant, values.weights_dir)
    budget = _budget(values, values.losses_size)
    common = {}
    for variant in runs.LOSSES:
        if variant.needs_vgg and not values.vgg:
            print(f"ablations: losses {variant.name!r} are left out without --vgg", file=sys.stderr)
            continue
        found = runs.train_variant(variant, budget, networks, Path(values.out) / "runs" / "losses")
        common[variant.name] = _common(values.variant, str(found.folder))
    ladders = compression.losses_ladders(common)
    points = harness.measure_qualities(ladders, pictures, Path(values.out), values.jobs)
    return compression.losses_rows(points, common, _set_name(values, values.pictures), str(budget))


def _budget(values: flags.FlagValues, size: int) -> runs.Budget:
    return runs.Budget(
        *(values.train_data, values.train_steps, values.train_batch, size),
        *(values.vgg or "", int(values.vgg_depth)),
    )


def _common(variant: str, weights_dir: str | None) -> dict[str, str]:
    """Return the codec's options that select networks other than the default ones."""
    found = {}
    if variant != CompressOptions.variant:
        found["variant"] = variant
    if weights_dir:
        if "," in weights_dir:
            raise SmapcompError(f"{weights_dir}: the name of a folder of weights has no comma")
        found["weights_dir"] = weights_dir
    return found


def _set_name(values: flags.FlagValues, source: str, split: str | None = None) -> str:
    """Return the name of a set of pictures in the tables.

    It consists of the folder, the split and the networks, so that a table of other networks does
    not replace this one.
    """
    path = Path(source).resolve()
    if not path.is_dir():
        name = source
    elif path.parent.name == "images":  # The folder is laid out like ADE20K's.
        name = f"{path.parent.parent.name}, {path.name}"
    else:
        name = path.name
    return ", ".join(filter(None, (name, split, f"{values.variant} networks")))


def define_flags(values: flags.FlagValues) -> None:
    """Define the command's flags."""
    string = functools.partial(flags.DEFINE_string, flag_values=values)
    integer = functools.partial(flags.DEFINE_integer, flag_values=values)
    string("out", None, "Folder of the tables and of all measurements.", required=True)
    string("pictures", None, "Folder of pictures to code, or `kodak`.")
    string("kodak_dir", None, "Folder of the Kodak pictures; downloaded once by default.")
    string("data", None, "Source of labelled pictures on which label maps are scored.")
    string("split", "validation", "Split of --data.")
    flags.DEFINE_list("only", None, f"Groups: {', '.join(REQUIRED_FLAGS)}.", flag_values=values)
    string("variant", CompressOptions.variant, "Variant of the networks.")
    string("weights_dir", None, "Folder of weights; by default those in the package.")
    integer("jobs", 1, "Number of processes that code pictures, each with one thread.", 1)
    string("train_data", None, "Source of labelled pictures to train on, other than --data.")
    integer("train_steps", 2000, "Training steps of each network.", 1)
    integer("train_batch", 8, "Pictures in a training step.", 1)
    integer("smapnet_size", 256, "Side of SMapNet's crops in pixels.", 16)
    integer("losses_size", 128, "Side of FineNet's crops in pixels.", 16)
    string("vgg", None, "Weights of VGG, for losses that compare its features.")
    flags.DEFINE_enum(
        "vgg_depth", "19", ["16", "19"], "Depth of --vgg; the papers use 19.", flag_values=values
    )


if __name__ == "__main__":
    define_flags(FLAGS)
    app.run(main)
