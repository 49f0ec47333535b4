"""The JAX backend: a step against TensorFlow's, and runs where TensorFlow cannot be imported."""

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

from data.batches.array_files import load_coded, load_pictures
from smapcomp.codec.coders import av1
from smapcomp.codec.layers.compact import downsampled
from smapcomp.models.weights import load_weights, save_weights
from smapcomp.predictors.engines import load_predictor
from smapcomp.training.stages.stage_optimizers import build_slots
from smapcomp.training.tf_trainer.step import train_step
from smapcomp.zoo import BUNDLED_WEIGHTS, VARIANTS, Networks
from tests.helpers import jax_twin
from tests.helpers.paths import ROOT
from tools.bundle_weights import bundle_weights

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed"
)

TOLERANCE = 2e-4
"""Relative tolerance of loss terms and of a variable's whole update. Measured: 4e-6 and 1.2e-4, the
latter in the rate model, which takes differences of nearly equal probabilities."""

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
"""Program that runs a module as if TensorFlow were not installed: no finder finds it.

A finder that raises an error would not do: JAX looks for TensorFlow before it opens its cache,
which would then stay off.
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
"""Code that kills the process when a checkpoint is complete but still has its temporary name."""


@pytest.fixture(scope="module")
def jax_run(tmp_path_factory):
    """Function that runs Python with JAX; what it has compiled once is not compiled again."""
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
    """A stage, and the folder with the results of a step of JAX from the same weights."""
    folder = tmp_path_factory.mktemp("twin")
    stage = jax_twin.build_stage(jax_twin.build_models())
    np.savez(folder / "batch.npz", **jax_twin.make_batch())
    for role, model in stage.models.items():
        save_weights(model, str(folder / f"{role}.npz"))
    jax_run(WITHOUT_TENSORFLOW, "tests.helpers.jax_twin", folder)
    return stage, folder


def _updates(stage, before):
    """Return {name: update of a trained variable}."""
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
    build_slots(stage, optimizers)
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
        # The gradient of biases before an instance normalisation consists of rounding errors.
        error = np.linalg.norm(got[name] - update)
        assert error <= max(TOLERANCE * np.linalg.norm(update), 1e-6 * largest), name


def _error(twin, name):
    return json.loads((twin[1] / "errors.json").read_text())[name]


def test_a_weight_that_is_not_a_number_stops_the_run_and_the_terms_are_named(twin):
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
        "continue with the same value or use another workdir"
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
        *("experiments.train", "--backend=jax", "--config=experiments/configs/stage1_lite.py"),
        f"--workdir={workdir}",
        f"--config.data.source={pack[1]}",
        *("--config.data.batch_size=2", "--config.data.size=16", "--config.run.steps=5"),
        *("--config.checkpoint.every=2", "--config.evaluation.log_every=2"),
        "--config.run.average_decay=0.999",
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
    assert [line["step"] for line in curves] == [2, 4, 5, 5]
    assert {"train/psnr", "loss/generator", "learning_rate/generator"} < set(curves[2])
    assert curves[-1]["validation/psnr"] > 5
    with np.load(tmp_path / "whole/checkpoints/best.npz") as best:
        assert float(best["score"]) == pytest.approx(curves[-1]["validation/psnr"], rel=1e-5)
    _check_can_be_bundled(tmp_path / "whole/weights", tmp_path / "bundle")


def test_epochs_train_the_weights_of_as_many_steps(tmp_path, pack, jax_run):
    arguments = [a for a in _arguments(pack, tmp_path / "epochs") if "run.steps" not in a]
    jax_run(WITHOUT_TENSORFLOW, *arguments, "--config.run.epochs=3")  # of three pictures
    jax_run(WITHOUT_TENSORFLOW, *_arguments(pack, tmp_path / "steps"))
    name = "checkpoints/step-00000005.npz"
    epochs, steps = (_contents(tmp_path / run / name) for run in ("epochs", "steps"))
    assert epochs.keys() == steps.keys()
    for key, array in steps.items():
        np.testing.assert_array_equal(epochs[key], array, err_msg=key)


def _check_can_be_bundled(folder, target):
    """Check that the weights can be bundled, load with TensorFlow, and have been trained."""
    variant = VARIANTS["lite"]
    assert bundle_weights([BUNDLED_WEIGHTS / "lite", folder], variant, target) > 2**20
    networks = Networks(variant, target)
    for role, last in (("compnet", "correction"), ("finenet", "detail")):
        assert np.any(networks.model(role).get_layer(last).kernel.numpy())
    with np.load(folder / "finenet.npz") as arrays:
        trained = networks.model("finenet").get_layer("conv0").kernel.numpy()
        np.testing.assert_allclose(trained, arrays["conv0/kernel"], rtol=1e-3, atol=1e-7)


@pytest.fixture(scope="module")
def coded_pack(pack, jax_run):
    """Array files of the pictures themselves, and of the pictures coded twice by AV1."""
    folder, _ = pack
    exact, coded = folder / "exact.npz", folder / "coded.npz"
    data = f"--data={folder}"
    jax_run(WITHOUT_TENSORFLOW, "data.pack_pictures", data, "--files", f"--out={exact}")
    options = [data, "--scale=2", "--passes=2", f"--work={folder / 'work'}", f"--out={coded}"]
    jax_run(WITHOUT_TENSORFLOW, "data.pack_coded", *options)
    return exact, coded, options


def test_the_coded_pictures_are_the_codecs_and_are_coded_once(pack, coded_pack, jax_run):
    folder, (exact, coded, options) = pack[0], coded_pack
    pictures, arrays = load_pictures(exact, "training"), load_coded(coded, "training")
    assert arrays["sizes"].tolist() == [[32, 32], [32, 32], [32, 32]]
    assert len(arrays["coded"]) == 2
    predictor = load_predictor("lite")
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
        found = predictor.decoder_labels(arrays["coded"][0][i], 2)
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


def test_a_lossy_finenet_is_trained_on_coded_pictures(tmp_path, coded_pack, jax_run):
    exact, coded, _ = coded_pack
    arguments = ["experiments.train", "--backend=jax", f"--workdir={tmp_path / 'run'}"]
    arguments += ["--config=experiments/configs/lossy_lite.py:2", f"--config.data.source={exact}"]
    arguments += ["--config.data.batch_size=2", "--config.data.size=16", "--config.run.steps=3"]
    error = jax_run(WITHOUT_TENSORFLOW, *arguments, status=2)
    assert "config.data.coded is empty; stage lossy with backend jax needs the file of" in error
    error = jax_run(WITHOUT_TENSORFLOW, *arguments, "--config.model.variant=paper", status=2)
    assert "config.model.variant 'paper' with stage 'lossy'; allowed: 'lite'" in error
    arguments.append(f"--config.data.coded={coded}")
    jax_run(WITHOUT_TENSORFLOW, *arguments)
    lines = (tmp_path / "run/curves.jsonl").read_text().splitlines()
    assert {"validation/gain_db", "validation/psnr"} < set(json.loads(lines[-1]))
    with np.load(tmp_path / "run/weights/finenet_x2.npz") as arrays:
        assert np.any(arrays["detail/kernel"])
    folders = [BUNDLED_WEIGHTS / "lite", tmp_path / "run/weights"]
    assert bundle_weights(folders, VARIANTS["lite"], tmp_path / "bundle")


def test_arrays_that_do_not_go_together_are_refused(pack, coded_pack, jax_run):
    exact, coded, _ = coded_pack
    fewer = pack[0] / "fewer.npz"
    parts = ("training_lengths", "training_labels", "training_sizes")
    with np.load(exact) as arrays:
        np.savez(fewer, **{n: a[:2] if n in parts else a for n, a in arrays.items()})
    cases = {
        (fewer, coded, 16, 2): f"{coded} does not belong to the pictures of {fewer}",
        (exact, exact, 16, 2): f"{exact}: is not a file of data.pack_coded",
        (exact, coded, 16, 4): f"{coded} is of scale 2, not 4",
        (exact, coded, 24, 2): "size 24 of the crops is not allowed; it must be a multiple of 16",
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
"""Program that prints, for each pair of files, why it is refused."""
