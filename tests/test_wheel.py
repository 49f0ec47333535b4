"""The wheel, installed alone in a fresh environment with the packages that it asks for."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.paths import DEMO_PHOTO, ROOT

BUILT_FROM = ("smapcomp", "pyproject.toml", "README.md", "LICENSE")
HEAVY = ("tensorflow", "keras", "jax", "apache_beam", "grpc", "matplotlib")


def _run(*command: str | Path, folder: Path) -> str:
    """Run a command without this environment's paths, and return its standard output."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    result = subprocess.run(
        [*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Wheel of a copy of the sources, so that no build folder is left among them."""
    folder = tmp_path_factory.mktemp("wheel")
    download = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, "tqdm"]
    if subprocess.run(download, capture_output=True).returncode != 0:
        pytest.skip("pip finds no package index here")
    sources = folder / "sources"
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, sources / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, sources / name)
    _run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder, sources, folder=folder)
    (path,) = folder.glob("smapcomp-*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """Folder of the commands of an environment that has the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("environment")
    _run(sys.executable, "-m", "venv", folder, folder=folder)
    install = [folder / "bin/python", "-m", "pip", "install", "--constraint"]
    _run(*install, ROOT / "requirements.txt", wheel, folder=folder)
    return folder / "bin"


def test_the_wheel_has_the_package_with_its_weights_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"smapcomp"}
    for name in (
        "smapcomp/weights/lite/SHA256SUMS",
        "smapcomp/weights/lite/finenet_x1.npz",
        "smapcomp/predictors/graphs/lite/finenet_x1.onnx",
        "smapcomp/codec/operating_points.json",
    ):
        assert name in names


def test_a_light_install_compresses_and_decompresses_a_picture(environment, tmp_path):
    found = _run(
        environment / "python",
        "-c",
        f"import importlib.util as u; print([n for n in {HEAVY!r} if u.find_spec(n)])",
        folder=tmp_path,
    )
    assert found.strip() == "[]"
    _run(environment / "smapcomp", "compress", DEMO_PHOTO, "photo.smc", folder=tmp_path)
    _run(environment / "smapcomp", "decompress", "photo.smc", "back.png", folder=tmp_path)
    original, back = (
        np.asarray(Image.open(path).convert("RGB"), float)
        for path in (DEMO_PHOTO, tmp_path / "back.png")
    )
    assert 10 * np.log10(255**2 / np.mean((original - back) ** 2)) > 30
    assert (tmp_path / "photo.smc").stat().st_size < 50_000


def test_a_light_install_restores_a_picture_exactly(environment, tmp_path):
    _run(environment / "smapcomp", "compress", DEMO_PHOTO, "a.smc", "--lossless", folder=tmp_path)
    _run(environment / "smapcomp", "decompress", "a.smc", "back.png", folder=tmp_path)
    original, back = (
        np.asarray(Image.open(path).convert("RGB")) for path in (DEMO_PHOTO, tmp_path / "back.png")
    )
    np.testing.assert_array_equal(back, original)
