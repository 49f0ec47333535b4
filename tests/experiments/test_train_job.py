"""The training job: every stage from its configuration, and its error messages."""

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data.batches import pipeline
from experiments import backends, train
from smapcomp.models.compnet import build_compnet
from smapcomp.models.precision import POLICIES
from smapcomp.models.weights import load_weights
from smapcomp.training import monitor
from smapcomp.training.config import TrainingConfig
from smapcomp.training.config_groups import PRECISIONS, STAGES
from smapcomp.training.probe_curves import probe_curves
from smapcomp.training.stages import networks
from tests.helpers import light_networks
from tests.helpers.event_files import written_graphs, written_tensors
from tests.helpers.forked import Forked
from tests.helpers.paths import ROOT
from tests.helpers.ports import free_ports
from tests.helpers.training_configs import full_names
from tools import training_curves

SIZE = 32
DEFAULTS = {
    "steps": 1,
    "batch_size": 2,
    "pictures": 1,
    "codec_pictures": 0,
    "precision": "float32",
    "cache_mib": 0,
}
"""Fields of the configuration that a test does not set."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    for split, count in (("training", 4), ("validation", 2)):
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True)
        for index in range(count):
            image = rng.integers(0, 256, (48, 40, 3), dtype=np.uint8)
            labels = rng.integers(0, 151, (48, 40), dtype=np.uint8)
            Image.fromarray(image).save(root / f"images/{split}/{index}.png")
            Image.fromarray(labels).save(root / f"annotations/{split}/{index}.png")
    return str(root)


def _config(pictures, stage, **changes):
    """Return the stage's configuration for a run of one step, with some fields changed."""
    config = importlib.import_module(f"experiments.configs.{stage}_lite").get_config()
    defaults = DEFAULTS | {"source": pictures, "size": SIZE}
    if stage == "segmentation":
        defaults |= {"rules": ((".*", 1.0),), "allow_random": True}
    config.update_from_flattened_dict(full_names(defaults | changes))
    return config


def _run(pictures, workdir, stage, **changes):
    train.train(_config(str(pictures), stage, **changes), str(workdir))


def _failure(capsys, *arguments, status=train.EXIT_FAILED, **changes):
    with pytest.raises(SystemExit) as caught:
        _run(*arguments, **changes)
    assert caught.value.code == status
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


@pytest.fixture(scope="module")
def stage1(pictures, tmp_path_factory):
    """Folder of the weights after two steps of stage 1."""
    workdir = tmp_path_factory.mktemp("stage1")
    _run(pictures, workdir, "stage1", steps=2, codec_pictures=1)
    return workdir / "weights"


def test_stage1_leaves_weights_that_training_has_changed(stage1):
    assert sorted(p.name for p in stage1.iterdir()) == ["compnet.npz", "finenet.npz", "rate.npz"]
    trained = build_compnet("lite")
    before = trained.get_layer("correction").kernel.numpy()
    load_weights(trained, stage1 / "compnet.npz")
    after = trained.get_layer("correction").kernel.numpy()
    assert not np.array_equal(before, after)
    assert np.isfinite(after).all()


def _lighten(patch):
    for build in light_networks.BUILDERS:
        patch.setattr(networks, build.__name__, build)


@pytest.fixture
def light(monkeypatch):
    """Replace the real networks by networks of one layer each."""
    _lighten(monkeypatch)


@pytest.fixture(scope="module")
def light_run(pictures, tmp_path_factory):
    """Folder of a run of one step of stage 1 on light networks."""
    workdir = tmp_path_factory.mktemp("light")
    with pytest.MonkeyPatch.context() as patch:
        _lighten(patch)
        _run(pictures, workdir, "stage1")
    return workdir


def test_a_finished_run_says_so(pictures, light, light_run, tmp_path, capsys):
    shutil.copytree(light_run, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / "weights/finenet.npz").read_bytes()
    capsys.readouterr()
    _run(pictures, tmp_path, "stage1")
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == (
        f"{tmp_path}: this run has finished, with 1 of 1 steps; nothing was trained. A larger "
        "--config.run.steps or .epochs continues it; another --workdir starts a new one"
    )
    assert "stage1 1/1" not in printed.err
    assert (tmp_path / "weights/finenet.npz").read_bytes() == before


