"""The JAX job: one step against the TensorFlow one, and runs where TensorFlow can't be imported."""

import importlib.util
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data.pack_coded import load_coded
from data.pack_pictures import load_pack
from smapcomp.codec.coders import av1
from smapcomp.codec.layers.compact import downsampled
from smapcomp.models.weights import load_weights, save_weights
from smapcomp.predictors.engines import predictor_of
from smapcomp.training.state import build_optimizers
from smapcomp.training.tf_trainer.step import train_step
from smapcomp.zoo import BOX, VARIANTS, Networks
from tests.helpers import jax_twin
from tests.helpers.paths import ROOT
from tools.box_weights import box

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed"
)

TOLERANCE = 2e-4
"""Relative, of loss terms and of a variable's whole update. Measured: 4e-6 and 1.2e-4, the latter
in the rate estimate, which takes differences of nearly equal probabilities."""

WITHOUT_TENSORFLOW = """
import runpy, sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            return None
        return self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Without, sys.meta_path)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""Runs a module where there is no TensorFlow: no finder finds it.

A finder that failed would not do: JAX asks before it opens its cache, which would then stay off.
"""

KILLED_AT_STEP_4 = """
import os, signal, sys
replace = os.replace
def killed(source, target):
    if target.endswith("step-00000004.npz"):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = killed
"""
"""Dies when the checkpoint is complete but still under its temporary name."""


@pytest.fixture(scope="module")
def jax_run(tmp_path_factory):
    """Runs Python under JAX; programs that it has compiled once are not compiled again."""
    cache = tmp_path_factory.mktemp("compiled")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles in a third of the time
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": str(ROOT),
    }

    def run(script, *arguments, status=0):
        command = [sys.executable, "-c", script, *map(str, arguments)]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert result.returncode == status, result.stderr[-3000:]
        return result.stderr

    return run


@pytest.fixture(scope="module")
def twin(tmp_path_factory, jax_run):
    """The stage, and the folder in which JAX took a step from its weights."""
    folder = tmp_path_factory.mktemp("twin")
    stage = jax_twin.build_stage(jax_twin.build_models())
    np.savez(folder / "batch.npz", **jax_twin.make_batch())
    for role, model in stage.models.items():
        save_weights(model, str(folder / f"{role}.npz"))
    jax_run(WITHOUT_TENSORFLOW, "tests.helpers.jax_twin", folder)
    return stage, folder


def _updates(stage, before):
    """{name: what has been added to a trained variable}."""
    return {
        f"{role}/{variable.path}": variable.numpy() - old
        for roles in stage.groups.values()
        for role in roles
        for variable, old in zip(stage.models[role].trainable_variables, before[role], strict=True)
    }


def test_a_step_has_the_losses_and_the_gradients_of_the_tensorflow_step(twin):
    stage, folder = twin
    before = {r: [v.numpy() for v in m.trainable_variables] for r, m in stage.models.items()}
    optimizers = jax_twin.build_optimizers(stage)
    build_optimizers(stage, optimizers)
    arrays = jax_twin.make_batch()
    image = tf.constant(arrays["image"], tf.float32) / 127.5 - 1.0
    batch = {"image": image, "label_map": tf.constant(arrays["label_map"], tf.int32)}
    values = {k: float(v) for k, v in train_step(stage, optimizers)(batch).items()}
    expected = _updates(stage, before)
    for roles in stage.groups.values():
        for role in roles:
            load_weights(stage.models[role], folder / f"after/{role}.npz")
    got = _updates(stage, before)
    jax_values = json.loads((folder / "values.json").read_text())
    assert {f"train/{term}" for term in vars(jax_twin.WEIGHTS)} < set(values)
    for name in (n for n in values if n.startswith(("train/", "loss/", "gradient_norm/"))):
        assert jax_values[name] == pytest.approx(values[name], rel=TOLERANCE), name
    largest = max(np.linalg.norm(update) for update in expected.values())
    for name, update in expected.items():
        # Biases before an instance normalisation have a gradient of rounding errors alone.
        error = np.linalg.norm(got[name] - update)
        assert error <= max(TOLERANCE * np.linalg.norm(update), 1e-6 * largest), name


def _error(twin, name):
    return json.loads((twin[1] / "errors.json").read_text())[name]


def test_a_weight_that_is_no_number_stops_the_run_and_the_terms_are_named(twin):
    message = _error(twin, "nan")
    assert message.startswith("DivergedError: step 1: ")
    assert "train/log_mse is nan" in message
    assert "gradient_norm/generator is nan" in message
    assert message.endswith("last checkpoint: none")


