"""Puts trained weights into the package, in float16.

    python -m tools.box_weights --from=RUN2/weights,RUN3/weights,RUN4/weights

Writes `smapcomp/weights/VARIANT/` with `compnet.npz`, `finenet.npz`, `segmenter.npz`,
`smapnet.npz`, those of the lossy FineNets `finenet_x1.npz`, `finenet_x2.npz`, `finenet_x4.npz` and
`finenet_x8.npz` that are found, and `SHA256SUMS`, which the codec checks when it loads them. The
folder itself may be among those of --from: what it has and no later one stays. The same weights
give the same bytes. Nothing is written unless all of them fit the networks, float16 and 16 MiB.

Exit status: 0 done; 1 something doesn't fit, said in one line.
"""

import hashlib
import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import app, flags

from smapcomp.errors import SmapcompError
from smapcomp.keras_startup import import_keras
from smapcomp.zoo import BOX, LOSSY_FINENETS, ROLES, SUMS, VARIANTS, Networks, Variant

FLAGS = flags.FLAGS

LIMIT = 16 * 2**20
"""Bytes that the weights of one variant must stay below."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can carry."""


def box(folders: Sequence[str | os.PathLike], variant: Variant, target: Path) -> int:
    """Writes the weights of a variant in float16.

    Args:
        folders: Folders with `ROLE.npz` for the roles of `smapcomp.zoo` and for lossy FineNets;
            the last that has one counts. Lossy FineNets may be missing.
        variant: Whose networks they are.
        target: Folder to write; created if it is not there.

    Returns:
        Bytes of all files of weights.

    Raises:
        SmapcompError: A file is missing, damaged or of another network; a value is no finite
            number or too large for float16; the files reach `LIMIT` together; the target has a
            lossy FineNet that the folders have not.
    """
    files = {}
    lossy = [role for role in LOSSY_FINENETS if _path(folders, role)]
    for role in LOSSY_FINENETS:
        if role not in lossy and (target / f"{role}.npz").exists():
            raise SmapcompError(f"--from: no {role}.npz, which {target} has; name it there too")
    roles = [role for role in ROLES if role not in LOSSY_FINENETS]
    for role in (*roles, *lossy):
        path, arrays = _read(folders, role)
        files[f"{role}.npz"] = npz_bytes({k: _half(path, k, array) for k, array in arrays.items()})
    total = sum(map(len, files.values()))
    if total >= LIMIT:
        sizes = ", ".join(f"{name} {len(data)}" for name, data in files.items())
        raise SmapcompError(f"{total} bytes, allowed are less than {LIMIT}: {sizes}")
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
    files[SUMS] = "".join(sums).encode()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        networks = Networks(variant, Path(folder))
        for role in roles:
            getattr(networks, role)  # builds it and loads its weights
        for role in lossy:
            networks.lossy_finenet(role)
        for name in files:
            os.replace(Path(folder) / name, target / name)
    return total


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """A file as `numpy.savez` writes, but depending on neither the time nor the arrays' order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for key in sorted(arrays):
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(arrays[key]), version=(1, 0))
            archive.writestr(zipfile.ZipInfo(f"{key}.npy", EPOCH), content.getvalue())
    return buffer.getvalue()


def _path(folders: Sequence[str | os.PathLike], role: str) -> Path | None:
    paths = [Path(folder) / f"{role}.npz" for folder in folders]
    return next((path for path in reversed(paths) if path.is_file()), None)


def _read(folders: Sequence[str | os.PathLike], role: str) -> tuple[Path, dict]:
    path = _path(folders, role)
    if path is None:
        raise SmapcompError(f"--from: no {role}.npz in {', '.join(map(str, folders))}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return path, dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise SmapcompError(f"{path}: not a readable file of weights: {error}") from None


def _half(path: Path, key: str, array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array).all():
        raise SmapcompError(f"{path}: {key} holds values that are no finite numbers")
    with np.errstate(over="ignore"):
        half = array.astype("<f2")
    if not np.isfinite(half).all():
        raise SmapcompError(f"{path}: {key} holds {np.abs(array).max():g}, too large for float16")
    return half


def main(arguments: Sequence[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    import_keras()
    target = BOX / FLAGS.variant
    try:
        total = box(FLAGS["from"].value, VARIANTS[FLAGS.variant], target)
    except (SmapcompError, OSError) as error:
        print(f"box_weights: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    print(f"{target}: {total} bytes of weights")


if __name__ == "__main__":
    flags.DEFINE_list("from", None, "Folders of weights; the last that has a file counts.")
    flags.DEFINE_enum("variant", "lite", sorted(VARIANTS), "Which networks.")
    flags.mark_flags_as_required(["from"])
    app.run(main)