@pytest.mark.parametrize("size", [32, 168])
@pytest.mark.parametrize("stage", ["stage1", "segmentation", "stage2", "stage3"])
def test_the_curves_that_best_metric_may_name_are_those_that_probes_measure(
    pictures, light, tmp_path, monkeypatch, stage, size
):
    measured: set[str] = set()
    record = monitor.RunMonitor.record

    def spy(self, step, probes, scores, variables):
        measured.update(scores)
        return record(self, step, probes, scores, variables)

    monkeypatch.setattr(monitor.RunMonitor, "record", spy)
    changes = {"size": size, "codec_pictures": 1, "allow_random": True, "fit": "resize"}
    changes |= {"scales": (), "best_metric": ""}
    _run(pictures, tmp_path, stage, **changes)
    config = TrainingConfig.from_dict(_config(pictures, stage, **changes).to_dict())
    assert measured == set(probe_curves(config, "tensorflow"))


def test_the_later_stages_start_from_the_weights_of_the_earlier_ones(pictures, light, tmp_path):
    init = []
    for stage, roles in (
        ("stage1", ["compnet", "finenet", "rate"]),
        ("segmentation", ["segmenter"]),
        ("stage2", ["smapnet"]),
        ("stage3", ["compnet", "finenet", "rate"]),
    ):
        # A learning rate of 0 keeps the initial weights.
        rate = 0 if stage == "stage3" else 0.1
        options = {"init": ",".join(init), "optimizer.learning_rate": float(rate)}
        options["codec_pictures"] = 1
        _run(pictures, tmp_path / stage, stage, **options)
        weights = tmp_path / stage / "weights"
        assert sorted(p.stem for p in weights.iterdir()) == roles
        init.append(str(weights))
    first, last = (np.load(tmp_path / s / "weights/finenet.npz") for s in ("stage1", "stage3"))
    np.testing.assert_array_equal(first["detail/kernel"], last["detail/kernel"])
    with np.load(tmp_path / "segmentation/weights/segmenter.npz") as segmenter:
        assert segmenter.files == ["logits/kernel", "logits/bias"]


@pytest.fixture
def codec_weights(tmp_path):
    """Folder with the weights of one-layer networks that stage 2 starts from."""
    folder = tmp_path / "initial"
    folder.mkdir()
    kernels = {"mix": (1, 1, 3, 3), "logits": (8, 8, 3, 150)}
    for role, layer in (("compnet", "mix"), ("segmenter", "logits")):
        shape = kernels[layer]
        kernel = np.random.default_rng(2).normal(0, 1, shape).astype(np.float32)
        arrays = {f"{layer}/kernel": kernel, f"{layer}/bias": np.zeros(shape[-1], np.float32)}
        np.savez(folder / f"{role}.npz", **arrays)
    return str(folder)


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        ({}, 150),
        ({"representation": "index"}, 3),
        ({"representation": "index", "channels": 1}, 1),
    ],
)
def test_stage2_trains_the_smapnet_that_is_asked_for(
    pictures, light, codec_weights, tmp_path, options, channels
):
    _run(pictures, tmp_path, "stage2", init=codec_weights, **options)
    with np.load(tmp_path / "weights/smapnet.npz") as smapnet:
        assert smapnet["conv_out/kernel"].shape == (1, 1, channels, channels)


@pytest.mark.parametrize("stage", ["stage1", "segmentation"])
def test_bfloat16_and_cached_pictures_train_weights_in_float32_close_to_those_without(
    pictures, light, codec_weights, tmp_path, stage
):
    found = []
    for name, options in (("exact", {}), ("half", {"precision": "bfloat16", "cache_mib": 1})):
        options |= {"steps": 2, "optimizer.learning_rate": 0.01, "init": codec_weights}
        _run(pictures, tmp_path / name, stage, **options)
        assert keras.config.dtype_policy().name == "float32"
        role = {"stage1": "finenet", "segmentation": "segmenter"}[stage]
        with np.load(tmp_path / name / f"weights/{role}.npz") as weights:
            found.append(weights[weights.files[0]])
    exact, half = found
    assert half.dtype == np.float32
    assert not np.array_equal(exact, half)
    np.testing.assert_allclose(half, exact, atol=0.025)


