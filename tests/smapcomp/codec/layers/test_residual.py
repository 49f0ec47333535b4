"""The residual layer: its mapping, its AV1 pictures, and what else is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from smapcomp import errors
from smapcomp.codec.bitstream.stream import Layer
from smapcomp.codec.coders.avif import strip_avif, wrap_avif
from smapcomp.codec.layers.residual import (
    CLIP_MSE,
    ResidualRange,
    choose_range,
    encode_residual,
)
from tests.helpers.residuals import decode_residual

SIZES = [(1, 1), (1, 40), (37, 50), (64, 96)]


def residual_of_a_picture(height: int, width: int, channels: int, spread: float = 12.0):
    """Waves and noise, as a prediction lacks them; int16."""
    rng = np.random.default_rng(height * width + channels)
    rows, columns, planes = np.mgrid[:height, :width, :channels]
    waves = np.sin(rows / 3 + planes) * np.cos(columns / 2)
    noisy = spread * waves + rng.laplace(0, spread / 4, waves.shape)
    return np.clip(np.rint(noisy), -255, 255).astype(np.int16)


def psnr_of_residual(residual: np.ndarray, decoded: np.ndarray) -> float:
    mse = np.mean((residual.astype(float) - decoded) ** 2)
    return 10 * np.log10(255**2 / mse)


def avif(image: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    options = {"quality": 70, "speed": 8, "subsampling": "4:4:4", "autotiling": False, **options}
    Image.fromarray(image).save(buffer, format="AVIF", **options)
    return buffer.getvalue()


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Mid-grey with waves; uint8 [height, width, channels], or [height, width] of one channel."""
    samples = (128 + residual_of_a_picture(height, width, channels)).astype(np.uint8)
    return samples[..., 0] if channels == 1 else samples


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (-20, 30), (-128, 127), (-255, 255), (3, 90)])
def test_the_mapping_is_the_rounded_straight_line_of_the_format(low, high):
    mapping = ResidualRange(low, high)
    samples = np.arange(256)
    exact = low + samples * (high - low) / 255
    residuals = mapping.to_residual(samples.astype(np.uint8))
    np.testing.assert_array_equal(residuals, np.floor(exact + 0.5))
    assert residuals[[0, -1]].tolist() == [low, high]
    every = np.arange(-255, 256)
    back = low + mapping.to_samples(every).astype(int) * (high - low) / 255
    assert np.abs(back - np.clip(every, low, high)).max() <= (high - low) / 510 + 1e-9


def test_residuals_within_255_levels_map_without_loss():
    mapping = ResidualRange(-100, 90)
    every = np.arange(-100, 91)
    np.testing.assert_array_equal(mapping.to_residual(mapping.to_samples(every)), every)


@pytest.mark.parametrize("spread", [0.5, 5, 50])
def test_the_range_is_the_narrowest_within_the_clipping_budget(spread):
    residual = residual_of_a_picture(64, 96, 3, spread)
    chosen = choose_range(residual)
    half = residual.size * CLIP_MSE / 2

    def below(low: int) -> float:
        return sum((low - int(value)) ** 2 for value in residual[residual < low])

    def above(high: int) -> float:
        return sum((int(value) - high) ** 2 for value in residual[residual > high])

    assert below(chosen.low) <= half
    assert above(chosen.high) <= half
    assert chosen.low == -1 or below(chosen.low + 1) > half
    assert chosen.high == 1 or above(chosen.high - 1) > half


def test_a_single_far_value_does_not_cost_the_others_their_precision():
    residual = np.zeros((512, 768, 3), np.int16)
    residual[5, 7, 1] = 200
    assert choose_range(residual).high < 120


def test_a_residual_of_nothing_has_a_legal_range():
    assert choose_range(np.zeros((4, 4, 3), np.int16)) == ResidualRange(-1, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_at_the_highest_quality_a_residual_comes_back_nearly_exactly(size, channels):
    residual = residual_of_a_picture(*size, channels)
    layer, mapping = encode_residual(residual, 100)
    decoded = decode_residual(layer, residual.shape, mapping)
    assert decoded.dtype == np.int16
    assert np.mean((decoded - residual) ** 2) < 0.1  # 58 dB


@pytest.mark.parametrize("channels", [1, 3])
def test_more_quality_is_more_bytes_and_more_psnr(channels):
    residual = residual_of_a_picture(64, 96, channels)
    sizes, psnrs = [], []
    for quality in (5, 20, 35, 50, 65, 80, 95):
        layer, mapping = encode_residual(residual, quality)
        sizes.append(len(layer.payload))
        psnrs.append(psnr_of_residual(residual, decode_residual(layer, residual.shape, mapping)))
    assert sizes == sorted(sizes)
    assert psnrs == sorted(psnrs)
    assert sizes[-1] > 3 * sizes[0]


def test_the_same_residual_gives_the_same_bytes():
    residual = residual_of_a_picture(64, 96, 3)
    assert encode_residual(residual, 50) == encode_residual(residual.copy(), 50)


@pytest.mark.parametrize("shape", [(1, 1, 3), (37, 50, 1), (37, 50, 3), (16, 5000, 3)])
def test_a_rebuilt_avif_file_shows_what_the_encoders_own_file_shows(shape):
    file = avif(picture(*shape), subsampling="4:0:0" if shape[2] == 1 else "4:4:4")
    kept = strip_avif(file)
    assert len(file) - len(kept) > 250
    original, rebuilt = (Image.open(io.BytesIO(data)) for data in (file, wrap_avif(kept, shape)))
    assert rebuilt.mode == original.mode
    np.testing.assert_array_equal(np.asarray(rebuilt), np.asarray(original))


WRONG_PICTURES = {
    "larger": (avif(picture(600, 800), quality=5), "800x600 pixels, must be 24x16"),
    "4:2:0": (avif(picture(16, 24), subsampling="4:2:0"), r"\(0, 1, 1\)"),
    "4:2:2": (avif(picture(16, 24), subsampling="4:2:2"), r"\(2, 1, 1\)"),
    "grey": (avif(picture(16, 24, 1), subsampling="4:0:0"), r"\(0, 1, 1\)"),
}


@pytest.mark.parametrize("case", WRONG_PICTURES)
def test_an_av1_picture_of_anything_else_is_refused_by_its_header(case):
    file, message = WRONG_PICTURES[case]
    with pytest.raises(errors.PayloadError, match=message):
        decode_residual(
            Layer("residual", "av1", strip_avif(file)), (16, 24, 3), ResidualRange(-9, 9)
        )


def test_more_than_one_frame_is_refused():
    payload = strip_avif(avif(picture(16, 24)))
    sequence_size = 2 + payload[1]
    for longer in (payload + payload[sequence_size:], payload + payload):
        with pytest.raises(errors.PayloadError, match="OBUs of types"):
            wrap_avif(longer, (16, 24, 3))


def test_every_cut_of_a_residual_is_refused():
    shape = (16, 24, 3)
    payload = strip_avif(avif(picture(*shape)))
    for size in range(1, len(payload)):
        with pytest.raises(errors.PayloadError):
            decode_residual(Layer("residual", "av1", payload[:size]), shape, ResidualRange(-9, 9))


def test_a_picture_above_pillows_own_limit_is_the_callers_to_allow(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    residual = residual_of_a_picture(37, 50, 3)
    layer, mapping = encode_residual(residual, 90)
    assert decode_residual(layer, residual.shape, mapping).shape == residual.shape
