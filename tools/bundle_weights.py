"""Copy trained weights into the package: exact ones as they are, others converted to float16.

    python -m tools.bundle_weights --from=RUN2/weights,RUN3/weights,RUN4/weights

Writes into `smapcomp/weights/VARIANT/`: `compnet.npz`, `finenet.npz`, `segmenter.npz` and
`smapnet.npz`; those of the lossy FineNets `finenet_x1.npz`, `finenet_x2.npz`, `finenet_x4.npz` and
`finenet_x8.npz` that are found; and `SHA256SUMS`, which the codec checks when it loads weights. To
replace some of the files and keep the others, name the folder itself in --from first. Equal weights
give equal bytes. Nothing is written unless all weights fit the networks, and float16 if they are
not exact, and are below 16 MiB together.

Exit status: 0 done; 1 a file is missing or does not fit, said in one line.
"""

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import app, flags

from smapcomp.errors import SmapcompError
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.keras_startup import import_keras
from smapcomp.models.exact_weights import is_exact
from smapcomp.zoo import (
    BUNDLED_WEIGHTS,
    CHECKSUMS_FILE,
    LOSSY_FINENETS,
    ROLES,
    VARIANTS,
    Networks,
    Variant,
)

FLAGS = flags.FLAGS

MAX_BYTES = 16 * 2**20
"""The weights of one variant must be smaller than this together."""

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Date of every entry: the earliest one that a zip archive can hold."""


def bundle_weights(folders: Sequence[str | os.PathLike], variant: Variant, target: Path) -> int:
    """Write the weights of a variant: exact ones as they are, others in float16.

    Args:
        folders: Folders with a file `ROLE.npz` for each of `smapcomp.zoo.ROLES`. If several have
            one, the last counts. Lossy FineNets may be missing.
        variant: Variant of the networks.
        target: Folder to write to; created if it does not exist.

    Returns:
        Size of all files of weights together, in bytes.

    Raises:
        SmapcompError: A file is missing, damaged or of another network; a value is not finite or
            too large for float16; the files have `MAX_BYTES` or more; the target has a lossy
            FineNet that the folders do not have.
    """
    files = {}
    lossy = [role for role in LOSSY_FINENETS if _find(folders, role)]
    for role in LOSSY_FINENETS:
        if role not in lossy and (target / f"{role}.npz").exists():
            raise SmapcompError(f"--from: no {role}.npz, which {target} has; name it there too")
    roles = [role for role in ROLES if role not in LOSSY_FINENETS]
    for role in (*roles, *lossy):
        path, arrays = _read(folders, role)
        if is_exact(arrays):
            files[f"{role}.npz"] = npz_bytes(arrays, compressed=True)
        else:
            halves = {key: _to_half(path, key, array) for key, array in arrays.items()}
            files[f"{role}.npz"] = npz_bytes(halves)
    total = sum(map(len, files.values()))
    if total >= MAX_BYTES:
        sizes = ", ".join(f"{name} {len(data)}" for name, data in files.items())
        raise SmapcompError(f"{total} bytes, allowed are less than {MAX_BYTES}: {sizes}")
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
    files[CHECKSUMS_FILE] = "".join(sums).encode()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        networks = Networks(variant, Path(folder))
        for role in (*roles, *lossy):
            networks.model(role)  # Raises an error if the weights do not fit the network.
        for name in files:
            os.replace(Path(folder) / name, target / name)
    return total


def npz_bytes(arrays: dict[str, np.ndarray], compressed: bool = False) -> bytes:
    """Return a file like `numpy.savez`'s that does not depend on the time or the arrays' order.

    Args:
        arrays: Arrays by name.
        compressed: Whether to compress them. Integers become a third shorter, floats hardly.
    """
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w") as archive:
        for key in sorted(arrays):
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(arrays[key]), version=(1, 0))
            entry = zipfile.ZipInfo(f"{key}.npy", ZIP_EPOCH)
            archive.writestr(entry, content.getvalue(), compress_type=method)
    return buffer.getvalue()


def _find(folders: Sequence[str | os.PathLike], role: str) -> Path | None:
    """Return the last file of a role, or `None`."""
    paths = [Path(folder) / f"{role}.npz" for folder in folders]
    return next((path for path in reversed(paths) if path.is_file()), None)


def _read(folders: Sequence[str | os.PathLike], role: str) -> tuple[Path, dict[str, np.ndarray]]:
    path = _find(folders, role)
    if path is None:
        raise SmapcompError(f"--from: no {role}.npz in {', '.join(map(str, folders))}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return path, dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise SmapcompError(f"{path}: not a readable file of weights: {error}") from None


def _to_half(path: Path, key: str, array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array).all():
        raise SmapcompError(f"{path}: {key} holds values that are not finite")
    with np.errstate(over="ignore"):
        half = array.astype("<f2")
    if not np.isfinite(half).all():
        raise SmapcompError(f"{path}: {key} holds {np.abs(array).max():g}, too large for float16")
    return half


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    refuse_arguments(arguments)
    import_keras()
    target = BUNDLED_WEIGHTS / FLAGS.variant
    with errors_in_one_line("bundle_weights"):
        total = bundle_weights(FLAGS["from"].value, VARIANTS[FLAGS.variant], target)
    print(f"{target}: {total} bytes of weights")


if __name__ == "__main__":
    flags.DEFINE_list("from", None, "folders of weights; the last one that has a file counts.")
    flags.DEFINE_enum("variant", "lite", sorted(VARIANTS), "variant of the networks.")
    flags.mark_flags_as_required(["from"])
    app.run(main)
