import importlib.metadata
import subprocess
import sys
import tomllib

import numpy as np
import pytest

import smapcomp
from smapcomp.ade20k import CLASS_NAMES, PALETTE, colourise
from tests.helpers.paths import ROOT

HEAVY = ("tensorflow", "keras", "jax", "torch")


def modules_loaded_by(code: str) -> set[str]:
    """Names of the modules loaded after running `code` in a fresh interpreter."""
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
        "import smapcomp.pictures.image_files, smapcomp.metrics, smapcomp.ade20k, smapcomp.codec.bitstream.container",
        "from smapcomp.cli import main; main(['smapcomp', '--help'])",
        "from smapcomp.cli import main; main(['smapcomp', 'compress', '--help'])",
        "from smapcomp.cli import main; main(['smapcomp', 'compress', 'absent', 'out'])",
        "from smapcomp.cli import main; main(['', 'compare', *2 * ['docs/demo/photo.png']])",
    ],
)
def test_what_needs_no_network_does_not_load_tensorflow(code):
    loaded = modules_loaded_by(code)
    assert "smapcomp" in loaded
    assert not loaded.intersection(HEAVY)


def test_package_names_its_functions_and_no_others():
    assert {"compress", "decompress", "info"} <= set(dir(smapcomp))
    with pytest.raises(AttributeError, match="no attribute 'expand'"):
        _ = smapcomp.expand


def test_versions_agree():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert smapcomp.__version__ == declared


def test_installed_versions_are_the_pinned_ones():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert {"tensorflow", "keras", "numpy", "pillow"} <= set(pins)
    assert {name: importlib.metadata.version(name) for name in pins} == pins


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
