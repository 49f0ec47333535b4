"""The weights that come with the package, and how weights of a user are read."""

import hashlib
import shutil

import numpy as np
import pytest

from smapcomp import zoo
from smapcomp.errors import SmapcompError


@pytest.fixture
def weights(tmp_path):
    """A copy of the bundled weights that a test may damage."""
    return shutil.copytree(zoo.BUNDLED_WEIGHTS / "lite", tmp_path / "lite")


def test_the_bundled_weights_take_less_than_16_mib_and_match_their_checksums():
    folder = zoo.BUNDLED_WEIGHTS / "lite"
    files = {path.name: path.read_bytes() for path in folder.glob("*.npz")}
    assert sorted(files) == sorted(f"{role}.npz" for role in zoo.ROLES)
    assert sum(map(len, files.values())) < 16 * 2**20
    sums = dict(
        reversed(line.split()) for line in (folder / zoo.CHECKSUMS_FILE).read_text().splitlines()
    )
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def test_an_error_names_the_damaged_weights_file(weights):
    path = weights / "finenet.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(SmapcompError, match=r"finenet\.npz: SHA256SUMS has no line"):
        zoo.Networks(zoo.VARIANTS["lite"], weights).digest("finenet")


def test_weights_without_checksums_are_accepted_and_other_files_are_not(weights):
    (weights / zoo.CHECKSUMS_FILE).unlink()
    digest = zoo.Networks(zoo.VARIANTS["lite"], weights).digest("finenet")
    assert digest == zoo.cached_networks("lite").digest("finenet")
    (weights / "smapnet.npz").write_bytes(b"no weights")
    with pytest.raises(SmapcompError, match=r"smapnet\.npz: not a file of weights"):
        zoo.Networks(zoo.VARIANTS["lite"], weights).digest("finenet")
    (weights / "smapnet.npz").unlink()
    with pytest.raises(SmapcompError, match=r"smapnet\.npz: no such weights file"):
        zoo.Networks(zoo.VARIANTS["lite"], weights).digest("finenet")


def test_weights_of_another_network_are_refused(weights):
    (weights / zoo.CHECKSUMS_FILE).unlink()
    shutil.copy(weights / "compnet.npz", weights / "finenet.npz")
    with pytest.raises(SmapcompError, match=r"finenet\.npz: missing weights"):
        zoo.Networks(zoo.VARIANTS["lite"], weights).model("finenet")


def test_the_digest_depends_on_the_networks_of_the_decoder_and_not_on_compnet(weights):
    (weights / zoo.CHECKSUMS_FILE).unlink()
    before = zoo.Networks(zoo.VARIANTS["lite"], weights).digest("finenet")

    def change(role: str) -> bytes:
        with np.load(weights / f"{role}.npz") as file:
            arrays = dict(file)
        first = sorted(arrays)[0]
        arrays[first] = arrays[first] + np.float16(0.5)
        np.savez(weights / f"{role}.npz", **arrays)
        return zoo.Networks(zoo.VARIANTS["lite"], weights).digest("finenet")

    assert change("compnet") == before
    for role in ("finenet", "segmenter", "smapnet"):
        assert change(role) != before


def test_each_finenet_has_its_own_digest(weights):
    networks = zoo.Networks(zoo.VARIANTS["lite"], weights)
    roles = ["finenet", *zoo.LOSSY_FINENETS]
    assert len({networks.digest(role) for role in roles}) == len(roles)
    assert zoo.finenet_role(8, lossy=False) == "finenet"
    assert zoo.finenet_role(8, lossy=True) == "finenet_x8"
    assert zoo.finenet_role(1, lossy=False) == "finenet_x1"


def test_an_unknown_role_is_refused_with_the_allowed_ones():
    with pytest.raises(ValueError, match=r"role 'decoder' is unknown; allowed: compnet, finenet"):
        zoo.cached_networks("lite").model("decoder")
