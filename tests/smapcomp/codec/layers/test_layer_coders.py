"""Residual and compact layers with each of their coders, and the steps between two qualities."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from smapcomp import errors
from smapcomp.codec.bitstream.stream import MAX_GAIN, Layer
from smapcomp.codec.layers import blocks
from smapcomp.codec.layers.compact import decode_lossy_compact, encode_lossy_compact
from smapcomp.codec.layers.residual import (
    ResidualRange,
    choose_range,
    decode_lossless_residual,
    decode_residual,
    decode_samples,
    encode_lossless_residual,
    encode_residual,
    full_range,
)
from tests.helpers.paths import DEMO_PHOTO

PHOTO = np.asarray(Image.open(DEMO_PHOTO).convert("RGB"))
CODERS = [
    "av1",
    "jxl_lossy",
    pytest.param(
        "heic",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("pillow_heif") is None, reason="pillow-heif is not installed"
        ),
    ),
]
FAST = 9


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return PHOTO[200 : 200 + height, 150 : 150 + width, :channels].copy()


def prediction(pixels: np.ndarray) -> np.ndarray:
    """The picture blurred by halving and doubling it; uint8 of the same shape."""
    height, width, channels = pixels.shape
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    small = image.resize((-(-width // 2), -(-height // 2)), Image.Resampling.BOX)
    large = small.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(large).reshape(pixels.shape)


def residual_of(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.int16) - prediction(pixels)


def mse(first: np.ndarray, second: np.ndarray) -> float:
    return np.mean((first.astype(float) - second) ** 2)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_SIDE", 64)
    monkeypatch.setattr(blocks, "MAX_WHOLE", 100 * 100)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("coder", CODERS)
def test_each_coder_brings_a_residual_back(coder, channels):
    residual = residual_of(picture(96, 130, channels))
    sizes, errors_of = [], []
    for quality in (20, 55, 90):
        layer, mapping = encode_residual(residual, quality, coder, speed=FAST)
        assert (layer.kind, layer.coder) == ("residual", coder)
        decoded = decode_residual(layer, residual.shape, mapping)
        assert decoded.dtype == np.int16
        sizes.append(len(layer.payload))
        errors_of.append(mse(residual, decoded))
    assert sizes == sorted(sizes)
    assert errors_of == sorted(errors_of, reverse=True)
    assert errors_of[-1] < 0.15 * np.mean(residual.astype(float) ** 2)


@pytest.mark.parametrize("coder", CODERS)
def test_a_wider_range_is_fewer_bytes_and_a_worse_residual(coder):
    residual = residual_of(picture(96, 130))
    sizes, errors_of = [], []
    for widen in (1.0, 1.2, 1.5, 2.0):
        layer, mapping = encode_residual(residual, 70, coder, speed=FAST, widen=widen)
        sizes.append(len(layer.payload))
        errors_of.append(mse(residual, decode_residual(layer, residual.shape, mapping)))
    assert sizes == sorted(sizes, reverse=True)
    assert errors_of == sorted(errors_of)
    assert sizes[-1] < 0.8 * sizes[0]


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (-20, 31), (-200, 90), (40, 41), (250, 255)])
def test_a_widened_range_holds_the_narrower_one_and_has_the_span(low, high):
    for factor in (1, 1.01, 1.3, 2, 50):
        wide = ResidualRange(low, high).widened(factor)
        assert -255 <= wide.low <= low < high <= wide.high <= 255
        if wide.low > -255 and wide.high < 255:
            assert abs(wide.high - wide.low - factor * (high - low)) <= 1
    assert ResidualRange(low, high).widened(1) == ResidualRange(low, high)


@pytest.mark.usefixtures("bpg_programs")
def test_bpg_takes_the_papers_range_and_av1_the_clipped_one():
    residual = residual_of(picture(64, 96))
    residual[5, 7, 1] = 200
    layer, mapping = encode_residual(residual, 90, "bpg")
    assert layer.coder == "bpg"
    assert mapping == ResidualRange(residual.min(), 200)
    assert mse(decode_residual(layer, residual.shape, mapping), residual) < 30
    assert encode_residual(residual, 90, speed=FAST)[1] == choose_range(residual)
    assert choose_range(residual).high < 200


@pytest.mark.parametrize("value", [-255, 0, 255])
def test_a_residual_of_one_value_has_a_legal_papers_range(value):
    mapping = full_range(np.full((2, 3, 1), value, np.int16))
    assert -255 <= mapping.low < mapping.high <= 255
    assert mapping.low <= value <= mapping.high


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("coder", CODERS)
def test_a_large_residual_is_coded_in_blocks(coder):
    residual = residual_of(picture(100, 130))
    layer, mapping = encode_residual(residual, 90, coder, speed=FAST)
    decoded = decode_residual(layer, residual.shape, mapping)
    assert mse(decoded, residual) < 0.15 * np.mean(residual.astype(float) ** 2)
    with pytest.raises(errors.PayloadError):
        decode_samples(layer, residual.shape, whole=True)
    longer = Layer("residual", coder, layer.payload + b"\0")
    with pytest.raises(errors.PayloadError, match="after the last block"):
        decode_residual(longer, residual.shape, mapping)


def test_a_version_1_residual_of_any_size_is_one_picture(monkeypatch):
    residual = residual_of(picture(100, 130))
    layer, _ = encode_residual(residual, 60, speed=FAST)
    decoded = decode_samples(layer, residual.shape)
    monkeypatch.setattr(blocks, "MAX_WHOLE", 100)
    again = decode_samples(layer, residual.shape, whole=True)
    np.testing.assert_array_equal(again, decoded)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (100, 130)])
def test_a_lossless_residual_gives_the_exact_picture(size, channels, small_blocks):
    pixels = picture(*size, channels)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, pixels.shape, np.uint8)
    for predicted in (prediction(pixels), noise, 255 - pixels):
        layer = encode_lossless_residual(pixels, predicted, speed=7)
        assert (layer.kind, layer.coder) == ("residual", "jxl")
        np.testing.assert_array_equal(decode_lossless_residual(layer, predicted), pixels)


def test_a_good_prediction_saves_lossless_bytes():
    pixels = picture(128, 128)
    nothing = np.full_like(pixels, 128)
    better = pixels + np.random.default_rng(0).integers(-1, 2, pixels.shape).astype(np.uint8)
    sizes = [len(encode_lossless_residual(pixels, p, 5).payload) for p in (better, nothing)]
    assert sizes[0] < 0.6 * sizes[1]


def test_layers_of_the_other_sort_and_other_coders_are_refused():
    residual = residual_of(picture(16, 24))
    lossy, mapping = encode_residual(residual, 50, speed=FAST)
    lossless = encode_lossless_residual(picture(16, 24), picture(16, 24))
    with pytest.raises(errors.SmapcompError, match="'jxl'; allowed are av1"):
        decode_residual(lossless, residual.shape, mapping)
    with pytest.raises(errors.SmapcompError, match="'av1'; allowed are jxl"):
        decode_lossless_residual(lossy, picture(16, 24))
    with pytest.raises(errors.SmapcompError, match="'flif'; allowed are av1"):
        encode_residual(residual, 50, "flif")
    with pytest.raises(errors.SmapcompError, match="'bpg'; allowed are av1"):
        encode_lossy_compact(picture(16, 24), 50, "bpg")


def test_damaged_lossless_residuals_are_refused():
    pixels = picture(16, 24)
    payload = encode_lossless_residual(pixels, prediction(pixels)).payload
    for damaged in (b"", payload[: len(payload) // 2], b"\0" + payload):
        with pytest.raises(errors.PayloadError):
            decode_lossless_residual(Layer("residual", "jxl", damaged), prediction(pixels))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("coder", ["av1", "jxl_lossy"])
def test_a_lossy_compact_layer_comes_back_better_with_more_quality(coder, channels):
    image = picture(64, 96, channels)
    sizes, errors_of = [], []
    for quality in (30, 60, 90):
        layer = encode_lossy_compact(image, quality, coder, speed=FAST)
        assert (layer.kind, layer.coder) == ("compact", coder)
        decoded = decode_lossy_compact(layer, image.shape)
        assert decoded.dtype == np.uint8
        sizes.append(len(layer.payload))
        errors_of.append(mse(decoded, image))
    assert sizes == sorted(sizes)
    assert errors_of == sorted(errors_of, reverse=True)


@pytest.mark.parametrize("coder", ["av1", "jxl_lossy"])
def test_more_gain_is_fewer_bytes_and_a_worse_compact_image(coder):
    image = picture(96, 130)
    sizes, errors_of = [], []
    for gain in (0, 32, 64, 96, MAX_GAIN):
        layer = encode_lossy_compact(image, 80, coder, gain, speed=FAST)
        sizes.append(len(layer.payload))
        errors_of.append(mse(decode_lossy_compact(layer, image.shape, gain), image))
    assert sizes == sorted(sizes, reverse=True)
    assert errors_of == sorted(errors_of)
    assert sizes[-1] < 0.8 * sizes[0]


def test_gains_are_the_rounded_straight_lines_and_each_others_inverse(monkeypatch):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for gain in (0, 1, 7, 64, MAX_GAIN):
        exact = 128 + (values.astype(float) - 128) * (256 - gain) / 256
        back = np.clip(128 + (np.floor(exact + 0.5) - 128) * 256 / (256 - gain), 0, 255)
        coded = []

        def encode(samples: np.ndarray, *_, coded=coded) -> bytes:
            coded.append(samples)
            return samples.tobytes()

        coder = type(
            "Exact",
            (),
            {"encode": encode, "decode": lambda data, shape: np.frombuffer(data, np.uint8)},
        )
        monkeypatch.setattr(
            "smapcomp.codec.layers.compact.find_coder", lambda *_, coder=coder: coder
        )
        layer = encode_lossy_compact(values, 50, gain=gain)
        decoded = decode_lossy_compact(layer, values.shape, gain)
        np.testing.assert_array_equal(coded[0], np.floor(exact + 0.5))
        np.testing.assert_array_equal(decoded.reshape(values.shape), np.floor(back + 0.5))
        assert np.abs(decoded.reshape(values.shape).astype(int) - values).max() <= (gain > 0)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("coder", ["av1", "jxl_lossy"])
def test_a_large_compact_image_is_coded_in_blocks(coder):
    image = picture(100, 130)
    layer = encode_lossy_compact(image, 95, coder, 16, speed=FAST)
    assert mse(decode_lossy_compact(layer, image.shape, 16), image) < 20
    with pytest.raises(errors.PayloadError):
        decode_lossy_compact(layer, (100, 131, 3), 16)
