"""Ablations: tables of synthetic points, and the command with networks of one layer each."""

import csv
import dataclasses
import functools
import importlib
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from absl import app, flags
from PIL import Image
from scipy import stats

from evaluation import ablations, codecs
from evaluation.ablation_studies import compression, label_scores, runs, tables
from evaluation.analysis.statistics import Difference
from evaluation.measurement import harness
from evaluation.measurement.measure import measure_at_quality
from evaluation.measurement.points import Point
from experiments import tensorflow_run
from smapcomp import metrics, zoo
from smapcomp.errors import SmapcompError
from smapcomp.models.smapnet import build_smapnet
from smapcomp.training.stages import networks
from tests.helpers import light_networks

PICTURES = ("a", "b", "c", "d")


def _point(codec, picture, quality, bpp, psnr, **more):
    sizes = {"width": 64, "height": 48, "bytes": None, "version": "", "settings": ""}
    return Point(codec=codec, picture=picture, quality=quality, bpp=bpp, psnr=psnr, **sizes, **more)


def _row(rows, variant, against, figure, conditions=None):
    (found,) = (
        row
        for row in rows
        if (row.variant, row.against, row.figure) == (variant, against, figure)
        and conditions in (None, row.conditions)
    )
    return found


def _mode_points(bits, gain):
    """Return points of curves that are straight lines over log(bpp), one for each picture.

    Modes other than none gain `gain` dB at equal bits and take `bits` times the bits of mode none.
    """
    points = []
    rng = np.random.default_rng(1)
    places = {picture: rng.uniform(25, 32) for picture in PICTURES}
    for codec, ladder in compression.modes_ladders({}):
        none = "mode=none" in codec
        for picture, place in places.items():
            for quality in ladder:
                bpp = math.exp(quality / 30 - 2) * (1 if none else bits[picture])
                psnr = place + 4.5 * math.log(bpp) + (0 if none else gain[picture])
                extra = {"prediction_psnr": place - 1 + (0 if none else gain[picture])}
                points.append(_point(codec, picture, quality, bpp, psnr, **extra))
    return points


def test_a_mode_that_moves_along_the_curve_gains_nothing_at_equal_bits():
    bits = dict(zip(PICTURES, (1.10, 1.12, 1.08, 1.11), strict=True))
    rows = compression.modes_rows(_mode_points(bits, dict.fromkeys(PICTURES, 0.0)), {}, "made")
    conditions = "papers' design, quality 20"
    found = [
        _row(rows, "mapped", "none", figure, conditions)
        for figure in ("bits", "PSNR", "PSNR at equal bits")
    ]
    assert found[0].difference == pytest.approx(10.25)
    assert found[1].difference == pytest.approx(4.5 * np.mean(np.log(list(bits.values()))))
    assert found[2].difference == pytest.approx(0, abs=1e-9)
    words = [word.rstrip("?") for row, _, word in tables.with_verdicts(rows) if row in found]
    assert words == ["worse", "better", "noise"]
    assert _row(rows, "mapped", "matched", "PSNR", conditions).difference == 0


def test_gains_at_equal_bits_have_students_interval_over_the_pictures():
    gain = dict(zip(PICTURES, (0.10, 0.14, 0.05, 0.12), strict=True))
    rows = compression.modes_rows(_mode_points(dict.fromkeys(PICTURES, 0.9), gain), {}, "made")
    for figure, conditions in (
        ("PSNR at equal bits", "default design, quality 60"),
        ("prediction's PSNR", "papers' design"),
    ):
        found = _row(rows, "sent", "none", figure, conditions)
        wanted = stats.ttest_1samp(list(gain.values()), 0)
        interval = wanted.confidence_interval(0.95)
        assert found.difference == pytest.approx(0.1025)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
        assert found.p_value == pytest.approx(wanted.pvalue)
        assert found.count == 4


def test_a_compact_layer_that_takes_nine_tenths_of_the_bits_saves_ten_percent():
    share = {"lossless, CompNet": 1.0, "lossy, scale 8": 0.9, "lossy, any scale": 0.8}
    points = []
    for name, (options, ladder) in compression.COMPACT_LAYERS.items():
        codec = compression.codec_name({}, options)
        for picture in PICTURES:
            for place, quality in enumerate(ladder):
                bpp = 0.2 * 1.7**place * share[name]
                points.append(_point(codec, picture, quality, bpp, 28 + 3 * place))
    rows = compression.lossless_rows(points, {}, "made")
    for variant, against, rate in (
        ("lossy, scale 8", "lossless, CompNet", -10),
        ("lossy, any scale", "lossless, CompNet", -20),
        ("lossy, any scale", "lossy, scale 8", 100 * (0.8 / 0.9 - 1)),
    ):
        found = _row(rows, variant, against, "BD-rate, PSNR")
        assert (found.difference, found.low, found.high) == pytest.approx((rate,) * 3, abs=1e-3)
    assert {word for _, _, word in tables.with_verdicts(rows)} == {"better"}


