"""Export of the networks as a SavedModel that can be loaded without this package."""

import json
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from smapcomp import zoo
from smapcomp.ade20k import CLASS_NAMES, PALETTE
from smapcomp.errors import SmapcompError
from smapcomp.models.precision import POLICIES
from smapcomp.serving.signatures import build_signatures, model_digests, model_properties
from smapcomp.serving.warmup import write_warmup


def export_model(
    out: str | os.PathLike,
    variant: str = "lite",
    weights_dir: str | None = None,
    precision: str = "float32",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Export the networks of a variant.

    Args:
        out: Folder of the version, whose name is a number, as in models/smapcomp/1.
        variant: Key of `zoo.VARIANTS`.
        weights_dir: Folder of the weights; `None` for the bundled weights.
        precision: Type in which the networks compute, one of `contract.PRECISIONS`. The weights are
            float32.
        overwrite: Whether an existing version may be replaced.

    Returns:
        Contents of `model.json`.

    Raises:
        SmapcompError: The folder cannot be written, or there are no such weights.
    """
    target = check_version_folder(out, overwrite)
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        # Cached networks may have been built under another policy.
        networks = zoo.load_networks(variant, weights_dir)
        return write_model(target, networks, precision, overwrite)
    finally:
        keras.config.set_dtype_policy(previous)


def check_version_folder(out: str | os.PathLike, overwrite: bool) -> Path:
    """Check that a version may be written to a folder, and return the folder's path.

    Raises:
        SmapcompError: The name is not a number, or the folder exists.
    """
    target = Path(out)
    if not (target.name.isascii() and target.name.isdigit() and int(target.name) > 0):
        raise SmapcompError(
            f"{out}: the last folder is the version, a whole number from 1 up, "
            "such as models/smapcomp/1"
        )
    if target.exists() and not target.is_dir():
        raise SmapcompError(f"{out}: exists and is not a folder")
    if target.exists() and not overwrite:
        raise SmapcompError(f"{out}: this version exists; --overwrite replaces it")
    return target


def write_model(
    target: Path, networks: zoo.Networks, precision: str, overwrite: bool = False
) -> dict[str, Any]:
    """Write the model of networks; it appears whole or not at all.

    Args:
        target: Folder of the version.
        networks: Networks, built for the precision.
        precision: One of `contract.PRECISIONS`.
        overwrite: Whether an existing version may be replaced.

    Returns:
        Contents of `model.json`.

    Raises:
        SmapcompError: The folder cannot be written.
    """
    digests = model_digests(networks, precision)
    properties = {**model_properties(networks, precision), "digests": digests}
    module, signatures = build_signatures(networks, precision)
    # A server loads only folders that are named by a number, so it never loads an unfinished one.
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with tempfile.TemporaryDirectory() as assets:
            module.assets = [
                tf.saved_model.Asset(path) for path in _write_assets(Path(assets), properties)
            ]
            tf.saved_model.save(module, str(temporary), signatures=signatures)
        write_warmup(temporary, networks.variant.label_stride, networks.finenets)
        _rename(temporary, target, overwrite)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise SmapcompError(f"{target}: {reason}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return properties


def _write_assets(folder: Path, properties: dict[str, Any]) -> list[str]:
    """Write the model's assets and return their paths.

    They are class names and palette, with a line for each label in 0..150, and the properties.
    """
    texts = {
        "classes.txt": "\n".join(CLASS_NAMES),
        "palette.txt": "\n".join(" ".join(map(str, colour)) for colour in PALETTE),
        "model.json": json.dumps(properties, indent=2),
    }
    for name, text in texts.items():
        (folder / name).write_text(text + "\n", encoding="utf-8")
    return [str(folder / name) for name in texts]


def _rename(temporary: Path, target: Path, overwrite: bool) -> None:
    """Rename a folder; a folder that it replaces is removed afterwards, or kept on failure."""
    if not (overwrite and target.exists()):
        os.rename(temporary, target)
        return
    old = temporary.with_suffix(".old")
    os.rename(target, old)
    try:
        os.rename(temporary, target)
    except OSError:
        os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)
