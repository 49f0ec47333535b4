r"""Collect the trained networks of several runs in one folder.

    python -m tools.gather_weights --out=weights \
        --from=runs/stage1,runs/segmentation,runs/stage2,runs/stage3

`smapcomp compress --weights_dir`, `smapcomp.export --weights_dir` and `evaluation.evaluate` accept
the folder. Each of --from is the folder of a run (`experiments.train --workdir`) or a folder of
weights. If several have a network, the last one counts, so the stages stand in the order in which
they were trained. Networks that only training needs are left out. Values keep their type; what
`tools.bundle_weights` writes are the package's own weights, in float16.

The command prints which file each network came from, which designs the folder serves, and what is
missing for the other one. Nothing is written unless the folder serves at least one design, all
files fit the networks of the variant, and the folder of --out is empty or --overwrite is given.

Exit status: 0 done; 1 a folder or a file is missing or does not fit, said in one line.
"""

import os
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from absl import app, flags

from smapcomp.errors import SmapcompError
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.keras_startup import import_keras
from smapcomp.zoo import BUNDLED_WEIGHTS, LOSSY_FINENETS, ROLES, VARIANTS, Networks, Variant

FLAGS = flags.FLAGS

LABEL_ROLES = ("segmenter", "smapnet")
"""Networks that every design needs."""

DESIGN_ROLES = {
    "the papers' design": (*LABEL_ROLES, "compnet", "finenet"),
    "lossy compact images": (*LABEL_ROLES, *LOSSY_FINENETS),
}
"""Networks of each design."""


def find_weights(folders: Sequence[str | os.PathLike]) -> dict[str, Path]:
    """Return the file of each network that is found, the last folder's if several have one.

    Args:
        folders: Folders of runs or of weights.

    Returns:
        Role to path, in the order of `zoo.ROLES`.

    Raises:
        SmapcompError: A folder does not exist or has no network of the codec.
    """
    found = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise SmapcompError(f"--from: {folder}: no such folder")
        weights = folder / "weights" if (folder / "weights").is_dir() else folder
        files = {role: weights / f"{role}.npz" for role in ROLES}
        files = {role: path for role, path in files.items() if path.is_file()}
        if not files:
            raise SmapcompError(
                f"--from: {weights}: no weights of the codec's networks "
                f"({', '.join(f'{role}.npz' for role in ROLES)})"
            )
        found |= files
    return {role: found[role] for role in ROLES if role in found}


def missing_roles(roles: Collection[str]) -> dict[str, list[str]]:
    """Return, for each design, the networks that are missing for it."""
    return {
        design: [role for role in needed if role not in roles]
        for design, needed in DESIGN_ROLES.items()
    }


def gather_weights(
    files: Mapping[str, Path], variant: Variant, target: Path, overwrite: bool = False
) -> None:
    """Copy weights to a folder, after a check that they fit the networks.

    Args:
        files: Role to path.
        variant: Variant of the networks.
        target: Folder to write to; it is created if it does not exist.
        overwrite: Whether the weights in it are replaced.

    Raises:
        SmapcompError: No design is complete, a file does not fit, or the folder has weights or is
            the package's.
    """
    missing = missing_roles(files)
    # Any one FineNet is enough to code lossy compact images of its scale.
    lossy = "lossy compact images"
    enough = [role for role in missing[lossy] if role not in LOSSY_FINENETS]
    if missing["the papers' design"] and (enough or not set(files) & set(LOSSY_FINENETS)):
        names = "; ".join(f"{design}: {', '.join(roles)}" for design, roles in missing.items())
        raise SmapcompError(f"--from: no design is complete; missing for {names}")
    if target.resolve().is_relative_to(BUNDLED_WEIGHTS.resolve()):
        raise SmapcompError(
            f"--out: {target}: the package's own weights, which tools.bundle_weights replaces"
        )
    old = sorted(path.name for path in target.iterdir()) if target.is_dir() else []
    if old and not overwrite:
        raise SmapcompError(f"--out: {target}: has {old[0]}; --overwrite replaces its weights")
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as folder:
        for role, path in files.items():
            shutil.copyfile(path, Path(folder) / f"{role}.npz")
        networks = Networks(variant, Path(folder))
        for role, path in files.items():
            try:
                networks.model(role)
            except SmapcompError as error:
                reason = str(error).removeprefix(f"{networks.weights_file(role)}: ")
                raise SmapcompError(f"{path}: variant {variant.name!r}: {reason}") from None
        for name in (*(f"{role}.npz" for role in ROLES), "SHA256SUMS"):
            (target / name).unlink(missing_ok=True)
        for role in files:
            os.replace(Path(folder) / f"{role}.npz", target / f"{role}.npz")


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    refuse_arguments(arguments)
    import_keras()
    target = Path(FLAGS.out)
    with errors_in_one_line("gather_weights"):
        files = find_weights(FLAGS["from"].value)
        gather_weights(files, VARIANTS[FLAGS.variant], target, FLAGS.overwrite)
    for role, path in files.items():
        print(f"{role:<11} {path}")
    for design, roles in missing_roles(files).items():
        state = f"incomplete, without {', '.join(roles)}" if roles else "complete"
        print(f"{target}: {design}: {state}")
    print(f"use: smapcomp compress --variant={FLAGS.variant} --weights_dir={target} PICTURE")


if __name__ == "__main__":
    flags.DEFINE_list(
        "from", None, "Folders of runs or of weights; the last that has a file counts."
    )
    flags.DEFINE_string("out", None, "Folder to write the weights to.")
    flags.DEFINE_enum("variant", "lite", sorted(VARIANTS), "Variant of the networks.")
    flags.DEFINE_boolean("overwrite", False, "Replace the weights in the folder of --out.")
    flags.mark_flags_as_required(["from", "out"])
    app.run(main)
