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
    decode_lossless_residual,
    encode_lossless_residual,
    encode_residual,
)
from tests.helpers.paths import DEMO_PHOTO
from tests.helpers.residuals import decode_residual

PHOTO = np.asarray(Image.open(DEMO_PHOTO).convert("RGB"))
CODERS = [
    "av1",
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


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("coder", CODERS)
def test_a_large_residual_is_coded_in_blocks(coder):
    residual = residual_of(picture(100, 130))
    layer, mapping = encode_residual(residual, 90, coder, speed=FAST)
    decoded = decode_residual(layer, residual.shape, mapping)
    assert mse(decoded, residual) < 0.15 * np.mean(residual.astype(float) ** 2)
    longer = Layer("residual", coder, layer.payload + b"\0")
    with pytest.raises(errors.PayloadError, match="after the last block"):
        decode_residual(longer, residual.shape, mapping)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (100, 130)])
def test_a_lossless_residual_gives_the_exact_picture(size, channels, small_blocks):
    pixels = picture(*size, channels)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, pixels.shape, np.uint8)
    for predicted in (prediction(pixels), noise, 255 - pixels):
        layer = encode_lossless_residual(pixels, predicted)
        assert (layer.kind, layer.coder) == ("residual", "jxl")
        np.testing.assert_array_equal(decode_lossless_residual(layer, predicted), pixels)


def test_a_good_prediction_saves_lossless_bytes():
    pixels = picture(128, 128)
    nothing = np.full_like(pixels, 128)
    better = pixels + np.random.default_rng(0).integers(-1, 2, pixels.shape).astype(np.uint8)
    sizes = [len(encode_lossless_residual(pixels, p).payload) for p in (better, nothing)]
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
    with pytest.raises(errors.SmapcompError, match="'heic'; allowed are av1"):
        encode_lossy_compact(picture(16, 24), 50, "heic")


def test_damaged_lossless_residuals_are_refused():
    pixels = picture(16, 24)
    payload = encode_lossless_residual(pixels, prediction(pixels)).payload
    for damaged in (b"", payload[: len(payload) // 2], b"\0" + payload):
        with pytest.raises(errors.PayloadError):
            decode_lossless_residual(Layer("residual", "jxl", damaged), prediction(pixels))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_lossy_compact_layer_comes_back_better_with_more_quality(channels):
    image = picture(64, 96, channels)
    sizes, errors_of = [], []
    for quality in (30, 60, 90):
        layer = encode_lossy_compact(image, quality, speed=FAST)
        assert (layer.kind, layer.coder) == ("compact", "av1")
        decoded = decode_lossy_compact(layer, image.shape)
        assert decoded.dtype == np.uint8
        sizes.append(len(layer.payload))
        errors_of.append(mse(decoded, image))
    assert sizes == sorted(sizes)
    assert errors_of == sorted(errors_of, reverse=True)


def test_more_gain_is_fewer_bytes_and_a_worse_compact_image():
    image = picture(96, 130)
    sizes, errors_of = [], []
    for gain in (0, 32, 64, 96, MAX_GAIN):
        layer = encode_lossy_compact(image, 80, gain=gain, speed=FAST)
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
def test_a_large_compact_image_is_coded_in_blocks():
    image = picture(100, 130)
    layer = encode_lossy_compact(image, 95, gain=16, speed=FAST)
    assert mse(decode_lossy_compact(layer, image.shape, 16), image) < 20
    with pytest.raises(errors.PayloadError):
        decode_lossy_compact(layer, (100, 131, 3), 16)