def test_float16_trains_with_a_loss_scale(pictures, light, tmp_path):
    _run(pictures, tmp_path, "stage1", steps=2, precision="float16", average_decay=0.9)
    with np.load(tmp_path / "checkpoints/step-00000002.npz") as saved:
        (key,) = (key for key in saved.files if key.endswith("dynamic_scale"))
        assert saved[key] == 2.0**15
        averages = [key for key in saved.files if key.endswith("_average")]
        mix = saved[averages[0]]
    with np.load(tmp_path / "weights/compnet.npz") as weights:
        np.testing.assert_array_equal(weights["mix/kernel"], mix)


def test_half_precision_leaves_the_rate_and_label_indices_in_float32(light, codec_weights):
    for stage, roles in (
        ("stage1", {"finenet": "bfloat16", "rate": "float32"}),
        ("stage2", {"segmenter": "bfloat16", "smapnet": "float32"}),
    ):
        changes = {"init": codec_weights, "representation": "index", "precision": "bfloat16"}
        config = TrainingConfig.from_dict(_config("unused", stage, **changes).to_dict())
        models = networks.build_stage(config).models
        for role, dtype in roles.items():
            assert models[role].layers[-1].compute_dtype == dtype, role


def test_a_terminated_job_saves_exits_with_75_and_continues_from_there(
    pictures, light, tmp_path, capsys, monkeypatch
):
    options = {"steps": 6, "log_every": 1}
    with monkeypatch.context() as patch:
        batches = pipeline.training_batches

        def terminated(*args, **options):
            for number, batch in enumerate(batches(*args, **options)):
                if number == 2:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield batch

        patch.setattr(pipeline, "training_batches", terminated)
        with pytest.raises(SystemExit) as caught:
            _run(pictures, tmp_path, "stage1", **options)
    assert caught.value.code == 75
    assert capsys.readouterr().err.endswith(
        "interrupted after step 3; the same command continues\n"
    )
    _run(pictures, tmp_path, "stage1", **options)
    assert capsys.readouterr().err.startswith("stage1 4/6 [")


def test_a_job_killed_at_any_moment_ends_with_the_weights_of_one_that_was_not(
    pictures, light, tmp_path, capsys
):
    fields = {"steps": 60, "checkpoint_every": 3, "average_decay": 0.9, "validate_every": 30}
    killed = _start(pictures, tmp_path / "killed", "default", {}, **fields)
    checkpoint = tmp_path / "killed/checkpoints/step-00000003.npz"
    until = time.monotonic() + 120
    while not checkpoint.exists() and killed.status is None:
        assert time.monotonic() < until
        time.sleep(0.002)
    killed.kill()
    _, errors = killed.end(120)
    assert killed.status == -signal.SIGKILL, errors[-2000:]
    assert checkpoint.exists()
    for name in ("killed", "whole"):
        capsys.readouterr()
        _run(pictures, tmp_path / name, "stage1", **fields)
        assert "stage1 60/60" in capsys.readouterr().err
    for name in ("checkpoints/step-00000060", "weights/compnet", "weights/finenet"):
        paths = [tmp_path / run / f"{name}.npz" for run in ("killed", "whole")]
        got, expected = (dict(np.load(path)) for path in paths)
        assert got.keys() == expected.keys()
        assert len(got) > 1
        for key, array in expected.items():
            np.testing.assert_array_equal(got[key], array, err_msg=key)


def _start(pictures, workdir, strategy, environment, **fields):
    """Start the job on light networks in another process, configured as `_run` does it."""
    fields = full_names(DEFAULTS | {"source": pictures, "size": SIZE} | fields)
    arguments = [f"--workdir={workdir}", f"--strategy={strategy}"]
    arguments += ["--config=experiments/configs/stage1_lite.py"]
    arguments += [f"--config.{name}={value}" for name, value in fields.items()]
    environment = {"CUDA_VISIBLE_DEVICES": "", **environment}
    return Forked("tests.helpers.light_networks", *arguments, **environment)