def test_a_signal_saves_the_step_and_the_run_is_not_continued_as_another_one(twin):
    folder, message = twin[1], _error(twin, "interrupted")
    assert message == "Interrupted: interrupted after step 1"
    assert [p.name for p in (folder / "run/checkpoints").iterdir()] == ["step-00000001.npz"]
    assert _error(twin, "settings") == (
        f"WorkdirError: {folder}/run/checkpoints/step-00000001.npz: its run has seed 1, not 2; "
        "go on with the same, or take another workdir"
    )


@pytest.fixture(scope="module")
def pack(tmp_path_factory, jax_run):
    """An array file of small pictures of several sizes."""
    folder = tmp_path_factory.mktemp("pack")
    rng = np.random.default_rng(8)
    for split in ("training", "validation"):
        for kind in ("images", "annotations"):
            (folder / kind / split).mkdir(parents=True)
        for i in range(3):
            size = (37 + 4 * i, 32)
            picture = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8)).resize(size)
            picture.save(folder / f"images/{split}/{i}.jpg")
            labels = rng.integers(0, 151, size[::-1], np.uint8)
            Image.fromarray(labels).save(folder / f"annotations/{split}/{i}.png")
    out = folder / "pictures.npz"
    jax_run(WITHOUT_TENSORFLOW, "data.pack_pictures", f"--data={folder}", f"--out={out}")
    return folder, out


def _arguments(pack, workdir):
    return [
        "experiments.train_jax",
        "--stage=stage1",
        f"--pictures={pack[1]}",
        f"--workdir={workdir}",
        *("--steps=5", "--checkpoint_every=2", "--batch_size=2", "--crop=16", "--log_every=2"),
    ]


def _contents(path):
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "seconds"}


def test_a_run_that_was_killed_ends_as_one_that_never_stopped(tmp_path, pack, jax_run):
    jax_run(WITHOUT_TENSORFLOW, *_arguments(pack, tmp_path / "whole"))
    arguments = _arguments(pack, tmp_path / "stopped")
    jax_run(KILLED_AT_STEP_4 + WITHOUT_TENSORFLOW, *arguments, status=-signal.SIGKILL)
    names = sorted(p.name for p in (tmp_path / "stopped/checkpoints").iterdir())
    assert names == ["step-00000002.npz", "step-00000004.npz.tmp"]
    jax_run(WITHOUT_TENSORFLOW, *arguments)
    for name in ("checkpoints/step-00000005.npz", "weights/compnet.npz", "weights/finenet.npz"):
        whole, stopped = (_contents(tmp_path / run / name) for run in ("whole", "stopped"))
        assert whole.keys() == stopped.keys()
        for key, array in whole.items():
            np.testing.assert_array_equal(stopped[key], array, err_msg=key)
    lines = (tmp_path / "stopped/curves.jsonl").read_text().splitlines()
    curves = [json.loads(line) for line in lines]
    assert [line["step"] for line in curves] == [2, 4, 5]
    assert curves[-1]["validation/psnr"] > 5
    _require_boxable(tmp_path / "whole/weights", tmp_path / "box")


def _require_boxable(folder, target):
    """The TensorFlow product takes the weights, which have been trained."""
    variant = VARIANTS["lite"]
    assert box([BOX / "lite", folder], variant, target) > 2**20
    networks = Networks(variant, target)
    for model, last in ((networks.compnet, "correction"), (networks.finenet, "detail")):
        assert np.any(model.get_layer(last).kernel.numpy())
    with np.load(folder / "finenet.npz") as arrays:
        trained = networks.finenet.get_layer("conv0").kernel.numpy()
        np.testing.assert_allclose(trained, arrays["conv0/kernel"], rtol=1e-3, atol=1e-7)


@pytest.fixture(scope="module")
def coded_pack(pack, jax_run):
    """Array files of the pictures themselves and of what AV1 makes of them, twice."""
    folder, _ = pack
    exact, coded = folder / "exact.npz", folder / "coded.npz"
    data = f"--data={folder}"
    jax_run(WITHOUT_TENSORFLOW, "data.pack_pictures", data, "--files", f"--out={exact}")
    options = [data, "--scale=2", "--passes=2", f"--work={folder / 'work'}", f"--out={coded}"]
    jax_run(WITHOUT_TENSORFLOW, "data.pack_coded", *options)
    return exact, coded, options


