"""Stages against NumPy and against the codec's predictor; number formats."""

import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from smapcomp.design import max_level
from smapcomp.models.compnet import build_compnet
from smapcomp.models.finenet import LiteSize, build_finenet
from smapcomp.models.layers import quantize, upsample
from smapcomp.models.smapnet import build_smapnet
from smapcomp.predictors.base import Compact
from smapcomp.predictors.keras_predictor import KerasPredictor
from smapcomp.training.config_groups import LossWeights
from smapcomp.training.layerwise import layerwise
from smapcomp.training.rules import Rules
from smapcomp.training.stages import codec_stages, label_maps, label_stages
from smapcomp.training.stages.rate_model import build_rate_model
from smapcomp.training.tf_trainer.step import train_step
from smapcomp.zoo import VARIANTS

layers = keras.layers
STEP = 12
REPRESENTATIONS = [("classes", None), ("index", 1), ("index", 3)]


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(4)


def _compnet():
    image, label_map = keras.Input((None, None, 3)), keras.Input((None, None), dtype="int32")
    mean = layers.AveragePooling2D(8, dtype="float32")(image)
    return keras.Model([image, label_map], mean)


def _finenet():
    image, label_map = keras.Input((None, None, 3)), keras.Input((None, None), dtype="int32")
    return keras.Model([image, label_map], layers.Conv2D(3, 3, padding="same")(image))


def _segmenter(auxiliary=False, stride=8):
    """Return a segmenter of one layer for each output.

    Its logits are large, so that labels vary and do not depend on rounding.
    """
    image = keras.Input((None, None, 3))
    wide = keras.initializers.RandomNormal(stddev=5.0, seed=2)
    logits = layers.Conv2D(150, stride, strides=stride, kernel_initializer=wide)(image)
    side = layers.Conv2D(150, stride, strides=stride)(image)
    return keras.Model(image, [logits, side] if auxiliary else logits)