def test_several_devices_and_several_machines_train_the_weights_of_one(pictures, light, tmp_path):
    """The real job and pipeline run on one device, on two logical CPUs, and as two workers."""
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    tasks = [{"type": "worker", "index": index} for index in (0, 1)]
    clusters = [{"cluster": {"worker": addresses}, "task": task} for task in tasks]
    fields = {"steps": 3, "batch_size": 4, "codec_pictures": 1, "histogram_every": 2, "graph": True}
    _run(pictures, tmp_path / "default", "stage1", **fields)
    runs = {
        "mirrored": [{"LOGICAL_CPUS": "2"}],
        "multiworker": [{"TF_CONFIG": json.dumps(cluster)} for cluster in clusters],
    }
    for strategy, environments in runs.items():
        workdir = tmp_path / strategy
        jobs = [_start(pictures, workdir, strategy, e, **fields) for e in environments]
        for job in jobs:
            _, errors = job.end(180)
            assert job.status == 0, errors[-2000:]
    for strategy in ("mirrored", "multiworker"):
        for role in ("compnet", "finenet", "rate"):
            paths = [tmp_path / run / f"weights/{role}.npz" for run in (strategy, "default")]
            got, expected = (dict(np.load(path)) for path in paths)
            assert got.keys() == expected.keys()
            for key, array in expected.items():
                # Sums have another order, and three steps of Adam follow.
                np.testing.assert_allclose(got[key], array, rtol=1e-3, atol=1e-5, err_msg=key)
        # Two validation pictures in a batch of four leave the second replica without an example.
        curves = ["validation/psnr", "validation/psnr_upsampled", "validation/compact_entropy_bpp"]
        got, expected = (
            training_curves.read_curves(str(tmp_path / run), curves)
            for run in (strategy, "default")
        )
        for name, points in expected.items():
            assert got[name] == [(step, pytest.approx(value, rel=1e-3)) for step, value in points]
    for strategy in ("default", "mirrored", "multiworker"):
        # Worker 0 alone writes, so there is one file, which has all.
        (graph,) = written_graphs(tmp_path / strategy)
        assert any("detail" in node.name and node.op == "Conv2D" for node in graph.node)
        histograms = written_tensors(tmp_path / strategy)["finenet/detail/kernel"]
        assert list(histograms) == [2, 3]  # every second step, and the last one


ALLOW = "(--config.model.allow_random=True starts it from random values)\n"


@pytest.mark.parametrize(
    ("stage", "role", "use"),
    [
        ("segmentation", "compnet", "segmentation keeps this network fixed"),
        ("stage2", "compnet", "stage2 keeps this network fixed"),
        ("stage3", "compnet", "stage3 starts from its weights"),
    ],
)
def test_networks_that_need_weights_and_the_folder_that_was_searched_are_named(
    pictures, light, tmp_path, capsys, stage, role, use
):
    changes = {"allow_random": False}
    message = _failure(capsys, pictures, tmp_path, stage, **changes)
    assert message == f"train: config.model.init: empty, so there is no {role}.npz; {use} {ALLOW}"
    (tmp_path / "run/weights").mkdir(parents=True)
    changes["init"] = f"{tmp_path}/run"
    message = _failure(capsys, pictures, tmp_path, stage, **changes)
    assert message == (
        f"train: config.model.init: no {role}.npz in {tmp_path}/run; {use}; {tmp_path}/run "
        f"is a run, whose weights are in {tmp_path}/run/weights {ALLOW}"
    )
    changes["init"] = "/nowhere"
    message = _failure(capsys, pictures, tmp_path, stage, **changes)
    assert message == "train: config.model.init: /nowhere: no such folder of weights\n"
    # Nothing was trained.
    assert not (tmp_path / "weights").exists()


def test_a_missing_init_folder_is_an_error_in_stage1_too(pictures, light, tmp_path, capsys):
    message = _failure(capsys, pictures, tmp_path, "stage1", init="/nowhere")
    assert message == "train: config.model.init: /nowhere: no such folder of weights\n"