def test_the_coded_pictures_are_the_codecs_and_are_coded_once(pack, coded_pack, jax_run):
    folder, (exact, coded, options) = pack[0], coded_pack
    pictures, arrays = load_pack(exact, "training"), load_coded(coded, "training")
    assert arrays["sizes"].tolist() == [[32, 32], [32, 32], [32, 32]]
    assert len(arrays["coded"]) == 2
    predictor = predictor_of("lite")
    for i in range(3):
        original = np.asarray(Image.open(folder / f"images/training/{i}.jpg"))
        rows, columns = pictures["sizes"][i]
        np.testing.assert_array_equal(
            pictures["image"][i, :rows, :columns], original[:rows, :columns]
        )
        small = downsampled(original[:32, :32], 2)
        for number, qualities in enumerate(arrays["qualities"]):
            payload = av1.encode(small, int(qualities[i]))
            expected = av1.decode(payload, small.shape)
            np.testing.assert_array_equal(arrays["coded"][number][i], expected)
        found = predictor.found_labels(arrays["coded"][0][i], 2)
        np.testing.assert_array_equal(arrays["labels"][i], found)
    assert len(set(arrays["qualities"].ravel().tolist())) > 1
    kept = {p: p.stat().st_mtime_ns for p in (folder / "work").rglob("*.av1")}
    before = coded.read_bytes()
    assert len(kept) == 12
    jax_run(WITHOUT_TENSORFLOW, "data.pack_coded", *options)
    assert kept == {p: p.stat().st_mtime_ns for p in (folder / "work").rglob("*.av1")}
    assert coded.read_bytes() == before


def test_crops_of_coded_pictures_fit_their_originals(coded_pack, jax_run):
    jax_run(WITHOUT_TENSORFLOW, "tests.helpers.coded_cuts", *coded_pack[:2])


def test_a_lossy_finenet_is_trained_on_what_av1_left(tmp_path, coded_pack, jax_run):
    exact, coded, _ = coded_pack
    arguments = ["experiments.train_jax", "--stage=lossy", f"--pictures={exact}", "--crop=16"]
    arguments += ["--steps=3", "--batch_size=2", "--scale=2", f"--workdir={tmp_path / 'run'}"]
    error = jax_run(WITHOUT_TENSORFLOW, *arguments, status=1)
    assert "--stage=lossy needs --coded" in error
    error = jax_run(WITHOUT_TENSORFLOW, *arguments, "--variant=paper", status=1)
    assert "--variant=paper: stage lossy has lite alone" in error
    arguments.append(f"--coded={coded}")
    jax_run(WITHOUT_TENSORFLOW, *arguments)
    lines = (tmp_path / "run/curves.jsonl").read_text().splitlines()
    assert {"validation/gain_db", "validation/psnr"} < set(json.loads(lines[-1]))
    with np.load(tmp_path / "run/weights/finenet_x2.npz") as arrays:
        assert np.any(arrays["detail/kernel"])
    assert box([BOX / "lite", tmp_path / "run/weights"], VARIANTS["lite"], tmp_path / "box")


def test_arrays_that_do_not_go_together_are_refused(pack, coded_pack, jax_run):
    exact, coded, _ = coded_pack
    fewer = pack[0] / "fewer.npz"
    parts = ("training_lengths", "training_labels", "training_sizes")
    with np.load(exact) as arrays:
        np.savez(fewer, **{n: a[:2] if n in parts else a for n, a in arrays.items()})
    cases = {
        (fewer, coded, 16, 2): f"{coded} is not of the pictures of {fewer}",
        (exact, exact, 16, 2): f"{exact}: no file of data.pack_coded",
        (exact, coded, 16, 4): f"{coded} is of scale 2, not 4",
        (exact, coded, 24, 2): f"--crop=24: allowed are multiples of 16 up to the 32 of {coded}",
    }
    found = jax_run(REFUSED, json.dumps([[*map(str, case[:2]), *case[2:]] for case in cases]))
    for line, expected in zip(found.splitlines()[-len(cases) :], cases.values(), strict=True):
        assert line.startswith(expected), line


REFUSED = """
import json, sys
from data.batches.jax_batches import load_coded_training
from smapcomp.errors import SmapcompError
for case in json.loads(sys.argv[1]):
    try:
        load_coded_training(*case)
        print("taken", file=sys.stderr)
    except SmapcompError as error:
        print(error, file=sys.stderr)
"""
"""Says of each pair of files why it is refused."""
