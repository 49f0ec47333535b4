"""Weights that go into the package: what the codec loads from there, and what is refused."""

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
from tools.box_weights import box, npz_bytes

LITE = zoo.VARIANTS["lite"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two folders as two stages leave them."""
    keras.utils.set_random_seed(1)
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    save_weights(build_compnet("lite"), first / "compnet.npz")
    save_weights(build_finenet("lite"), first / "finenet.npz")
    save_weights(build_smapnet("classes"), first / "smapnet.npz")
    segmenter = build_pspnet("efficientnet_lite0", auxiliary=True)
    save_weights(segmenter, second / "segmenter.npz", leave_out="auxiliary")
    (first / "segmenter.npz").write_bytes(b"an older one, which does not count")
    return first, second


def _changed(trained, tmp_path, change, role="smapnet", key="conv1/kernel"):
    """The folders and one more, with one array of one file changed."""
    with np.load(trained[0] / f"{role}.npz") as weights:
        arrays = dict(weights)
    arrays[key] = change(arrays[key])
    np.savez(tmp_path / f"{role}.npz", **arrays)
    return *trained, tmp_path


def test_the_codec_loads_what_was_boxed_rounded_to_float16(trained, tmp_path):
    total = box(trained, LITE, tmp_path / "box")
    names = sorted(path.name for path in (tmp_path / "box").iterdir())
    assert names == ["SHA256SUMS", "compnet.npz", "finenet.npz", "segmenter.npz", "smapnet.npz"]
    assert total == sum((tmp_path / "box" / name).stat().st_size for name in names[1:])
    finenet = zoo.load("lite", str(tmp_path / "box")).finenet
    with np.load(trained[0] / "finenet.npz") as weights:
        exact = weights["conv0/kernel"]
    got = finenet.get_layer("conv0").kernel.numpy()
    np.testing.assert_array_equal(got, exact.astype(np.float16).astype(np.float32))
    assert not np.array_equal(got, exact)
    for line in (tmp_path / "box/SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "box" / name).read_bytes()).hexdigest() == digest


def test_the_same_weights_give_the_same_bytes_whatever_the_order_and_time(trained, tmp_path):
    target = tmp_path / "box"
    with np.load(trained[0] / "finenet.npz") as weights:
        arrays = dict(weights)
    data = npz_bytes(arrays)
    assert data == npz_bytes(dict(reversed(arrays.items())))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    box(trained, LITE, target)
    first = (target / "SHA256SUMS").read_bytes()
    shutil.rmtree(target)
    box(trained, LITE, target)
    assert (target / "SHA256SUMS").read_bytes() == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: np.where(a == a.max(), np.nan, a), "conv1/kernel holds values that are no fin"),
        (lambda a: np.where(a == a.max(), np.inf, a), "conv1/kernel holds values that are no fin"),
        (lambda a: np.where(a == a.max(), -1e5, a), "conv1/kernel holds 100000, too large for flo"),
        (lambda a: a[..., 1:], r"smapnet.npz: conv1/kernel has shape \(3, 3, 64, 63\), not"),
        (lambda a: np.zeros((3000, 3000)), "bytes, allowed are less than 16777216: compnet.npz "),
    ],
    ids=["nan", "infinite", "overflow", "shape", "size"],
)
def test_weights_that_must_not_be_boxed_are_refused_and_nothing_is_written(
    trained, tmp_path, change, message
):
    (tmp_path / "changed").mkdir()
    folders = _changed(trained, tmp_path / "changed", change)
    with pytest.raises(SmapcompError, match=message):
        box(folders, LITE, tmp_path / "box")
    assert not (tmp_path / "box").exists() or not list((tmp_path / "box").iterdir())


def test_missing_and_damaged_files_are_named(trained, tmp_path):
    with pytest.raises(SmapcompError, match=r"--from: no compnet.npz in .*second"):
        box(trained[1:], LITE, tmp_path / "box")
    with pytest.raises(SmapcompError, match=r"first.*segmenter.npz: not a readable file of weig"):
        box(trained[:1], LITE, tmp_path / "box")


def test_lossy_finenets_that_are_there_are_boxed_and_not_lost_again(trained, tmp_path):
    keras.utils.set_random_seed(2)
    (tmp_path / "lossy").mkdir()
    save_weights(build_lossy_finenet(2), tmp_path / "lossy/finenet_x2.npz")
    target = tmp_path / "box"
    total = box((*trained, tmp_path / "lossy"), LITE, target)
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
    with pytest.raises(SmapcompError, match=r"--from: no finenet_x2.npz, which .*box has"):
        box(trained, LITE, target)
    box((target, *trained), LITE, target)
    assert (target / "SHA256SUMS").read_text() == sums
