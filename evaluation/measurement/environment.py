"""Description of the machine and the libraries that points were measured with."""

import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path

from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files

PACKAGES = (
    *("smapcomp", "onnxruntime", "tensorflow", "keras", "numpy", "pillow", "pillow-heif"),
    *("imagecodecs", "ssimulacra2", "bjontegaard", "scipy"),
)
"""Packages whose versions are recorded."""


def current_environment() -> dict:
    """Return processor, system and versions of this process, ready for JSON."""
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


def environment_key(environment: dict) -> str:
    """Return the 8 hexadecimal digits by which points refer to an environment."""
    text = json.dumps(environment, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def read_environments(path: str | Path) -> dict[str, dict]:
    """Read a file that `record_environment` wrote.

    Returns:
        Key to environment; empty if there is no such file.

    Raises:
        SmapcompError: The file cannot be read.
    """
    try:
        return json.loads(Path(path).read_text("utf-8")) if Path(path).exists() else {}
    except (OSError, ValueError) as error:
        raise SmapcompError(f"{path}: cannot be read: {error}") from error


def record_environment(path: str | Path) -> str:
    """Add the environment of this process to a file and return its key."""
    known = read_environments(path)
    here = current_environment()
    if environment_key(here) not in known:
        known[environment_key(here)] = here
        text = json.dumps(known, indent=1) + "\n"
        image_files.write_file(path, text.encode(), overwrite=True)
    return environment_key(here)


def _processor() -> str:
    """Return the processor's model; on other systems than Linux, Python's description of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
