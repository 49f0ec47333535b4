"""The package: what importing it loads, its version, its dependencies, its labels."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import smapcomp
from smapcomp.ade20k import CLASS_NAMES, PALETTE, colourise
from tests.helpers.paths import ROOT

HEAVY = ("tensorflow", "keras", "jax", "torch")


def modules_loaded_by(code: str) -> set[str]:
    """Return the names of the modules that are loaded after `code` has run in a new process."""
    script = f"import sys\n{code}\nprint('\\n' + ' '.join(sys.modules))"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import smapcomp; dir(smapcomp)",
        "import smapcomp.cli",
        "import smapcomp.pictures.picture, smapcomp.pillow",
        "import smapcomp.pictures.image_files, smapcomp.metrics, smapcomp.ade20k",
        "import smapcomp.codec.api, smapcomp.files",
        "import smapcomp.codec.bitstream.container",
        "from smapcomp.cli import main; main(['smapcomp', '--help'])",
        "from smapcomp.cli import main; main(['smapcomp', 'compress', '--help'])",
        "from smapcomp.cli import main; main(['smapcomp', 'compress', 'absent', 'out'])",
        "from smapcomp.cli import main; main(['', 'compare', *2 * ['docs/demo/photo.png']])",
    ],
)
def test_commands_and_modules_that_run_no_network_load_no_tensorflow(code):
    loaded = modules_loaded_by(code)
    assert "smapcomp" in loaded
    assert not loaded.intersection(HEAVY)


def test_package_names_its_functions_and_no_others():
    assert {"compress", "decompress", "info"} <= set(dir(smapcomp))
    with pytest.raises(AttributeError, match="no attribute 'expand'"):
        _ = smapcomp.expand


def test_the_package_has_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" in project["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", smapcomp.__version__)
    assert importlib.metadata.version("smapcomp") == smapcomp.__version__
    assert f"\n## [{smapcomp.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f'\nversion: "{smapcomp.__version__}"\n' in (ROOT / "CITATION.cff").read_text()


def pins() -> dict[str, str]:
    """Return the versions that requirements.txt and requirements-dev.txt pin."""
    lines = [
        line
        for name in ("requirements.txt", "requirements-dev.txt")
        for line in (ROOT / name).read_text().splitlines()
        if line and not line.startswith(("#", "-r "))
    ]
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines), "a package is pinned twice"
    return {canonicalize_name(name): version for name, version in found.items()}


def test_the_pinned_versions_are_installed():
    assert {name: importlib.metadata.version(name) for name in pins()} == pins()


def test_the_pins_are_of_what_the_package_asks_for_and_in_its_ranges():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    requirements = [Requirement(line) for lines in lists for line in lines]
    ranges = {
        canonicalize_name(requirement.name): requirement.specifier
        for requirement in requirements
        if requirement.name != "smapcomp"
    }
    assert set(ranges) == set(pins())
    assert [name for name, version in pins().items() if version not in ranges[name]] == []


def test_the_core_asks_for_no_training_framework():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {Requirement(line).name for line in project["dependencies"]}
    assert names == {"absl-py", "imagecodecs", "numpy", "onnxruntime", "pillow", "tqdm"}


def test_every_label_has_a_name_and_a_colour_of_its_own():
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 151
    # SceneParse150 orders its classes by how many pixels they cover.
    assert CLASS_NAMES[:6] == ("void", "wall", "building", "sky", "floor", "tree")
    assert CLASS_NAMES[150] == "flag"
    assert PALETTE.shape == (151, 3)
    assert PALETTE.dtype == np.uint8
    distances = np.abs(PALETTE[:, None].astype(int) - PALETTE[None]).sum(axis=2)
    assert distances[~np.eye(151, dtype=bool)].min() >= 10


def test_a_coloured_label_map_can_be_turned_back_into_labels():
    labels = np.random.default_rng(0).integers(0, 151, (20, 30))
    picture = colourise(labels)
    assert picture.shape == (20, 30, 3)
    back = np.argmax((picture[:, :, None] == PALETTE).all(axis=3), axis=2)
    np.testing.assert_array_equal(back, labels)
