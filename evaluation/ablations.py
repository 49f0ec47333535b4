r"""Measures what each part of the codec is worth, with confidence intervals over pictures.

    python -m evaluation.ablations --pictures=kodak --data=ADEChallengeData2016 --out=out/ablations
    python -m evaluation.ablations --only=modes,lossless --pictures=DIR --out=out/ablations
    python -m evaluation.ablations --only=smapnet,losses --pictures=kodak \
        --data=ADEChallengeData2016 --train_data=ade256 --vgg=VGG19.npz --train_steps=20000 \
        --out=out/ablations

| Group | What is compared | Needs |
|---|---|---|
| modes | none, sent, matched, mapped; in the papers' design and in the default one | `--pictures` |
| lossless | the papers' lossless compact layer, and lossy ones | `--pictures` |
| residual | the residual coders that are installed | `--pictures` |
| segmentation | the segmenter's label map of x, of u, and after SMapNet | `--data` |
| smapnet | SMapNets of classes and of one or three channels of index | `--data`, `--train_data` |
| losses | FineNets trained with PSNR, L1, VGG, adversarial losses | `--pictures`, `--train_data` |

The last two train networks first, one after another, all with the same steps. Tables go to
`OUT/ablations.md` and `OUT/ablations.csv`, a table for each group and set of pictures; measured
points, scores and trained networks are kept in OUT, and the same command goes on where it was
interrupted. `--data` and `--train_data` are sources with labels that `data.load` takes.

Exit status: 0 done; 1 something failed, said in one line; 75 stopped by SIGTERM or SIGINT in
training after saving a checkpoint.
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
from smapcomp.keras_startup import import_keras

FLAGS = flags.FLAGS

EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: the same command again goes on.

NEEDS = {
    "modes": ("pictures",),
    "lossless": ("pictures",),
    "residual": ("pictures",),
    "segmentation": ("data",),
    "smapnet": ("data", "train_data"),
    "losses": ("pictures", "train_data"),
}
"""Flags that each group needs."""


def main(arguments: Sequence[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    groups = chosen(FLAGS)
    import_keras()
    from smapcomp.training.errors import Interrupted

    try:
        run(groups, FLAGS)
    except Interrupted as interrupted:
        print(f"{interrupted}; the same command goes on from there", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except SmapcompError as error:
        print(f"ablations: {error}", file=sys.stderr)
        sys.exit(1)


def chosen(values: flags.FlagValues) -> list[str]:
    """The groups to measure: those of `--only`, else all whose flags are given.

    Raises:
        app.UsageError: A group is unknown, or lacks a flag that it needs.
    """
    unknown = sorted(set(values.only or ()) - set(NEEDS))
    if unknown:
        raise app.UsageError(f"--only={unknown[0]}: unknown; there are {', '.join(NEEDS)}")
    groups = []
    for group, needs in NEEDS.items():
        missing = [f"--{name}" for name in needs if not values[name].value]
        if not missing and group in (values.only or NEEDS):
            groups.append(group)
        elif missing and group in (values.only or ()):
            raise app.UsageError(f"--only={group}: needs {' and '.join(missing)}")
        elif missing and not values.only:
            print(f"ablations: no group {group} without {' and '.join(missing)}", file=sys.stderr)
    if not groups:
        raise app.UsageError("nothing to measure; give --pictures or --data")
    return groups


def run(groups: Sequence[str], values: flags.FlagValues) -> None:
    """Measures the groups and writes the tables after each."""
    folder = Path(values.out)
    pictures = find_pictures(values.pictures, values.kodak_dir) if values.pictures else []
    if len(pictures) == 1:
        raise SmapcompError(f"--pictures={values.pictures}: one picture has no interval; give more")
    folder.mkdir(parents=True, exist_ok=True)
    rows = tables.read_rows(folder / "ablations.csv")
    measured: dict[str, Callable[[], list[Row]]] = {
        "modes": functools.partial(
            _coded, compression.modes_wanted, compression.modes_rows, values, pictures
        ),
        "lossless": functools.partial(
            _coded, compression.lossless_wanted, compression.lossless_rows, values, pictures
        ),
        "residual": functools.partial(
            _coded, compression.residual_wanted, compression.residual_rows, values, pictures
        ),
        "segmentation": functools.partial(_segmentation, values),
        "smapnet": functools.partial(_smapnets, values),
        "losses": functools.partial(_losses, values, pictures),
    }
    for group in groups:
        rows = tables.merge(rows, measured[group]())
        tables.write(folder, rows)
    shown = [row for row in rows if row.group in groups]
    print(tables.markdown(shown))


def _coded(wanted, rows, values: flags.FlagValues, pictures: list[Path]) -> list[Row]:
    """A group of differences between ways of coding."""
    common = _common(values.variant, values.weights_dir)
    points = harness.run(wanted(common), pictures, Path(values.out), values.jobs)
    return rows(points, common, _set_name(values, values.pictures))


def _segmentation(values: flags.FlagValues) -> list[Row]:
    networks = zoo.load(values.variant, values.weights_dir)
    return label_scores.view_rows(_scores(values, networks), _labelled_name(values))


def _smapnets(values: flags.FlagValues) -> list[Row]:
    networks = zoo.load(values.variant, values.weights_dir)
    budget = _budget(values, values.smapnet_size)
    folder = Path(values.out) / "runs" / "smapnet"
    counts = {
        run_.name: _scores(values, runs.trained(run_, budget, networks, folder))
        for run_ in runs.SMAPNETS
    }
    return label_scores.smapnet_rows(counts, _labelled_name(values), str(budget))


def _scores(values: flags.FlagValues, networks: zoo.Networks) -> np.ndarray:
    return label_scores.measure(networks, values.data, values.split, Path(values.out) / "labels")


def _labelled_name(values: flags.FlagValues) -> str:
    return _set_name(values, values.data, values.split)


def _losses(values: flags.FlagValues, pictures: list[Path]) -> list[Row]:
    networks = zoo.load(values.variant, values.weights_dir)
    budget = _budget(values, values.losses_size)
    common = {}
    for run_ in runs.LOSSES:
        if run_.needs_vgg and not values.vgg:
            print(f"ablations: losses {run_.name!r} left out; needs --vgg", file=sys.stderr)
            continue
        found = runs.trained(run_, budget, networks, Path(values.out) / "runs" / "losses")
        common[run_.name] = _common(values.variant, str(found.folder))
    wanted = compression.losses_wanted(common)
    points = harness.run(wanted, pictures, Path(values.out), values.jobs)
    return compression.losses_rows(points, common, _set_name(values, values.pictures), str(budget))


def _budget(values: flags.FlagValues, size: int) -> runs.Budget:
    return runs.Budget(
        *(values.train_data, values.train_steps, values.train_batch, size),
        *(values.vgg or "", int(values.vgg_depth)),
    )


def _common(variant: str, weights_dir: str | None) -> dict[str, str]:
    """The codec's options that say which networks, where they are not the default."""
    found = {}
    if variant != CompressOptions.variant:
        found["variant"] = variant
    if weights_dir:
        if "," in weights_dir:
            raise SmapcompError(f"{weights_dir}: a folder of weights with a comma in its name")
        found["weights_dir"] = weights_dir
    return found