def test_the_segmenter_starts_from_a_backbone_unless_random_values_are_allowed(
    pictures, light, codec_weights, tmp_path, capsys
):
    folder = tmp_path / "compnet"
    folder.mkdir()
    shutil.copy(f"{codec_weights}/compnet.npz", folder)
    changes = {"init": str(folder), "allow_random": False}
    message = _failure(capsys, pictures, tmp_path / "1", "segmentation", **changes)
    assert message == (
        f"train: config.model.init: no segmenter.npz in {folder}; segmentation starts from its "
        f"weights or from config.model.backbone {ALLOW}"
    )
    np.savez(tmp_path / "backbone.npz", **{"logits/kernel": np.zeros((8, 8, 3, 150), np.float32)})
    changes["backbone"] = str(tmp_path / "backbone.npz")
    rules = (("^segmenter/logits/", None), ("^segmenter/auxiliary/", 1.0))
    message = _failure(capsys, pictures, tmp_path / "2", "segmentation", rules=rules, **changes)
    assert message == (
        "train: config.optimizer.rules freeze 1 arrays of segmenter that have random values, such "
        f"as segmenter/logits/bias; config.model.init {str(folder)!r} has no weights for them "
        f"{ALLOW}"
    )
    rules = (("^segmenter/logits/kernel", None), ("^segmenter/(?!logits/kernel)", 1.0))
    changes |= {"rules": rules, "schedule": "constant"}
    _run(pictures, tmp_path / "3", "segmentation", **changes)
    assert [re.split("  +", line) for line in capsys.readouterr().out.splitlines()[:3]] == [
        ["network", "training", "starts from"],
        ["compnet", "fixed", f"{folder}/compnet.npz"],
        [
            "segmenter",
            "trained, 1 of 4 arrays frozen",
            f"{tmp_path}/backbone.npz; 3 arrays from random values",
        ],
    ]
    with np.load(tmp_path / "3/weights/segmenter.npz") as weights:
        assert not weights["logits/kernel"].any()
        assert weights["logits/bias"].any()


def test_random_values_are_trained_and_named_if_they_are_allowed(pictures, light, tmp_path, capsys):
    _run(pictures, tmp_path, "stage3", allow_random=True)
    *lines, size = capsys.readouterr().out.splitlines()
    # The size that is announced is that of the file, apart from the names of its entries.
    found = re.fullmatch(r"checkpoints: ([\d.]+) MiB each, ([\d.]+) MiB in all \((.*)\)", size)
    written = (tmp_path / "checkpoints/step-00000001.npz").stat().st_size / 2**20
    assert float(found[1]) == pytest.approx(written, abs=0.1)
    assert float(found[2]) == pytest.approx(3 * float(found[1]), abs=0.2)
    assert found[3] == "2 newest and the best are kept"
    assert lines == [
        "network    training  starts from",
        "compnet    trained   random values",
        "segmenter  fixed     random values",
        "smapnet    fixed     random values",
        "finenet    trained   random values",
        "rate       trained   random values",
    ]


def test_broken_data_and_folders_are_named(pictures, light, tmp_path, capsys):
    message = _failure(capsys, tmp_path / "none", tmp_path, "stage1")
    assert message == f"train: {tmp_path}/none: no such folder\n"
    (tmp_path / "file").write_text("no folder")
    message = _failure(capsys, pictures, tmp_path / "file", "stage1")
    assert message.startswith(f"train: {tmp_path}/file/checkpoints: cannot be written: ")