def test_residual_coders_that_are_not_installed_are_left_out(monkeypatch):
    def missing(coder):
        return coder != "heic"

    monkeypatch.setattr(compression, "_installed", missing)
    names = [name for name, _ in compression.residual_ladders({})]
    assert [codecs.find(name).name for name in names] == names
    assert names == ["smapcomp:compact_coder=jxl"]


def test_missing_points_are_named():
    curves = compression.Curves([_point("smapcomp", "a", 40.0, 0.3, 30)])
    with pytest.raises(SmapcompError, match="smapcomp: no points of quality 60"):
        curves.at("smapcomp", 60)


def _noise_and_signal():
    clear, unclear = Difference(-2, -3, -1, 0.001, 24), Difference(0.1, -0.1, 0.3, 0.3, 24)
    doubtful = Difference(0.1, 0.01, 0.19, 0.03, 24)
    pair = "mapped", "none"
    return [
        tables.make_row("modes", "kodak", "quality 40", pair, tables.BITS, clear, 0.3),
        tables.make_row("modes", "kodak", "quality 40", pair, tables.PSNR, unclear, 31.5),
        tables.make_row("modes", "kodak", "quality 40", pair, tables.PREDICTION, doubtful, 25.5),
        tables.make_row("losses", "kodak", "9 steps", ("a", "b"), tables.PSNR, doubtful, 25.5),
    ]


def test_tables_name_protocol_and_pictures_and_have_verdicts(tmp_path):
    tables.write_tables(tmp_path, _noise_and_signal())
    lines = (tmp_path / "ablations.md").read_text("utf-8").splitlines()
    assert "## Modes, protocol `fair`: kodak" in lines
    assert "## Losses of FineNet, protocol `fair`: kodak" in lines
    start = "| quality 40 | mapped | none"
    bits, psnr, prediction, loss = (line for line in lines if "| 24 |" in line)
    assert bits == f"{start} | bits | 24 | 0.3000 bpp | −2.00 % (−3.00 to −1.00) | better |"
    assert psnr == f"{start} | PSNR | 24 | 31.50 dB | +0.100 dB (−0.100 to +0.300) | noise |"
    # One table has three differences and the other has one: Holm's method doubts only the former.
    assert prediction.endswith(" | better? |")
    assert loss.endswith(" | better |")
    with open(tmp_path / "ablations.csv", newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [row["verdict"] for row in written] == ["better", "noise", "better?", "better"]
    assert float(written[2]["p_value_holm"]) == pytest.approx(0.06)


def test_earlier_tables_are_kept(tmp_path):
    rows = _noise_and_signal()
    tables.write_tables(tmp_path, rows)
    kept = tables.read_rows(tmp_path / "ablations.csv")
    assert kept == rows
    other = dataclasses.replace(rows[0], pictures="ade")
    again = dataclasses.replace(rows[0], difference=-5.0)
    merged = tables.merge_rows(kept, [other, again])
    assert merged == [other, again, rows[3]]
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SmapcompError, match="not a file of ablations"):
        tables.read_rows(tmp_path / "other.csv")


# The command, with networks of one layer.


@pytest.fixture
def light(monkeypatch):
    """Replace all networks by tiny ones, for training and for coding."""
    small = functools.partial(build_smapnet, filters=4, blocks=1)
    for build in (*light_networks.BUILDERS, small):
        name = "build_smapnet" if build is small else build.__name__
        monkeypatch.setattr(networks, name, build)
        module = importlib.import_module(f"smapcomp.models.{name.removeprefix('build_')}")
        monkeypatch.setattr(module, name, build)
    zoo._networks_cache.cache_clear()


@pytest.fixture
def in_process(monkeypatch):
    """Measure in this process, as other processes would use the real networks."""

    def measure(ladders, pictures, folder, jobs):
        del folder, jobs
        return [
            measure_at_quality(codecs.find(name), picture, quality)
            for name, ladder in ladders
            for quality in ladder
            for picture in pictures
        ]

    monkeypatch.setattr(harness, "measure_qualities", measure)


