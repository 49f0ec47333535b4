"""The training job: every stage from its command, and what a user is told when it can't run."""

import os
import signal

import keras
import numpy as np
import pytest
from absl import app, flags
from absl.testing import flagsaver
from PIL import Image

from data import pipeline
from experiments import train
from smapcomp.models.compnet import build_compnet
from smapcomp.models.weights import load_weights

SIZE = 32


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


def _arguments(pictures, workdir, stage, **options):
    values = {
        "stage": stage,
        "data": pictures,
        "workdir": str(workdir),
        "steps": 1,
        "batch_size": 2,
        "size": SIZE,
        **options,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def _run(*arguments):
    with flagsaver.flagsaver():
        flags.FLAGS.unparse_flags()
        flags.FLAGS(["train", *arguments])
        train.main(["train"])


def _failure(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        _run(*arguments)
    assert caught.value.code == train.EXIT_FAILED
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


@pytest.fixture(scope="module")
def stage1(pictures, tmp_path_factory):
    """Weights of two steps of stage 1."""
    workdir = tmp_path_factory.mktemp("stage1")
    _run(*_arguments(pictures, workdir, "stage1", steps=2))
    return workdir / "weights"


def test_stage1_leaves_weights_that_training_has_changed(stage1):
    assert sorted(p.name for p in stage1.iterdir()) == ["compnet.npz", "finenet.npz", "rate.npz"]
    trained = build_compnet("lite")
    before = trained.get_layer("correction").kernel.numpy()
    load_weights(trained, stage1 / "compnet.npz")
    after = trained.get_layer("correction").kernel.numpy()
    assert not np.array_equal(before, after)
    assert np.isfinite(after).all()


@pytest.fixture
def light_networks(monkeypatch):
    """Networks of one layer each, with the inputs and outputs of the real ones.

    The real ones take half a minute to compile; what the job does with them is the same.
    """
    layers = keras.layers

    def build_compnet(_):
        image, label_map = keras.Input((None, None, 3)), keras.Input((None, None), dtype="int32")
        compact = layers.AveragePooling2D(8, name="mean")(image)
        compact = layers.Conv2D(3, 1, dtype="float32", name="mix")(compact)
        return keras.Model([image, label_map], compact)

    def build_finenet(_):
        image, label_map = keras.Input((None, None, 3)), keras.Input((None, None), dtype="int32")
        detail = layers.Conv2D(3, 3, padding="same", name="detail")(image)
        return keras.Model([image, label_map], detail)

    def build_pspnet(_, auxiliary=False):
        image = keras.Input((None, None, 3))
        logits = layers.Conv2D(150, 8, strides=8, name="logits")(image)
        side = layers.Conv2D(150, 8, strides=8, name="auxiliary")(image)
        return keras.Model(image, [logits, side] if auxiliary else logits)

    def build_smapnet(representation, channels):
        channels = 150 if representation == "classes" else channels or 3
        labels = keras.Input((None, None, channels))
        return keras.Model(labels, layers.Conv2D(channels, 1, name="mix")(labels))

    for build in (build_compnet, build_finenet, build_pspnet, build_smapnet):
        module = build.__name__.removeprefix("build_")
        monkeypatch.setattr(f"smapcomp.models.{module}.{build.__name__}", build)


def test_the_later_stages_start_from_the_weights_of_the_earlier_ones(
    pictures, light_networks, tmp_path
):
    init = []
    for stage, roles in (
        ("stage1", ["compnet", "finenet", "rate"]),
        ("segmentation", ["segmenter"]),
        ("stage2", ["smapnet"]),
        ("stage3", ["compnet", "finenet", "rate"]),
    ):
        # Rate 0 leaves the weights as they were found.
        rate = 0 if stage == "stage3" else 0.1
        options = {"init": ",".join(init), "learning_rate": rate}
        _run(*_arguments(pictures, tmp_path / stage, stage, **options))
        weights = tmp_path / stage / "weights"
        assert sorted(p.stem for p in weights.iterdir()) == roles
        init.append(str(weights))
    first, last = (np.load(tmp_path / s / "weights/finenet.npz") for s in ("stage1", "stage3"))
    np.testing.assert_array_equal(first["detail/kernel"], last["detail/kernel"])
    with np.load(tmp_path / "segmentation/weights/segmenter.npz") as segmenter:
        assert segmenter.files == ["logits/kernel", "logits/bias"]


@pytest.fixture
def codec_weights(tmp_path):
    """A folder with the weights of one-layer networks that stage 2 starts from."""
    folder = tmp_path / "weights"
    folder.mkdir()
    kernels = {"mix": (1, 1, 3, 3), "logits": (8, 8, 3, 150)}
    for role, layer in (("compnet", "mix"), ("segmenter", "logits")):
        shape = kernels[layer]
        kernel = np.random.default_rng(2).normal(0, 1, shape).astype(np.float32)
        arrays = {f"{layer}/kernel": kernel, f"{layer}/bias": np.zeros(shape[-1], np.float32)}
        np.savez(folder / f"{role}.npz", **arrays)
    return folder


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        ({}, 150),
        ({"representation": "index"}, 3),
        ({"representation": "index", "channels": 1}, 1),
    ],
)
def test_stage2_trains_the_smapnet_that_is_asked_for(
    pictures, light_networks, codec_weights, tmp_path, options, channels
):
    _run(*_arguments(pictures, tmp_path, "stage2", init=codec_weights, **options))
    with np.load(tmp_path / "weights/smapnet.npz") as smapnet:
        assert smapnet["mix/kernel"].shape == (1, 1, channels, channels)


def test_channels_of_logits_are_a_usage_error(pictures, light_networks, tmp_path):
    with pytest.raises(app.UsageError, match="--channels goes with --representation=index"):
        _run(*_arguments(pictures, tmp_path, "stage2", channels=1))