def _set_name(values: flags.FlagValues, source: str, split: str | None = None) -> str:
    """What tables call a set of pictures: its folder's name and the split; and the networks, so
    that other networks' tables stand beside these."""
    path = Path(source).resolve()
    if not path.is_dir():
        name = source
    elif path.parent.name == "images":  # of a folder like ADE20K's
        name = f"{path.parent.parent.name}, {path.name}"
    else:
        name = path.name
    return ", ".join(filter(None, (name, split, f"{values.variant} networks")))


def define_flags(values: flags.FlagValues) -> None:
    """Defines the job's flags."""
    string = functools.partial(flags.DEFINE_string, flag_values=values)
    integer = functools.partial(flags.DEFINE_integer, flag_values=values)
    string("out", None, "Folder of the tables and of what is measured.", required=True)
    string("pictures", None, "Folder of pictures to code, or `kodak`.")
    string("kodak_dir", None, "Folder of the Kodak pictures; default: downloaded.")
    string("data", None, "Source of pictures with labels to score label maps on.")
    string("split", "validation", "Split of --data.")
    flags.DEFINE_list("only", None, f"Groups: {', '.join(NEEDS)}.", flag_values=values)
    string("variant", CompressOptions.variant, "Variant of the networks.")
    string("weights_dir", None, "Folder of weights; by default those in the box.")
    integer("jobs", 1, "Processes that code pictures, of one thread each.", 1)
    string("train_data", None, "Source of pictures with labels to train on, never those measured.")
    integer("train_steps", 2000, "Of each network that is trained.", 1)
    integer("train_batch", 8, "Pictures in a step.", 1)
    integer("smapnet_size", 256, "Side of SMapNet's crops, pixels.", 16)
    integer("losses_size", 128, "Side of FineNet's crops, pixels.", 16)
    string("vgg", None, "Weights of VGG, for the losses that look at its features.")
    flags.DEFINE_enum(
        "vgg_depth", "19", ["16", "19"], "Of --vgg; the papers' is 19.", flag_values=values
    )


if __name__ == "__main__":
    define_flags(FLAGS)
    app.run(main)