@pytest.fixture
def weights(tmp_path, light):
    """Return a folder with weights of the tiny networks."""
    folder = tmp_path / "weights"
    folder.mkdir()
    rng = np.random.default_rng(7)
    builders = {
        "compnet": networks.build_compnet("light"),
        "finenet": networks.build_finenet("light"),
        "segmenter": networks.build_pspnet("light"),
        "smapnet": networks.build_smapnet("classes"),
    }
    for model in builders.values():
        for variable in model.trainable_variables:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    builders["compnet"].get_layer("mix").kernel.assign(np.eye(3)[None, None])
    networks.save_networks(builders, list(builders), str(folder))
    return folder


@pytest.fixture
def pictures(tmp_path):
    """Return a folder of labelled pictures with a training and a validation split."""
    root = tmp_path / "labelled"
    rng = np.random.default_rng(8)
    for split, count in (("training", 4), ("validation", 3)):
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True)
        for index in range(count):
            small = rng.integers(0, 256, (6, 8, 3), np.uint8)
            image = Image.fromarray(small).resize((64, 48), Image.Resampling.BICUBIC)
            image.save(root / f"images/{split}/{index}.png")
            label_map = rng.integers(0, 151, (6, 8), np.uint8).repeat(8, 0).repeat(8, 1)
            Image.fromarray(label_map).save(root / f"annotations/{split}/{index}.png")
    return root


def _values(*arguments):
    values = flags.FlagValues()
    ablations.define_flags(values)
    values(["", *arguments])
    return values


def _run(weights, out, *arguments):
    values = _values(f"--weights_dir={weights}", f"--out={out}", *arguments)
    ablations.measure_groups(ablations.selected_groups(values), values)
    return tables.read_rows(out / "ablations.csv")


def test_segmentation_scores_are_those_of_the_label_maps_and_are_kept(
    weights, pictures, tmp_path, monkeypatch
):
    arguments = ("--only=segmentation", f"--data={pictures}")
    rows = _run(weights, tmp_path / "out", *arguments)
    # The segmenter, by hand: the logits of each block of 8×8 pixels.
    with np.load(weights / "segmenter.npz") as arrays:
        kernel, bias = arrays["logits/kernel"], arrays["logits/bias"]
    confusion, shares = 0, []
    for index in range(3):
        image = np.array(Image.open(pictures / f"images/validation/{index}.png"))
        truth = np.array(Image.open(pictures / f"annotations/validation/{index}.png"))
        blocks = (image / 127.5 - 1).reshape(6, 8, 8, 8, 3).transpose(0, 2, 1, 3, 4)
        found = np.argmax(np.einsum("rcyxk,yxkn->rcn", blocks, kernel) + bias, -1) + 1
        one = metrics.confusion_matrix(truth, found.repeat(8, 0).repeat(8, 1))
        confusion = confusion + one
        shares.append(metrics.pixel_accuracy(one))
    for figure, value in (
        ("pixel accuracy, mean over pictures", np.mean(shares)),
        ("pixel accuracy, all pixels", metrics.pixel_accuracy(confusion)),
        ("mean IoU", metrics.mean_iou(confusion)),
    ):
        assert _row(rows, "x", "u", figure).value == pytest.approx(100 * value, abs=1e-4)
    assert {row.pictures for row in rows} == {"labelled, validation, lite networks"}

    def never(*_):
        raise AssertionError("scored again")

    monkeypatch.setattr(label_scores.segmentation, "label_maps", never)
    assert _run(weights, tmp_path / "out", *arguments) == rows


