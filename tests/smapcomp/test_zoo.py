import hashlib
import shutil

import numpy as np
import pytest

from smapcomp import zoo
from smapcomp.errors import SmapcompError


@pytest.fixture
def box(tmp_path):
    """A copy of the weights in the box, which a test may damage."""
    return shutil.copytree(zoo.BOX / "lite", tmp_path / "lite")


def test_the_box_is_below_16_mib_and_matches_its_checksums():
    folder = zoo.BOX / "lite"
    files = {path.name: path.read_bytes() for path in folder.glob("*.npz")}
    assert sorted(files) == sorted(f"{role}.npz" for role in zoo.ROLES)
    assert sum(map(len, files.values())) < 16 * 2**20
    sums = dict(reversed(line.split()) for line in (folder / zoo.SUMS).read_text().splitlines())
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def test_a_damaged_weights_file_is_named(box):
    path = box / "finenet.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(SmapcompError, match=r"finenet\.npz: SHA256SUMS has no line"):
        zoo.Networks(zoo.VARIANTS["lite"], box).digest("finenet")


def test_weights_without_checksums_are_taken_but_must_be_weights(box):
    (box / zoo.SUMS).unlink()
    digest = zoo.Networks(zoo.VARIANTS["lite"], box).digest("finenet")
    assert digest == zoo.load("lite").digest("finenet")
    (box / "smapnet.npz").write_bytes(b"no weights")
    with pytest.raises(SmapcompError, match=r"smapnet\.npz: not a file of weights"):
        zoo.Networks(zoo.VARIANTS["lite"], box).digest("finenet")
    (box / "smapnet.npz").unlink()
    with pytest.raises(SmapcompError, match=r"smapnet\.npz: no such weights file"):
        zoo.Networks(zoo.VARIANTS["lite"], box).digest("finenet")


def test_weights_of_another_network_are_refused(box):
    (box / zoo.SUMS).unlink()
    shutil.copy(box / "compnet.npz", box / "finenet.npz")
    with pytest.raises(SmapcompError, match=r"finenet\.npz: missing weights"):
        _ = zoo.Networks(zoo.VARIANTS["lite"], box).finenet


def test_only_what_the_decoder_runs_is_the_models_identity(box):
    (box / zoo.SUMS).unlink()
    before = zoo.Networks(zoo.VARIANTS["lite"], box).digest("finenet")

    def change(role: str) -> bytes:
        with np.load(box / f"{role}.npz") as file:
            arrays = dict(file)
        first = sorted(arrays)[0]
        arrays[first] = arrays[first] + np.float16(0.5)
        np.savez(box / f"{role}.npz", **arrays)
        return zoo.Networks(zoo.VARIANTS["lite"], box).digest("finenet")

    assert change("compnet") == before
    for role in ("finenet", "segmenter", "smapnet"):
        assert change(role) != before


def test_each_compact_scale_has_an_identity_of_its_own(box):
    networks = zoo.Networks(zoo.VARIANTS["lite"], box)
    roles = ["finenet", *zoo.LOSSY_FINENETS]
    assert len({networks.digest(role) for role in roles}) == len(roles)
    assert zoo.finenet_role(8, lossy=False) == "finenet"
    assert zoo.finenet_role(8, lossy=True) == "finenet_x8"
    assert zoo.finenet_role(1, lossy=False) == "finenet_x1"
