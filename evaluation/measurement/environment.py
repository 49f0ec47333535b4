"""Where points were measured: machine and library versions, kept beside the points."""

import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path

from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files as image_io

PACKAGES = (
    *("smapcomp", "onnxruntime", "tensorflow", "keras", "numpy", "pillow", "pillow-heif"),
    *("imagecodecs", "ssimulacra2", "bjontegaard", "scipy"),
)


def describe() -> dict:
    """Machine, system and versions; JSON-ready."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": versions,
    }


def key(environment: dict) -> str:
    """8 hexadecimal digits by which the points of an environment name it."""
    text = json.dumps(environment, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def read_environments(path: str | Path) -> dict[str, dict]:
    """Key to environment of a file that `record` wrote; empty if there is none.

    Raises:
        SmapcompError: It does not read.
    """
    try:
        return json.loads(Path(path).read_text("utf-8")) if Path(path).exists() else {}
    except (OSError, ValueError) as error:
        raise SmapcompError(f"{path}: does not read: {error}") from error


def record(path: str | Path) -> str:
    """Adds this environment to a file of them and returns its key."""
    known = read_environments(path)
    here = describe()
    if key(here) not in known:
        known[key(here)] = here
        text = json.dumps(known, indent=1) + "\n"
        image_io.write_file(path, text.encode(), overwrite=True)
    return key(here)


def _processor() -> str:
    """Its model, where Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