def _batch(count, size=32):
    rng = np.random.default_rng(3)
    coarse = rng.uniform(-1, 1, (count, size // 8, size // 8, 3)).repeat(8, 1).repeat(8, 2)
    image = np.clip(coarse + rng.normal(0, 0.02, (count, size, size, 3)), -1, 1)
    label_map = rng.integers(0, 151, (count, size, size))
    return {"image": tf.constant(image, tf.float32), "label_map": tf.constant(label_map, tf.int32)}


def _upsampled_compact(image):
    """Return `u` by its definition: block means, the nearest level, half-pixel bilinear."""
    count, height, width, _ = image.shape
    mean = image.numpy().reshape(count, height // 8, 8, width // 8, 8, 3).mean((2, 4))
    level = np.clip(np.round((mean + 1) * 127.5 / STEP), 0, max_level(STEP))
    return upsample(np.minimum(level * STEP, 255).astype(np.float32) / 127.5 - 1, 8)


def _found(segmenter, image):
    """Return the label ids of a segmenter with or without an auxiliary head."""
    logits = segmenter(image)
    return np.argmax(logits[0] if isinstance(logits, list) else logits, -1) + 1


def _share(found, label_map):
    """Return the share of labelled block centres whose label is found."""
    wanted = label_map.numpy()[:, 4::8, 4::8]
    return np.mean(found[wanted > 0] == wanted[wanted > 0])


def _half_true(batch, segmenter):
    """Return the batch with the segmenter's labels of the sharp pictures in its left half."""
    label_map = batch["label_map"].numpy()
    found = _found(segmenter, batch["image"]).repeat(8, 1).repeat(8, 2)
    half = label_map.shape[2] // 2
    label_map[:, :, :half] = found[:, :, :half]
    return batch | {"label_map": tf.constant(label_map)}


def _timid(smapnet):
    """Return the SMapNet, scaled so that it changes some labels and leaves others."""
    kernel = smapnet.get_layer("conv_out").kernel
    kernel.assign(0.01 * kernel)
    return smapnet


@pytest.mark.parametrize("count", [2, 3, 4])
def test_segmentation_trains_on_halves_of_sharp_and_upsampled_pictures_and_validates_all(count):
    models = {"compnet": _compnet(), "segmenter": _segmenter(auxiliary=True)}
    batch = _half_true(_batch(count), models["segmenter"])
    image, label_map = batch["image"], batch["label_map"]
    stage = label_stages.segmentation(models, STEP)
    sharp = _found(models["segmenter"], image)
    upsampled = _found(models["segmenter"], _upsampled_compact(image))
    part = (count + 1) // 2
    for training, size in ((True, part), (False, count)):
        losses, metrics, _ = stage.losses(batch, training)
        assert np.isfinite(losses["segmenter"])
        expected = _share(upsampled[:size], label_map[:size])
        assert float(metrics["pixel_accuracy_upsampled"]) == pytest.approx(expected, abs=1e-5)
        rest = slice(part, None) if training else slice(None)
        expected = _share(sharp[rest], label_map[rest])
        assert 0.4 < expected < 0.6
        assert float(metrics["pixel_accuracy"]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_stage2_by_index_is_the_squared_error_of_ids_and_scores_them_rounded(channels):
    smapnet = _timid(build_smapnet("index", channels, filters=4, blocks=2))
    models = {"compnet": _compnet(), "segmenter": _segmenter(), "smapnet": smapnet}
    batch = _half_true(_batch(4), models["segmenter"])
    stage = label_stages.stage2(models, STEP, "index")
    losses, metrics, _ = stage.losses(batch, training=False)
    sharp = _found(models["segmenter"], batch["image"])
    blurred = _found(models["segmenter"], _upsampled_compact(batch["image"]))
    image = blurred[..., None].repeat(channels, -1).astype(np.float32) / 255
    mapped = smapnet(image).numpy()
    error = np.mean((mapped - sharp[..., None] / 255) ** 2)
    assert float(losses["smapnet"]) == pytest.approx(error, rel=1e-4)
    ids = np.clip(np.rint(mapped.mean(-1) * 255), 0, 150)
    assert 0 < np.mean(ids == sharp) < np.mean(blurred == sharp) < 1
    assert float(metrics["agreement"]) == pytest.approx(np.mean(ids == sharp), abs=1e-5)
    assert float(metrics["agreement_before"]) == pytest.approx(np.mean(blurred == sharp), abs=1e-5)
    expected = _share(blurred, batch["label_map"])
    assert float(metrics["pixel_accuracy_before"]) == pytest.approx(expected, abs=1e-5)
    assert float(metrics["pixel_accuracy"]) == pytest.approx(
        _share(ids, batch["label_map"]), abs=1e-5
    )


@pytest.mark.parametrize(("representation", "channels"), REPRESENTATIONS)
def test_stage2_lowers_the_loss_of_smapnet_and_leaves_the_others(representation, channels):
    smapnet = build_smapnet(representation, channels, filters=8, blocks=2)
    models = {"compnet": _compnet(), "segmenter": _segmenter(), "smapnet": smapnet}
    stage = label_stages.stage2(models, STEP, representation)
    before = [v.numpy() for v in models["segmenter"].weights]
    optimizer = layerwise(keras.optimizers.Adam(1e-2), Rules())
    optimizer.build(stage.variables("smapnet"))
    step = train_step(stage, {"smapnet": optimizer})
    losses = [float(step(_batch(2))["loss/smapnet"]) for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]
    for old, new in zip(before, models["segmenter"].weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


@pytest.mark.parametrize(("representation", "channels"), REPRESENTATIONS)
@pytest.mark.parametrize("stride", [8, 1])
def test_stage3_uses_the_label_map_that_the_decoder_finds(representation, channels, stride):
    smapnet = _timid(build_smapnet(representation, channels, filters=4, blocks=1))
    models = {
        "finenet": build_finenet("lite", LiteSize(filters=4, blocks=1, tail=((4, 0), (4, 0)))),
        "segmenter": _segmenter(stride=stride),
        "smapnet": smapnet,
    }
    networks = SimpleNamespace(
        model=models.__getitem__,
        is_exact=lambda role: False,
        exact_weights=lambda role: None,
        variant=dataclasses.replace(
            VARIANTS["lite"], representation=representation, label_stride=stride
        ),
    )
    compact = np.random.default_rng(5).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    decoder, _ = KerasPredictor(networks).predict(Compact(compact, 8, quality=None), "mapped")
    signal = upsample(compact[None].astype(np.float32) / 127.5 - 1, 8)
    label_map = label_maps.decoder_label_map(models, signal, representation).numpy()
    assert len(np.unique(decoder)) > 3
    np.testing.assert_array_equal(label_map[0], decoder.repeat(stride, 0).repeat(stride, 1))


def test_stage2_of_an_unknown_representation_is_refused():
    with pytest.raises(ValueError, match="'ids' is unknown; allowed: classes, index"):
        label_stages.stage2({}, STEP, "ids")


@pytest.fixture
def bfloat16_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def _stages(policy):
    """Return every stage on networks of a policy; the rate model is always in float32."""
    keras.config.set_dtype_policy(policy)
    compnet, finenet, segmenter = _compnet(), _finenet(), _segmenter()
    both, smapnet = _segmenter(auxiliary=True), build_smapnet("classes", filters=4, blocks=1)
    keras.config.set_dtype_policy("float32")
    weights = LossWeights(gan=0, feature_matching=0, perceptual=0, log_mse=1, rate=4)
    codec = {"compnet": compnet, "finenet": finenet, "rate": build_rate_model(max_level(STEP), 8)}
    labels = {"compnet": compnet, "segmenter": segmenter, "smapnet": smapnet}
    return {
        "stage1": codec_stages.stage1(codec, weights, STEP),
        "segmentation": label_stages.segmentation({"compnet": compnet, "segmenter": both}, STEP),
        "stage2": label_stages.stage2(labels, STEP),
        "stage3": codec_stages.stage3({**codec, **labels}, weights, STEP),
    }


def test_losses_of_networks_in_bfloat16_are_float32_and_close_to_those_in_float32():
    exact = _stages("float32")
    for name, half in _stages("mixed_bfloat16").items():
        # Stage 2's target is itself an arg max: one label that flips changes the mean of few cells.
        near = 0.1 if name.startswith("stage2") else 0.02
        for role, model in half.models.items():
            model.set_weights(exact[name].models[role].get_weights())
        got, wanted = (stage.losses(_batch(4), training=False) for stage in (half, exact[name]))
        for values, references in zip(got[:2], wanted[:2], strict=True):
            assert values.keys() == references.keys()
            for key, value in values.items():
                assert value.dtype == "float32", (name, key)
                assert float(value) == pytest.approx(float(references[key]), rel=near, abs=0.05)
        assert any(float(value) != float(wanted[0][key]) for key, value in got[0].items())


@pytest.mark.parametrize("variant", ["lite", "paper"])
def test_the_compact_image_is_float32_where_networks_compute_in_bfloat16(bfloat16_policy, variant):
    compnet = build_compnet(variant)
    assert "bfloat16" in {layer.compute_dtype for layer in compnet.layers}
    image = np.random.default_rng(6).uniform(-1, 1, (1, 32, 32, 3))
    compact = compnet([image, np.zeros((1, 32, 32), "int32")])
    assert compact.dtype == "float32"
    rounded = tf.cast(tf.cast(compact, tf.bfloat16), tf.float32)
    assert not np.array_equal(compact, rounded)
    assert quantize(compact, 1)[1].dtype == "float32"
