"""SMapNet's representations: all are trained, coded and decoded, in both variants."""

import shutil

import numpy as np
import pytest
from PIL import Image

import smapcomp
from experiments import train
from smapcomp import zoo
from smapcomp.codec import api
from smapcomp.errors import SmapcompError
from smapcomp.metrics import psnr
from smapcomp.predictors.base import Compact
from smapcomp.predictors.engines import load_predictor
from smapcomp.predictors.local import to_signal, upsample_signal
from tests.helpers import light_chain
from tests.helpers.light_chain import train_stage

COMBINATIONS = [(v, r) for v in ("lite", "paper") for r in ("classes", "index")]


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """Replace the real networks by networks of one layer each, in training and in the codec."""
    light_chain.lighten(monkeypatch)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return light_chain.make_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def label_networks(pictures, tmp_path_factory):
    """Return a function that trains stage 1, the segmenter and SMapNet, once for each kind."""
    made = {}

    def trained(variant, representation):
        if (variant, representation) not in made:
            root = tmp_path_factory.mktemp(f"{variant}_{representation}")
            init = [train_stage(pictures, root / "stage1", "stage1", variant)]
            options = {"init": ",".join(init), "allow_random": True}
            init.append(
                train_stage(pictures, root / "segmentation", "segmentation", variant, **options)
            )
            options = {"init": ",".join(init), "representation": representation}
            init.append(train_stage(pictures, root / "stage2", "stage2", variant, **options))
            made[variant, representation] = init
        return made[variant, representation]

    return trained


def _logits(image, kernel, bias, stride):
    """Return the light segmenter's logits of `[h, w, 3]` with NumPy alone."""
    if stride == 1:
        image = np.pad(image, ((3, 4), (3, 4), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(image, (8, 8), axis=(0, 1))
    windows = windows[::stride, ::stride].astype(np.float64)
    return np.einsum("hwcij,ijco->hwo", windows, kernel) + bias


def _mapped_labels(folder, compact, stride, representation):
    """Return the label grid of mode "mapped" with NumPy alone."""
    segmenter, mapper = (dict(np.load(folder / f"{r}.npz")) for r in ("segmenter", "smapnet"))
    signal = upsample_signal(to_signal(compact), 8)[0]
    logits = _logits(signal, segmenter["logits/kernel"], segmenter["logits/bias"], stride)
    kernel, bias = mapper["conv_out/kernel"][0, 0].astype(np.float64), mapper["conv_out/bias"]
    if representation == "classes":
        return np.argmax(logits @ kernel + bias, -1) + 1
    index = (np.argmax(logits, -1) + 1) / 255
    channels = np.repeat(index[..., None], kernel.shape[0], -1) @ kernel + bias
    return np.clip(np.round(channels.mean(-1) * 255), 0, 150).astype(int)


@pytest.mark.parametrize(("variant", "representation"), COMBINATIONS)
def test_every_representation_is_trained_coded_and_decoded(
    pictures, label_networks, tmp_path, variant, representation
):
    """Stage 3 and the codec find the representation in the weights; nobody tells them."""
    init = label_networks(variant, representation)
    last = train_stage(pictures, tmp_path / "stage3", "stage3", variant, init=",".join(init))
    folder = tmp_path / "all"
    for source in (*init, last):
        shutil.copytree(source, folder, dirs_exist_ok=True)
    picture = np.asarray(Image.open(pictures / "images/validation/0.png"))
    options = {"variant": variant, "weights_dir": str(folder), "engine": "tensorflow"}
    data = smapcomp.compress(picture, mode="mapped", compact_coder="jxl", quality=60, **options)
    del options["variant"]
    stages = api.decode_stages(data, **options)
    assert stages.label_map is not None
    assert psnr(picture, stages.reconstruction) > 25
    compact = np.random.default_rng(4).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    predictor = load_predictor(variant, str(folder), "tensorflow")
    grid, _ = predictor.predict(Compact(compact, 8, quality=None), "mapped")
    stride = zoo.VARIANTS[variant].label_stride
    expected = _mapped_labels(folder, compact, stride, representation)
    # Rounding may decide between two labels that are equally likely.
    assert (grid == expected).mean() > 0.95
    assert len(np.unique(expected)) > 3


@pytest.mark.parametrize("stage", ["stage2", "stage3"])
def test_weights_of_another_representation_than_asked_for_are_one_line(
    pictures, label_networks, tmp_path, capsys, stage
):
    init = label_networks("lite", "classes")
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        train_stage(pictures, tmp_path, stage, "lite", init=",".join(init), representation="index")
    assert caught.value.code == train.EXIT_FAILED
    assert capsys.readouterr().err == (
        f"train: {init[-1]}/smapnet.npz: an SMapNet of representation 'classes'; "
        "config.model.representation is 'index'\n"
    )


def test_the_codec_refuses_an_smapnet_of_unknown_channels_in_one_line(tmp_path):
    np.savez(tmp_path / "smapnet.npz", **{"conv_out/kernel": np.zeros((3, 3, 64, 7), np.float32)})
    networks_ = zoo.Networks(zoo.VARIANTS["lite"], tmp_path)
    with pytest.raises(SmapcompError, match=r"smapnet.npz: an SMapNet of 7 channels is unknown"):
        networks_.model("smapnet")
    np.savez(tmp_path / "smapnet.npz", other=np.zeros(3, np.float32))
    networks_ = zoo.Networks(zoo.VARIANTS["lite"], tmp_path)
    with pytest.raises(SmapcompError, match=r"smapnet.npz: not weights of an SMapNet"):
        networks_.model("smapnet")
