"""A folder in which the commands of the documentation run, with everything that they name.

It holds a copy of the packages, so that nothing is left in the checkout, and small synthetic data
under the names that the pages use.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers.full_ade20k import write_full_ade20k
from tests.helpers.paths import DEMO_PHOTO, ROOT
from tests.helpers.pictures import block_labels, encode_image, smooth_picture
from tests.helpers.public_weights import lite0_state

PACKAGES = ("smapcomp", "data", "experiments", "evaluation", "tools", "serving", "tests/helpers")
FILES = ("Makefile", "pyproject.toml", "requirements.txt", "requirements-dev.txt")

SIDE = 80
"""Height of the synthetic pictures. Their width is 96."""

PROGRAMS = {
    "python": f'exec "{sys.executable}" "$@"',
    "smapcomp": f'exec "{sys.executable}" -m smapcomp "$@"',
}
"""Programs that `make venv` installs. They run the interpreter of the tests."""

TORCH = '''"""What tools.import_efficientnet uses of PyTorch, for arrays in NumPy's format."""

import types

import numpy as np


def load(path, map_location, weights_only):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file}
    return {
        name: types.SimpleNamespace(numpy=lambda array=array: array)
        for name, array in arrays.items()
    }
'''


def make_folder(root: Path) -> Path:
    """Fill a folder with copies of the packages, the programs and the data sets.

    Args:
        root: Empty folder.

    Returns:
        The folder.
    """
    for name in PACKAGES:
        ignored = shutil.ignore_patterns(".*", "*.pyc")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    for name in FILES:
        shutil.copyfile(ROOT / name, root / name)
    make_programs(root)
    make_placeholders(root)
    return root


def make_placeholders(root: Path) -> None:
    """Write the data sets, pictures and weights that the pages name."""
    for name in ("ADEChallengeData2016", "DATA", "DIR", "SOURCE", "photos", "photos_file"):
        write_labelled_folder(root / name)
    for name in ("photos_256", "photos_raw"):
        write_labelled_folder(root / name)
    write_full_ade20k(root / "ADE20K_2021_17_01")
    for number, name in enumerate(("kodim09", "kodim18")):  # DIR is also a folder of pictures.
        picture = encode_image(smooth_picture(number, SIDE, 96))
        (root / "DIR" / f"{name}.png").write_bytes(picture)
    photo = Image.open(DEMO_PHOTO).convert("RGB")
    photo = photo.resize((96, SIDE), Image.Resampling.LANCZOS)
    photo.save(root / "photo.jpg", quality=95)
    photo.save(root / "photo.png")
    write_public_weights(root)


def make_programs(root: Path) -> None:
    """Write `python` and `smapcomp` to `bin` and to `.venv/bin`."""
    for folder in (root / "bin", root / ".venv" / "bin"):
        folder.mkdir(parents=True)
        for name, line in PROGRAMS.items():
            program = folder / name
            program.write_text(f"#!/bin/sh\n{line}\n")
            program.chmod(0o755)


def write_labelled_folder(root: Path) -> None:
    """Write two pictures for each split, in ADE20K's layout."""
    for number, split in enumerate(("training", "training", "validation", "validation")):
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        image = smooth_picture(number, SIDE, 96)
        picture = encode_image(image, "JPEG", quality=95)
        (root / "images" / split / f"p{number}.jpg").write_bytes(picture)
        labels = encode_image(block_labels(number, SIDE, 96))
        (root / "annotations" / split / f"p{number}.png").write_bytes(labels)


def write_public_weights(root: Path) -> None:
    """Write random values as EfficientNet-Lite0's public weights, and a stand-in for PyTorch."""
    rng = np.random.default_rng(0)
    state = {}
    for name, array in lite0_state().items():
        is_scale = array.ndim == 1 and name.endswith(("weight", "running_var"))
        values = np.ones(array.shape) if is_scale else rng.normal(0, 0.05, array.shape)
        state[name] = values.astype(np.float32)
    with open(root / "efficientnet-lite0-57934424.pth", "wb") as file:
        np.savez(file, **state)
    (root / "stand_ins").mkdir()
    (root / "stand_ins" / "torch.py").write_text(TORCH)


def write_keras_weights(root: Path) -> None:
    """Write random values as VGG19.npz, vgg16.npz and RESNET50.npz, in the form that loads."""
    import keras

    from smapcomp.models import backbones, vgg
    from smapcomp.models.weights import save_weights

    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    resnet = keras.Model(image, backbones.resnet(image, "resnet50")[-1])
    save_weights(resnet, str(root / "RESNET50.npz"), "float16")
    for name, build in (
        ("VGG19", vgg.build_vgg19_features),
        ("vgg16", vgg.build_vgg16_features),
    ):
        arrays = {
            f"{layer.name}_{kind}": np.asarray(getattr(layer, kind), np.float16)
            for layer in build().layers
            if isinstance(layer, keras.layers.Conv2D)
            for kind in ("kernel", "bias")
        }
        np.savez(root / f"{name}.npz", **arrays)


def add_bundled_weights(root: Path, *folders: str) -> None:
    """Copy the package's weights to folders, in the place of runs that are not made."""
    for folder in folders:
        shutil.copytree(ROOT / "smapcomp" / "weights" / "lite", root / folder)
        (root / folder / "SHA256SUMS").unlink()
