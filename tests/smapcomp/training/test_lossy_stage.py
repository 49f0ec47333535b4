"""Stage lossy: its loss, its labels, and the job on coded pictures."""

import functools
import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from data import code_compact
from experiments import train
from smapcomp.models.exact_weights import check_bounds
from smapcomp.models.lossy_finenet import LossySize, build_lossy_finenet
from smapcomp.training.config import TrainingConfig
from smapcomp.training.stages import lossy_stage, networks
from smapcomp.training.stages.label_maps import decoder_label_map
from tests.helpers import light_networks
from tests.helpers.exact_networks import random_exact_weights
from tests.helpers.jobs import run_job
from tests.helpers.pictures import write_labelled_pictures
from tests.helpers.training_configs import full_names

SIZE = 32
TINY = LossySize((8, 8, 8), (0, 0, 0, 0, 0))


def _models(scale):
    keras.utils.set_random_seed(5)
    finenet = build_lossy_finenet(scale, TINY)
    detail = finenet.get_layer("detail").kernel
    detail.assign(0.05 * keras.random.normal(detail.shape, seed=2))
    labels = finenet.get_layer("labels")
    for variable in labels.weights:
        variable.assign(keras.random.normal(variable.shape, seed=3))
    return {
        f"finenet_x{scale}": finenet,
        "segmenter": light_networks.build_pspnet("light"),
        "smapnet": light_networks.build_smapnet("classes", None),
    }


