"""Writes a SavedModel that needs nothing of this package to load."""

import json
import os
import secrets
import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from smapcomp import zoo
from smapcomp.ade20k import CLASS_NAMES, PALETTE
from smapcomp.errors import SmapcompError
from smapcomp.models.precision import POLICIES
from smapcomp.serving.signatures import build_signatures, model_digests, model_facts
from smapcomp.serving.warmup import write_warmup


def export(
    out: str | os.PathLike,
    variant: str = "lite",
    weights_dir: str | None = None,
    precision: str = "float32",
    overwrite: bool = False,
) -> dict:
    """Exports a variant.

    Args:
        out: Folder of the version, named by a number as servers want it: models/smapcomp/1.
        variant, weights_dir: As `zoo.load` takes them.
        precision: One of `contract.PRECISIONS`, that the networks compute in; weights are float32.
        overwrite: Replace a version that exists.

    Returns:
        What `model.json` has.

    Raises:
        SmapcompError: The folder may not be written, or there are no such weights.
    """
    target = check_version_folder(out, overwrite)
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        # Not `zoo.load`, whose networks are shared and were perhaps built under another policy.
        networks = zoo.load_anew(variant, weights_dir)
        return write_model(target, networks, precision, overwrite)
    finally:
        keras.config.set_dtype_policy(previous)


def check_version_folder(out: str | os.PathLike, overwrite: bool) -> Path:
    """The folder as a path, if it may be written.

    Raises:
        SmapcompError: It is not named by a number, exists, or is no folder.
    """
    target = Path(out)
    if not (target.name.isascii() and target.name.isdigit() and int(target.name) > 0):
        raise SmapcompError(
            f"{out}: the last folder is the version, a whole number from 1 up, "
            "such as models/smapcomp/1"
        )
    if target.exists() and not target.is_dir():
        raise SmapcompError(f"{out}: exists and is no folder")
    if target.exists() and not overwrite:
        raise SmapcompError(f"{out}: this version exists; --overwrite replaces it")
    return target


def write_model(target: Path, networks, precision: str, overwrite: bool = False) -> dict:
    """Writes the model of built networks under a temporary name and renames it.

    Args:
        target: Folder of the version.
        networks: `zoo.Networks` or alike.
        precision: That they were built for.
        overwrite: As `export` takes it.

    Raises:
        SmapcompError: The folder may not be written.
    """
    digests = model_digests(networks, precision)
    facts = {**model_facts(networks, precision), "digests": digests}
    module, signatures = build_signatures(networks, precision)
    # A server takes only folders named by a number, so it never sees an unfinished one.
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with tempfile.TemporaryDirectory() as assets:
            module.assets = [
                tf.saved_model.Asset(path) for path in _asset_files(Path(assets), facts)
            ]
            tf.saved_model.save(module, str(temporary), signatures=signatures)
        write_warmup(temporary, networks.variant.label_stride)
        _take_name(temporary, target, overwrite)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise SmapcompError(f"{target}: {reason}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return facts


def _asset_files(folder: Path, facts: dict) -> list[str]:
    """Class names and palette, a line for each label from 0 to 150, and what `describe` tells."""
    texts = {
        "classes.txt": "\n".join(CLASS_NAMES),
        "palette.txt": "\n".join(" ".join(map(str, colour)) for colour in PALETTE),
        "model.json": json.dumps(facts, indent=2),
    }
    for name, text in texts.items():
        (folder / name).write_text(text + "\n", encoding="utf-8")
    return [str(folder / name) for name in texts]


def _take_name(temporary: Path, target: Path, overwrite: bool) -> None:
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
