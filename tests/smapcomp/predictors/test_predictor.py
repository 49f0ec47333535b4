"""Labels, prediction and compact image with networks whose outputs are known."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from smapcomp.models.compnet import build_compnet
from smapcomp.models.finenet import build_finenet
from smapcomp.models.smapnet import build_smapnet
from smapcomp.predictors.base import Compact
from smapcomp.predictors.keras_predictor import KerasPredictor
from smapcomp.zoo import VARIANTS

RNG = np.random.default_rng(0)
COMPACT = Compact(RNG.integers(256, size=(5, 7, 3), dtype=np.uint8), 8, quality=None)


def segmenter_by_hue(stride: int) -> keras.Model:
    """Return a segmenter that finds class 10, 90 or 150 where red, green or blue dominates."""
    image = keras.Input((None, None, 3))
    kernel = np.zeros((1, 1, 3, 150), np.float32)
    kernel[0, 0, [0, 1, 2], [9, 89, 149]] = 1
    conv = keras.layers.Conv2D(150, 1, use_bias=False)
    x = keras.layers.AveragePooling2D(stride)(image) if stride > 1 else image
    model = keras.Model(image, conv(x + 2.0))
    conv.set_weights([kernel])
    return model


def identity_smapnet(representation: str, channels: int | None) -> keras.Model:
    model = build_smapnet(representation, channels)
    last = model.get_layer("conv_out")
    last.set_weights([np.zeros_like(w) for w in last.get_weights()])
    return model


def predictor(variant: str, channels: int | None = None) -> KerasPredictor:
    kind = VARIANTS[variant]
    models = {
        "compnet": build_compnet("lite"),
        "finenet": build_finenet("lite"),
        "segmenter": segmenter_by_hue(kind.label_stride),
        "smapnet": identity_smapnet(kind.representation, channels),
    }
    networks = SimpleNamespace(
        variant=kind,
        model=models.__getitem__,
        is_exact=lambda role: False,
        exact_weights=lambda role: None,
    )
    return KerasPredictor(networks)


def bilinear(compact: np.ndarray, scale: int = 8) -> np.ndarray:
    """Up-sample bilinearly between pixel centres with NumPy's interpolation, axis by axis."""

    def along(values: np.ndarray, axis: int) -> np.ndarray:
        size = values.shape[axis]
        at = (np.arange(size * scale) + 0.5) / scale - 0.5
        return np.apply_along_axis(lambda v: np.interp(at, np.arange(size), v), axis, values)

    return along(along(compact.astype(np.float64), 0), 1)


@pytest.mark.parametrize(("variant", "channels"), [("paper", 1), ("paper", 3), ("lite", None)])
def test_labels_are_the_likeliest_classes_and_a_zero_smapnet_keeps_them(variant, channels):
    made = predictor(variant, channels)
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:, :8, 0] = picture[:, 8:16, 1] = picture[:, 16:, 2] = 200
    expected = np.repeat([[10, 90, 150]], 16, 0).repeat(8, 1).astype(np.uint8)
    stride = made.variant.label_stride
    np.testing.assert_array_equal(made.source_labels(picture), expected[::stride, ::stride])
    matched, _ = made.predict(COMPACT, "matched")
    assert set(np.unique(matched)) <= {10, 90, 150}
    np.testing.assert_array_equal(made.predict(COMPACT, "mapped")[0], matched)
    assert made.predict(COMPACT, "none")[0] is None


def test_a_zero_finenet_predicts_the_upsampled_compact_image():
    # A new lite FineNet ends in zeros.
    made = predictor("lite")
    _, prediction = made.predict(COMPACT, "none")
    np.testing.assert_allclose(prediction, bilinear(COMPACT.image), atol=0.51)
    np.testing.assert_array_equal(made.upsampled_picture(COMPACT), prediction)


def test_mode_none_predicts_as_with_a_void_label_map():
    made = predictor("lite")
    detail = made.networks.model("finenet").get_layer("detail")
    kernel, bias = detail.get_weights()
    detail.set_weights([RNG.normal(0, 0.05, kernel.shape), bias])
    _, void = made.predict(COMPACT, "none")
    _, sent = made.predict(COMPACT, "sent", np.zeros((5, 7), np.uint8))
    np.testing.assert_array_equal(sent, void)
    _, labelled = made.predict(COMPACT, "sent", np.full((5, 7), 3, np.uint8))
    assert np.abs(labelled.astype(int) - void).max() > 1


def test_a_zero_compnet_gives_the_mean_of_each_block():
    # A new lite CompNet ends in zeros.
    made = predictor("lite")
    picture = RNG.integers(256, size=(24, 48, 3), dtype=np.uint8)
    step = made.variant.step
    mean = picture.reshape(3, 8, 6, 8, 3).mean((1, 3))
    levels = made.compact_levels(picture, grey=False)
    assert levels.dtype == np.uint8
    np.testing.assert_allclose(levels, mean / step, atol=0.51)
    grey = made.compact_levels(picture, grey=True)
    np.testing.assert_allclose(grey[..., 0], mean.mean(-1) / step, atol=0.51)
