"""tools.bundle_weights: what the codec loads afterwards, and what is refused."""

import hashlib
import io
import shutil
import zipfile

import keras
import numpy as np
import pytest

from smapcomp import zoo
from smapcomp.errors import SmapcompError
from smapcomp.models.compnet import build_compnet
from smapcomp.models.finenet import build_finenet
from smapcomp.models.lossy_finenet import build_lossy_finenet
from smapcomp.models.pspnet import build_pspnet
from smapcomp.models.smapnet import build_smapnet
from smapcomp.models.weights import save_weights
from tests.helpers.exact_networks import random_network
from tools.bundle_weights import bundle_weights, npz_bytes

LITE = zoo.VARIANTS["lite"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two folders of weights, as two training stages leave them."""
    keras.utils.set_random_seed(1)
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    save_weights(build_compnet("lite"), first / "compnet.npz")
    save_weights(build_finenet("lite"), first / "finenet.npz")
    save_weights(build_smapnet("classes"), first / "smapnet.npz")
    segmenter = build_pspnet("efficientnet_lite0", auxiliary=True)
    save_weights(segmenter, second / "segmenter.npz", leave_out="auxiliary")
    (first / "segmenter.npz").write_bytes(b"an older file, which does not count")
    return first, second


def _changed(trained, tmp_path, change, role="smapnet", key="conv1/kernel"):
    """Return the folders and one more, with one array of one file changed."""
    with np.load(trained[0] / f"{role}.npz") as weights:
        arrays = dict(weights)
    arrays[key] = change(arrays[key])
    np.savez(tmp_path / f"{role}.npz", **arrays)
    return *trained, tmp_path


def test_the_codec_loads_the_bundled_weights_rounded_to_float16(trained, tmp_path):
    total = bundle_weights(trained, LITE, tmp_path / "bundle")
    names = sorted(path.name for path in (tmp_path / "bundle").iterdir())
    assert names == ["SHA256SUMS", "compnet.npz", "finenet.npz", "segmenter.npz", "smapnet.npz"]
    assert total == sum((tmp_path / "bundle" / name).stat().st_size for name in names[1:])
    finenet = zoo.cached_networks("lite", str(tmp_path / "bundle")).model("finenet")
    with np.load(trained[0] / "finenet.npz") as weights:
        exact = weights["conv0/kernel"]
    got = finenet.get_layer("conv0").kernel.numpy()
    np.testing.assert_array_equal(got, exact.astype(np.float16).astype(np.float32))
    assert not np.array_equal(got, exact)
    for line in (tmp_path / "bundle/SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "bundle" / name).read_bytes()).hexdigest() == digest


def test_exact_weights_are_bundled_as_they_are(trained, tmp_path):
    stored = random_network("smapnet")[1]
    np.savez(tmp_path / "smapnet.npz", **stored)
    bundle_weights((*trained, tmp_path), LITE, tmp_path / "bundle")
    networks = zoo.load_networks("lite", str(tmp_path / "bundle"))
    assert networks.is_exact("smapnet")
    for key, array in networks.arrays("smapnet").items():
        np.testing.assert_array_equal(array, stored[key])
        assert array.dtype == stored[key].dtype
    assert not networks.is_exact("segmenter")


def test_equal_weights_give_equal_bytes_whatever_the_order_and_time(trained, tmp_path):
    target = tmp_path / "bundle"
    with np.load(trained[0] / "finenet.npz") as weights:
        arrays = dict(weights)
    data = npz_bytes(arrays)
    assert data == npz_bytes(dict(reversed(arrays.items())))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    bundle_weights(trained, LITE, target)
    first = (target / "SHA256SUMS").read_bytes()
    shutil.rmtree(target)
    bundle_weights(trained, LITE, target)
    assert (target / "SHA256SUMS").read_bytes() == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: np.where(a == a.max(), np.nan, a), "conv1/kernel holds values that are not fin"),
        (lambda a: np.where(a == a.max(), np.inf, a), "conv1/kernel holds values that are not fin"),
        (lambda a: np.where(a == a.max(), -1e5, a), "conv1/kernel holds 100000, too large for flo"),
        (lambda a: a[..., 1:], r"smapnet.npz: conv1/kernel has shape \(3, 3, 64, 63\), not"),
        (lambda a: np.zeros((3000, 3000)), "bytes, allowed are less than 16777216: compnet.npz "),
    ],
    ids=["nan", "infinite", "overflow", "shape", "size"],
)
def test_weights_that_do_not_fit_are_refused_and_nothing_is_written(
    trained, tmp_path, change, message
):
    (tmp_path / "changed").mkdir()
    folders = _changed(trained, tmp_path / "changed", change)
    with pytest.raises(SmapcompError, match=message):
        bundle_weights(folders, LITE, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists() or not list((tmp_path / "bundle").iterdir())


def test_missing_and_damaged_files_are_named(trained, tmp_path):
    with pytest.raises(SmapcompError, match=r"--from: no compnet.npz in .*second"):
        bundle_weights(trained[1:], LITE, tmp_path / "bundle")
    with pytest.raises(SmapcompError, match=r"first.*segmenter.npz: not a readable file of weig"):
        bundle_weights(trained[:1], LITE, tmp_path / "bundle")


def test_lossy_finenets_are_bundled_and_not_removed_by_accident(trained, tmp_path):
    keras.utils.set_random_seed(2)
    (tmp_path / "lossy").mkdir()
    save_weights(build_lossy_finenet(2), tmp_path / "lossy/finenet_x2.npz")
    target = tmp_path / "bundle"
    total = bundle_weights((*trained, tmp_path / "lossy"), LITE, target)
    assert total == sum(path.stat().st_size for path in target.glob("*.npz"))
    sums = (target / "SHA256SUMS").read_text()
    digest = hashlib.sha256((target / "finenet_x2.npz").read_bytes()).hexdigest()
    assert f"{digest}  finenet_x2.npz\n" in sums
    with (
        np.load(tmp_path / "lossy/finenet_x2.npz") as exact,
        np.load(target / "finenet_x2.npz") as half,
    ):
        for key, array in exact.items():
            np.testing.assert_array_equal(half[key], array.astype("<f2"))
    with pytest.raises(SmapcompError, match=r"--from: no finenet_x2.npz, which .*bundle has"):
        bundle_weights(trained, LITE, target)
    bundle_weights((target, *trained), LITE, target)
    assert (target / "SHA256SUMS").read_text() == sums
