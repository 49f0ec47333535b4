"""tools.gather_weights: what the codec accepts afterwards, and what is refused."""

import re
import subprocess
import sys

import numpy as np
import pytest

import smapcomp
from smapcomp import zoo
from smapcomp.cli.main import main
from smapcomp.codec import layer_settings
from smapcomp.errors import SmapcompError
from smapcomp.metrics import psnr
from smapcomp.pictures.image_files import read_picture, write_picture
from smapcomp.pictures.picture import Picture
from tests.helpers import light_chain
from tests.helpers.paths import ROOT
from tools.gather_weights import find_weights, gather_weights


@pytest.fixture(scope="module")
def light():
    with pytest.MonkeyPatch.context() as patch:
        light_chain.lighten(patch)
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return light_chain.make_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module", params=["lite", "paper"])
def chain(request, light, pictures, tmp_path_factory):
    """Variant and folder of the runs of its four stages."""
    runs = tmp_path_factory.mktemp(request.param)
    light_chain.train_chain(pictures, runs, request.param)
    return request.param, runs


def _folders(runs, stages=light_chain.STAGES):
    return [runs / stage for stage in stages]


def test_four_stages_become_a_folder_that_the_command_line_compresses_with(
    chain, pictures, tmp_path, capsys
):
    variant, runs = chain
    files = find_weights(_folders(runs))
    assert {role: path.parent.parent.name for role, path in files.items()} == {
        "compnet": "stage3",
        "finenet": "stage3",
        "segmenter": "segmentation",
        "smapnet": "stage2",
    }
    out = tmp_path / "gathered"
    gather_weights(files, zoo.VARIANTS[variant], out)
    assert sorted(p.name for p in out.iterdir()) == sorted(f"{role}.npz" for role in files)
    for role, path in files.items():
        assert (out / f"{role}.npz").read_bytes() == path.read_bytes()
    picture = read_picture(pictures / "images/validation/0.png").samples
    write_picture(tmp_path / "in.png", Picture(picture))
    flags = [f"--weights_dir={out}"]
    layer_settings._warn_once.cache_clear()
    source, stream, back = (str(tmp_path / name) for name in ("in.png", "x.smc", "out.png"))
    assert main(["smapcomp", "compress", source, stream, f"--variant={variant}", *flags]) == 0
    assert "compressing in the papers' design" in capsys.readouterr().err
    assert main(["smapcomp", "decompress", stream, back, *flags]) == 0
    assert psnr(picture, read_picture(back).samples) > 20
    assert smapcomp.info(stream_bytes := (tmp_path / "x.smc").read_bytes())["variant"] == variant
    assert len(stream_bytes) > 100


def test_what_is_incomplete_or_of_another_variant_is_refused_in_one_line(chain, tmp_path):
    variant, runs = chain
    kind = zoo.VARIANTS[variant]
    with pytest.raises(SmapcompError, match=r"no design is complete; missing for .*smapnet"):
        gather_weights(find_weights(_folders(runs, ["stage1", "segmentation"])), kind, tmp_path)
    with pytest.raises(SmapcompError, match=f"--from: {re.escape(str(tmp_path))}/no: no such fol"):
        find_weights([tmp_path / "no"])
    with pytest.raises(SmapcompError, match=r"no weights of the codec's networks \(compnet.npz"):
        find_weights([tmp_path])
    files = find_weights(_folders(runs))
    np.savez(tmp_path / "compnet.npz", other=np.zeros(3))
    files["compnet"] = tmp_path / "compnet.npz"
    with pytest.raises(SmapcompError, match=rf"compnet.npz: variant '{variant}': missing weights"):
        gather_weights(files, kind, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_weights_that_exist_are_not_replaced_unless_asked_and_the_packages_never(chain, tmp_path):
    variant, runs = chain
    kind, files = zoo.VARIANTS[variant], find_weights(_folders(runs))
    out = tmp_path / "out"
    out.mkdir()
    (out / "finenet_x1.npz").write_bytes(b"old")
    with pytest.raises(SmapcompError, match=r"out: has finenet_x1.npz; --overwrite replaces"):
        gather_weights(files, kind, out)
    gather_weights(files, kind, out, overwrite=True)
    assert sorted(p.stem for p in out.iterdir()) == sorted(files)
    before = (zoo.BUNDLED_WEIGHTS / "lite/SHA256SUMS").read_bytes()
    with pytest.raises(SmapcompError, match=r"the package's own weights, which tools.bundle_wei"):
        gather_weights(files, kind, zoo.BUNDLED_WEIGHTS / "lite", overwrite=True)
    assert (zoo.BUNDLED_WEIGHTS / "lite/SHA256SUMS").read_bytes() == before


def test_the_command_gathers_the_bundled_weights_and_says_where_they_came_from(tmp_path):
    out = tmp_path / "copy"
    command = [sys.executable, "-m", "tools.gather_weights", f"--out={out}"]
    command.append(f"--from={zoo.BUNDLED_WEIGHTS / 'lite'}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"{out}: the papers' design: complete\n" in done.stdout
    assert f"{out}: lossy compact images: complete\n" in done.stdout
    digests = [zoo.load_networks("lite", x).digest("finenet") for x in (str(out), None)]
    assert digests[0] == digests[1]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "has compnet.npz; --overwrite replaces its weights"
    )