def test_a_broken_picture_ends_training_with_its_name(pictures, light, tmp_path, capsys):
    for kind in ("images", "annotations"):
        os.makedirs(tmp_path / kind)
        for split in ("training", "validation"):
            os.symlink(f"{pictures}/{kind}/validation", tmp_path / kind / split)
    os.unlink(tmp_path / "annotations/training")
    os.mkdir(tmp_path / "annotations/training")
    for name in ("0.png", "1.png"):
        large = np.full((48, 40), 200, np.uint8)
        Image.fromarray(large).save(tmp_path / "annotations/training" / name)
    message = _failure(capsys, tmp_path, tmp_path / "run", "stage1")
    assert message.endswith("has label 200, allowed are 0..150\n")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 20}, "data.size 20 is not allowed; it must be a multiple of 8, at least 16"),
        ({"fit": "squeeze"}, "data.fit 'squeeze' is not allowed; it must be one of 'crop', 'resiz"),
        ({"source": ""}, "data.source is empty; set --config.data.source"),
        (
            {"validate_every": 0},
            "evaluation.validate_every 0 is not allowed; it must be at least 1",
        ),
        (
            {"precision": "float8"},
            "model.precision 'float8' is not allowed; it must be one of 'float3",
        ),
        ({"channels": 1}, "model.channels 1 needs representation 'index', not 'classes'"),
        (
            {"variant": "large"},
            "model.variant 'large' is not allowed; it must be one of 'paper', '",
        ),
        ({"kind": "lion"}, "optimizer.kind 'lion' is not allowed; it must be one of 'adam', 'sgd'"),
        (
            {"learning_rate": -1.0},
            "optimizer.learning_rate -1.0 is not allowed; it must be at leas",
        ),
        (
            {"histogram_every": -1},
            "evaluation.histogram_every -1 is not allowed; it must be at least 0",
        ),
        ({"keep": 0}, "checkpoint.keep 0 is not allowed; it must be at least 1"),
        ({"average_decay": 1.0}, "run.average_decay 1.0 is not allowed; it must be in [0, 1)"),
        ({"seconds": 60.0}, "run.seconds 60.0 is not supported by backend tensorflow; use 0.0"),
        ({"coded": "x"}, "data.coded 'x' is not supported by backend tensorflow; use ''"),
        ({"scales": (2.0, 0.5)}, "data.scales (2.0, 0.5) is not allowed; it must be empty or ("),
        ({"rules": (("(", 1.0),)}, "optimizer.rules: rule '(' is no regular expression"),
        (
            {"best_metric": "validation/pnsr"},
            "checkpoint.best_metric 'validation/pnsr' is no curve of stage1 with backend "
            "tensorflow; allowed: validation/log_mse, validation/rate, validation/psnr, "
            "validation/psnr_upsampled, validation/compact_entropy_bpp\n",
        ),
    ],
)
def test_values_that_are_not_allowed_are_usage_errors(pictures, tmp_path, capsys, changes, message):
    found = _failure(capsys, pictures, tmp_path, "stage1", status=train.EXIT_USAGE, **changes)
    assert found.startswith(f"train: config.{message}")


def test_a_perceptual_loss_without_vgg_is_refused(pictures, light, tmp_path, capsys):
    changes = {"loss.weights.perceptual": 1.0}
    message = _failure(capsys, pictures, tmp_path, "stage1", **changes)
    assert message.startswith("train: config.model.vgg is empty; the perceptual loss needs VGG's ")


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.data.bach_size=4", "has no field 'bach_size'. Did you mean \"batch_size\""),
        ("--config.optimizer.lr=1", "has no field 'lr'"),
        ("--config.data.batch_size=four", "invalid literal for int() with base 10: 'four'"),
        ("--strategy=two", "value should be one of <default|mirrored|multiworker|tpu>"),
        ("--stage=stage1", "Unknown command line flag 'stage'"),
        ("stage1", "unknown arguments: stage1"),
        ("--config=experiments/configs/stage9.py", "No such file or directory"),
        ("--config=experiments/configs/lossy_lite.py:3", "ValueError: lossy_lite.py:3: the scale "),
    ],
)
def test_flags_and_fields_that_do_not_exist_are_one_line_and_exit_with_2(flag, message):
    command = [sys.executable, "-m", "experiments.train", "--workdir=unused"]
    command += ["--config=experiments/configs/stage1_lite.py", flag]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == train.EXIT_USAGE
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_a_run_that_began_with_other_rules_is_not_continued(
    pictures, light, light_run, tmp_path, capsys
):
    shutil.copytree(light_run, tmp_path, dirs_exist_ok=True)
    changes = {"steps": 2, "rules": (("^(compnet|rate)/", 0.5), ("^finenet/", 1.0))}
    message = _failure(capsys, pictures, tmp_path, "stage1", **changes)
    assert 'its run has optimizer.rules [[".*", 1.0]], not [["^(compnet|rate)/", 0.5]' in message


def test_frozen_layers_keep_their_weights_and_the_others_change(
    pictures, light, light_run, tmp_path, capsys
):
    rules = (("^compnet/", None), ("^(?!compnet/)", 1.0))
    init = str(light_run / "weights")
    _run(pictures, tmp_path / "run", "stage1", init=init, steps=2, rules=rules)
    before, after = {}, {}
    for run, weights in ((light_run, before), (tmp_path / "run", after)):
        for role in ("compnet", "finenet"):
            with np.load(run / f"weights/{role}.npz") as arrays:
                weights[role] = dict(arrays)
    for key, array in before["compnet"].items():
        np.testing.assert_array_equal(array, after["compnet"][key])
    assert (before["finenet"]["detail/kernel"] != after["finenet"]["detail/kernel"]).any()
    capsys.readouterr()
    rules = ((".*", 1.0), ("^no such layer$", None))
    message = _failure(capsys, pictures, tmp_path / "5", "stage1", rules=rules)
    assert "rule '^no such layer$' matches no variable that is trained" in message