def test_every_representation_of_smapnet_is_trained_once_and_compared(
    weights, pictures, tmp_path, monkeypatch
):
    arguments = ("--only=smapnet", f"--data={pictures}", f"--train_data={pictures}")
    arguments += ("--train_steps=2", "--train_batch=2", "--smapnet_size=32")
    out = tmp_path / "out"
    rows = _run(weights, out, *arguments)
    for name, channels in (("classes", 150), ("index-1", 1), ("index-3", 3)):
        folder = out / "runs/smapnet/2x2x32" / name / "networks"
        with np.load(folder / "smapnet.npz") as arrays:
            assert arrays["norm/gamma"].shape == (channels,)
        for role in ("compnet", "segmenter"):
            assert (folder / f"{role}.npz").read_bytes() == (weights / f"{role}.npz").read_bytes()
    pairs = {(row.variant, row.against) for row in rows}
    assert pairs == {
        *((name, "none") for name in ("classes", "index-1", "index-3")),
        *((name, "classes") for name in ("index-1", "index-3")),
    }
    assert {row.conditions for row in rows} == {"2 steps of 2 × 32²"}
    started = []

    def counted(config, workdir):
        started.append(workdir)
        done = out / "runs/smapnet/2x2x32" / Path(workdir).name / "weights"
        shutil.copytree(done, Path(workdir) / "weights")

    monkeypatch.setattr(tensorflow_run, "run", counted)
    assert _run(weights, out, *arguments) == rows
    assert not started
    _run(weights, out, *arguments, "--train_steps=1")
    assert len(started) == 3
    (weights / "segmenter.npz").write_bytes((weights / "segmenter.npz").read_bytes() + b" ")
    with pytest.raises(SmapcompError, match="was started with other settings, data or networks"):
        _run(weights, out, *arguments)


def test_losses_train_finenet_only_and_are_compared_by_decoded_pictures(
    weights, pictures, tmp_path, monkeypatch, in_process
):
    monkeypatch.setattr(runs, "LOSSES", (runs.LOSSES[0], runs.LOSSES[1], runs.LOSSES[2]))
    folder = pictures / "images/validation"
    arguments = ("--only=losses", f"--pictures={folder}", f"--train_data={pictures}")
    arguments += ("--train_steps=3", "--train_batch=2", "--losses_size=32")
    out = tmp_path / "out"
    rows = _run(weights, out, *arguments)
    # Variants with VGG are left out without its weights; small pictures have no MS-SSIM.
    assert [(row.variant, row.against, row.figure) for row in rows] == [
        ("PSNR", "u, no FineNet", "PSNR"),
        ("PSNR + L1", "PSNR", "PSNR"),
    ]
    trained = []
    for name in ("psnr", "psnr-l1"):
        made = out / "runs/losses/3x2x32" / name
        for place, wanted in (("weights", 1e-7), ("networks", 0)):
            with (
                np.load(made / place / "compnet.npz") as ours,
                np.load(weights / "compnet.npz") as theirs,
            ):
                np.testing.assert_allclose(ours["mix/kernel"], theirs["mix/kernel"], atol=wanted)
        with np.load(made / "networks/finenet.npz") as arrays:
            trained.append(arrays["detail/kernel"])
    assert not np.array_equal(*trained)
    folder_option = f"weights_dir={out}/runs/losses/3x2x32/psnr/networks"
    assert {row.pictures for row in rows} == {"labelled, validation, lite networks"}
    name = f"smapcomp:mode=none,{folder_option},compact_coder=jxl,residual_coder=none"
    points = [measure_at_quality(codecs.find(name), path, 50) for path in sorted(folder.iterdir())]
    assert rows[0].value == pytest.approx(np.mean([point.psnr for point in points]), abs=1e-3)
    assert rows[0].value == pytest.approx(
        np.mean([point.prediction_psnr for point in points]), abs=1e-3
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only=mode", "--pictures=x"], "--only=mode is unknown; allowed: modes, lossless"),
        (["--only=modes"], "--only=modes: needs --pictures"),
        (["--only=smapnet", "--data=x"], "--only=smapnet: needs --train_data"),
        ([], "nothing to measure; set --pictures or --data"),
    ],
)
def test_missing_flags_of_a_group_are_named(arguments, message):
    with pytest.raises(app.UsageError, match=message):
        ablations.selected_groups(_values("--out=x", *arguments))


def test_without_only_all_groups_with_their_flags_are_measured(capsys):
    assert ablations.selected_groups(_values("--out=x", "--pictures=y")) == [
        "modes",
        "lossless",
        "residual",
    ]
    assert "group segmentation is left out without --data" in capsys.readouterr().err


def test_a_single_picture_is_refused_before_it_is_coded(weights, tmp_path):
    image = np.zeros((16, 16, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "alone.png")
    with pytest.raises(
        SmapcompError, match="has one picture; confidence intervals need two or more"
    ):
        _run(weights, tmp_path / "out", "--only=modes", f"--pictures={tmp_path}")


def test_a_missing_source_is_named(weights, tmp_path):
    with pytest.raises(SmapcompError, match="absent"):
        _run(weights, tmp_path / "out", "--only=segmentation", "--data=absent")