def _batch(scale, count=4):
    rng = np.random.default_rng(1)
    compact = rng.uniform(-1, 1, (count, SIZE // scale, SIZE // scale, 3))
    image = compact.repeat(scale, 1).repeat(scale, 2)
    image = np.clip(image + rng.normal(0, 0.05, image.shape), -1, 1)
    batch = {"image": image, "compact": compact, "level": rng.uniform(0, 1, count)}
    return {key: tf.constant(array, tf.float32) for key, array in batch.items()}


@pytest.mark.parametrize("scale", [1, 4])
def test_loss_and_metrics_are_their_closed_forms_with_labels_found_in_u(scale):
    models, batch = _models(scale), _batch(scale)
    stage = lossy_stage.lossy(models, scale, void_share=0.25, floor=1.0)
    compact = batch["compact"]
    u = compact if scale == 1 else tf.image.resize(compact, (SIZE, SIZE), "bilinear")
    found = decoder_label_map(models, u).numpy()
    for training in (True, False):
        labels = found.copy()
        if training:
            labels[0] = 0
        detail = models[f"finenet_x{scale}"]([u, tf.constant(labels), batch["level"]])
        prediction = np.clip(u + detail, -1, 1)
        losses, metrics, outputs = stage.losses(batch, training=training)
        np.testing.assert_allclose(outputs["prediction"], prediction, atol=1e-5)
        np.testing.assert_array_equal(outputs["labels_seen"], labels)
        original = batch["image"].numpy()
        mse, before = (
            np.mean((original * 127.5 - np.asarray(x) * 127.5) ** 2, axis=(1, 2, 3))
            for x in (prediction, u)
        )
        expected = np.mean(10 * np.log10(mse + 1.0))
        assert float(losses["finenet"]) == pytest.approx(expected, abs=1e-3)
        gain = np.mean(10 * np.log10(before / mse))
        assert float(metrics["gain_db"]) == pytest.approx(gain, abs=1e-3)
        psnr = np.mean(10 * np.log10(255**2 / mse))
        assert float(metrics["psnr"]) == pytest.approx(psnr, abs=1e-3)
        assert float(metrics["psnr_upsampled"]) == pytest.approx(psnr - gain, abs=1e-3)


@pytest.mark.parametrize("change", ["level", "labels"])
def test_the_prediction_depends_on_level_and_labels(change):
    finenet, batch = _models(1)["finenet_x1"], _batch(1, 1)
    inputs = [batch["compact"], tf.fill((1, SIZE, SIZE), 3), batch["level"]]
    before = finenet(inputs)
    index, step = {"labels": (1, 1), "level": (2, 0.5)}[change]
    inputs[index] += step
    assert np.abs(finenet(inputs) - before).max() > 1e-4


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    """Records of smooth pictures, coded so coarsely that a FineNet can gain much."""
    root = tmp_path_factory.mktemp("pictures")
    for split, count in (("training", 4), ("validation", 2)):
        write_labelled_pictures(root, split, count, ".png")
    flags = [f"--source={root}", "--scale=1", "--qualities=5,20", "--workers=1"]
    run_job(code_compact, *flags, f"--out={root / 'x1'}")
    return root / "x1"


@pytest.fixture
def light(monkeypatch):
    for build in light_networks.BUILDERS:
        monkeypatch.setattr(networks, build.__name__, build)
    tiny = functools.partial(build_lossy_finenet, size=TINY)
    monkeypatch.setattr(networks, "build_lossy_finenet", tiny)


@pytest.fixture
def init(tmp_path):
    folder = tmp_path / "init"
    models = _models(1)
    networks.save_networks(models, ["segmenter", "smapnet"], str(folder))
    return str(folder)


def _config(data, number="1", **changes):
    config = importlib.import_module("experiments.configs.lossy_lite").get_config(number)
    defaults = {"source": str(data), "steps": 1, "batch_size": 4, "size": SIZE, "pictures": 1}
    config.update_from_flattened_dict(full_names(defaults | changes))
    return config


def test_labels_in_the_batch_are_used_and_need_no_segmenter():
    batch = _batch(1)
    labels = tf.fill((4, SIZE, SIZE), 7)
    stage = lossy_stage.lossy({"finenet_x1": _models(1)["finenet_x1"]}, 1, void_share=0.25)
    for training, void in ((True, 1), (False, 0)):
        seen = stage.losses({**batch, "labels_seen": labels}, training=training).outputs[
            "labels_seen"
        ]
        assert np.unique(seen[void:]).tolist() == [7]
        assert not np.any(seen[:void])


def test_the_job_gains_over_the_decoded_picture(coded, light, init, tmp_path, capsys):
    options = {"init": init, "optimizer.learning_rate": 1e-2, "average_decay": 0.9}
    train.train(_config(coded, steps=60, **options), str(tmp_path / "1"))
    probes = [line for line in capsys.readouterr().err.splitlines() if "(probes)" in line]
    gain = float(probes[-1].split("gain_db ")[1].split()[0].rstrip(","))
    assert gain > 0.2
    weights = tmp_path / "1/weights"
    assert [path.name for path in weights.iterdir()] == ["finenet_x1.npz"]


def test_training_from_exact_weights_gains_and_ends_with_exact_weights(
    coded, light, init, tmp_path, capsys
):
    start = random_exact_weights(build_lossy_finenet(1, TINY, exact=True), seed=1)
    start["detail/kernel"][:], start["detail/bias"][:] = 0, 0
    np.savez(f"{init}/finenet_x1.npz", **start)
    options = {"init": init, "optimizer.learning_rate": 1e-2, "average_decay": 0.9}
    train.train(_config(coded, steps=60, **options), str(tmp_path / "1"))
    probes = [line for line in capsys.readouterr().err.splitlines() if "(probes)" in line]
    assert float(probes[-1].split("gain_db ")[1].split()[0].rstrip(",")) > 0.1
    with np.load(tmp_path / "1/weights/finenet_x1.npz") as arrays:
        trained = dict(arrays)
    check_bounds(trained)
    assert set(trained) == set(start)
    for key, array in start.items():
        if key.endswith(("kernel", "bias")):
            assert np.any(trained[key] != array), key
        elif key.endswith("_grid"):
            np.testing.assert_array_equal(trained[key], array)


def test_a_scale_starts_from_the_nearest_other_scale_of_its_architecture(light, init, tmp_path):
    networks.save_networks({"finenet_x2": _models(2)["finenet_x2"]}, ["finenet_x2"], str(tmp_path))
    for scale, same in ((4, True), (1, False)):
        config = _config("unused", str(scale), init=f"{tmp_path},{init}")
        keras.utils.set_random_seed(6)
        stage = networks.build_stage(TrainingConfig.from_dict(config.to_dict()))
        with np.load(tmp_path / "finenet_x2.npz") as trained:
            variables = zip(stage.names("finenet"), stage.variables("finenet"), strict=True)
            found = [
                np.array_equal(variable, trained[name.removeprefix(f"finenet_x{scale}/")])
                for name, variable in variables
                if name.endswith("kernel")
            ]
        assert all(found) if same else not any(found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": 3}, "config.model.scale 3 is not allowed; it must be one of 1, 2, 4, 8"),
        (
            {"size": 24},
            "config.data.size 24 is not allowed; it must be a multiple of 16 in stage lossy",
        ),
        (
            {"fit": "resize"},
            "config.data.fit 'resize' is not allowed; it must be 'crop' in stage lossy",
        ),
        ({"blur": 0.5}, "config.data.blur 0.5 is not allowed; it must be 0.0 in stage lossy"),
        ({"mse_floor": 0.0}, "config.loss.mse_floor 0.0 is not allowed; it must be above 0"),
        ({"scale": 4}, "x1: has compact images of scale 1; data.code_compact --scale=4 makes them"),
    ],
)
def test_what_the_stage_does_not_support_is_refused_in_one_line(
    coded, tmp_path, capsys, changes, message
):
    with pytest.raises(SystemExit) as caught:
        train.train(_config(coded, **changes), str(tmp_path))
    assert caught.value.code == (2 if message.startswith("config") else 1)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_the_configuration_takes_the_scale_and_refuses_unknown_ones():
    config = _config("unused", "8")
    assert (config.model.stage, config.model.scale, config.loss.mse_floor) == ("lossy", 8, 1.0)
    with pytest.raises(ValueError, match="the scale must be one of 1, 2, 4, 8"):
        _config("unused", "3")