@pytest.mark.parametrize("stage", ["stage1", "segmentation"])
def test_bfloat16_and_cached_pictures_train_weights_in_float32_close_to_those_without(
    pictures, light_networks, codec_weights, tmp_path, stage
):
    found = []
    for name, options in (("exact", {}), ("half", {"bfloat16": True, "cache_mib": 1})):
        options |= {"steps": 2, "learning_rate": 0.01, "init": codec_weights}
        _run(*_arguments(pictures, tmp_path / name, stage, **options))
        assert keras.config.dtype_policy().name == "float32"
        role = {"stage1": "finenet", "segmentation": "segmenter"}[stage]
        with np.load(tmp_path / name / f"weights/{role}.npz") as weights:
            found.append(weights[weights.files[0]])
    exact, half = found
    assert half.dtype == np.float32
    assert not np.array_equal(exact, half)
    np.testing.assert_allclose(half, exact, atol=0.025)


def test_bfloat16_leaves_the_rate_and_label_indices_in_float32(light_networks, codec_weights):
    for stage, roles in (
        ("stage1", {"finenet": "bfloat16", "rate": "float32"}),
        ("stage2", {"segmenter": "bfloat16", "smapnet": "float32"}),
    ):
        arguments = _arguments("unused", "unused", stage, init=codec_weights)
        with flagsaver.flagsaver():
            flags.FLAGS.unparse_flags()
            flags.FLAGS(["train", *arguments, "--bfloat16", "--representation=index"])
            models = train.build_stage().models
        for role, dtype in roles.items():
            assert models[role].layers[-1].compute_dtype == dtype, role


def test_a_terminated_job_saves_exits_with_75_and_goes_on_from_there(
    pictures, light_networks, tmp_path, capsys, monkeypatch
):
    arguments = _arguments(pictures, tmp_path, "stage1", steps=6, log_every=1)
    with monkeypatch.context() as patch:
        batches = pipeline.training_batches

        def terminated(*args, **options):
            for number, batch in enumerate(batches(*args, **options)):
                if number == 2:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield batch

        patch.setattr(pipeline, "training_batches", terminated)
        with pytest.raises(SystemExit) as caught:
            _run(*arguments)
    assert caught.value.code == 75
    assert capsys.readouterr().err.endswith(
        "interrupted after step 3; the same command goes on from there\n"
    )
    _run(*arguments)
    assert capsys.readouterr().err.startswith("stage1 4/6 [")


def test_a_frozen_network_without_weights_is_named(pictures, tmp_path, capsys):
    message = _failure(capsys, *_arguments(pictures, tmp_path, "segmentation"))
    assert message == "train: --init: segmentation holds compnet fixed; no compnet.npz there\n"


def test_broken_data_and_folders_are_named(pictures, tmp_path, capsys):
    message = _failure(capsys, *_arguments(tmp_path / "none", tmp_path, "stage1"))
    assert message == f"train: {tmp_path}/none: no such folder\n"
    (tmp_path / "file").write_text("no folder")
    message = _failure(capsys, *_arguments(pictures, tmp_path / "file", "stage1"))
    assert message.startswith(f"train: {tmp_path}/file/checkpoints: can't be written: ")


def test_a_broken_picture_ends_training_with_its_name(pictures, tmp_path, capsys):
    for kind in ("images", "annotations"):
        os.makedirs(tmp_path / kind)
        for split in ("training", "validation"):
            os.symlink(f"{pictures}/{kind}/validation", tmp_path / kind / split)
    os.unlink(tmp_path / "annotations/training")
    os.mkdir(tmp_path / "annotations/training")
    for name in ("0.png", "1.png"):
        large = np.full((48, 40), 200, np.uint8)
        Image.fromarray(large).save(tmp_path / "annotations/training" / name)
    message = _failure(capsys, *_arguments(tmp_path, tmp_path / "run", "stage1"))
    assert message.endswith("has label 200, allowed are 0..150\n")


def test_loss_weights_that_do_not_exist_are_usage_errors(pictures, tmp_path):
    with pytest.raises(app.UsageError, match="'l3' is no term; terms: gan, "):
        _run(*_arguments(pictures, tmp_path, "stage1", loss_weights="l3=1"))
    with pytest.raises(app.UsageError, match="'l1=x' is not name=number"):
        _run(*_arguments(pictures, tmp_path, "stage1", loss_weights="l1=x"))
    with pytest.raises(app.UsageError, match="--vgg is needed"):
        _run(*_arguments(pictures, tmp_path, "stage1", loss_weights="perceptual=1"))


def test_frozen_layers_keep_their_weights_and_the_others_change(
    pictures, light_networks, tmp_path, capsys
):
    _run(*_arguments(pictures, tmp_path / "1", "stage1", freeze="^mix$"))
    weights = {}
    for steps in (2, 4):
        folder = tmp_path / str(steps)
        options = {"init": tmp_path / "1/weights", "steps": steps, "freeze": "^mix$"}
        _run(*_arguments(pictures, folder, "stage1", **options))
        for role in ("compnet", "finenet"):
            with np.load(folder / f"weights/{role}.npz") as arrays:
                weights[steps, role] = dict(arrays)
    for key, array in weights[2, "compnet"].items():
        np.testing.assert_array_equal(array, weights[4, "compnet"][key])
    assert (weights[2, "finenet"]["detail/kernel"] != weights[4, "finenet"]["detail/kernel"]).any()
    capsys.readouterr()
    message = _failure(
        capsys, *_arguments(pictures, tmp_path / "5", "stage1", freeze="^no such layer$")
    )
    assert "no trained layer has such a name" in message