@pytest.mark.parametrize(
    ("stage", "variant"),
    [
        (stage, variant)
        for stage in STAGES
        for variant in ("lite", "paper")
        if (stage, variant) != ("lossy", "paper")  # the papers have none
    ],
)
def test_every_configuration_is_complete(stage, variant):
    config = importlib.import_module(f"experiments.configs.{stage}_{variant}").get_config()
    checked = TrainingConfig.from_dict(config.to_dict())
    assert (checked.model.stage, checked.model.variant) == (stage, variant)
    assert checked.run.steps > 1
    assert checked.to_dict() == config.to_dict()
    assert (
        f"experiments/configs/{stage}_{variant}.py"
        in sys.modules[f"experiments.configs.{stage}_{variant}"].__doc__
    )


def test_every_precision_has_a_policy():
    assert set(PRECISIONS) == set(POLICIES)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"strategy": "mirrored"}, "--strategy 'mirrored' is not supported by backend jax"),
        ({"profile_at": 3}, "--profile_at 3 is not supported by backend jax; use None"),
        ({"run.deterministic": True}, "config.run.deterministic True is not supported by backend"),
        ({"data.fit": "resize"}, "config.data.fit 'resize' is not supported by backend jax; use"),
        ({"data.rotation": 5.0}, "config.data.rotation 5.0 is not supported by backend jax"),
        ({"model.precision": "float16"}, "config.model.precision 'float16' is not supported by"),
        ({"model.stage": "lossy"}, "config.data.coded is empty; stage lossy with backend jax"),
        (
            {"evaluation.pictures": 2},
            "config.evaluation.pictures 2 is not supported by backend jax",
        ),
        (
            {"evaluation.histogram_every": 100},
            "config.evaluation.histogram_every 100 is not supported by backend jax; use 0",
        ),
        (
            {"evaluation.graph": True},
            "config.evaluation.graph True is not supported by backend jax; use False",
        ),
        ({}, "environment variable KERAS_BACKEND is 'tensorflow'; with --backend=jax it must be"),
    ],
)
def test_what_the_jax_backend_does_not_support_is_refused(
    tmp_path, capsys, monkeypatch, flags, message
):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    config = importlib.import_module("experiments.configs.stage1_lite").get_config()
    changes = {name: value for name, value in flags.items() if "." in name}
    options = {name: value for name, value in flags.items() if "." not in name}
    config.update_from_flattened_dict({"data.source": "pictures.npz"} | changes)
    with pytest.raises(SystemExit) as caught:
        train.train(config, str(tmp_path), "jax", **options)
    assert caught.value.code == train.EXIT_USAGE
    error = capsys.readouterr().err
    assert error.startswith(f"train: {message}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("stage", "variant"), [(s, v) for s in STAGES[:4] for v in ("lite", "paper")]
)
def test_every_configuration_runs_with_jax_as_its_docstring_says(stage, variant, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    module = importlib.import_module(f"experiments.configs.{stage}_{variant}")
    config = module.get_config()
    config.data.source = "pictures.npz"
    if variant == "paper":
        fields = r"data\.(?:fit|rotation|blur)|checkpoint\.best_metric"
        changes = re.findall(rf"--config\.({fields})=([\w./]+)", module.__doc__)
        assert changes
        for name, value in changes:
            group, field = name.split(".")
            config.update_from_flattened_dict({name: type(config[group][field])(value)})
    backends.check(TrainingConfig.from_dict(config.to_dict()), "jax")


def test_a_stage_with_a_discriminator_trains_without_errors_of_the_graph_optimiser(
    pictures, light, tmp_path, capfd
):
    changes = {"loss.weights.gan": 1.0, "loss.weights.feature_matching": 10.0, "variant": "paper"}
    before = tf.config.optimizer.get_experimental_options().get("remapping", True)
    try:
        _run(pictures, tmp_path, "stage1", size=64, **changes)
    finally:
        tf.config.optimizer.set_experimental_options({"remapping": before})
    errors = capfd.readouterr().err
    assert "stage1 1/1" in errors
    assert "remapper" not in errors
