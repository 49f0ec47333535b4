"""Strength layer: what is chosen, what it costs, and what decoders make of it."""

import numpy as np
import pytest

from smapcomp import errors
from smapcomp.codec.bitstream.stream import Layer
from smapcomp.codec.layers.strengths import (
    BLOCK,
    HALVES,
    NEUTRAL,
    apply_strengths,
    choose_strengths,
    decode_strengths,
    encode_strengths,
    grid_shape,
)


def noise(seed: int, shape=(150, 200, 3), low: int = 60, high: int = 190) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint8)


@pytest.mark.parametrize("index", range(len(HALVES)))
def test_a_strength_scales_the_correction(index):
    upsampled, prediction = noise(0), noise(1)
    indices = np.full(grid_shape(150, 200), index, np.uint8)
    found = apply_strengths(prediction, upsampled, indices)
    correction = prediction.astype(float) - upsampled
    exact = np.floor(upsampled + HALVES[index] / 2 * correction + 0.5)
    np.testing.assert_array_equal(found, np.clip(exact, 0, 255))


def test_strengths_belong_to_blocks_of_64_pixels():
    upsampled, prediction = noise(0), noise(1)
    indices = np.full(grid_shape(150, 200), NEUTRAL, np.uint8)
    indices[1, 2] = 0
    found = apply_strengths(prediction, upsampled, indices)
    expected = prediction.copy()
    expected[64:128, 128:192] = upsampled[64:128, 128:192]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("index", range(len(HALVES)))
def test_the_best_strength_is_chosen_where_it_pays(index):
    upsampled, prediction = noise(0), noise(1)
    indices = np.full(grid_shape(150, 200), index, np.uint8)
    pixels = apply_strengths(prediction, upsampled, indices)
    np.testing.assert_array_equal(choose_strengths(pixels, prediction, upsampled), indices)


def test_a_change_that_saves_less_than_its_bits_is_not_made():
    upsampled = noise(0)
    prediction = upsampled + np.uint8(1)
    pixels = noise(2)  # neither helps
    assert (choose_strengths(pixels, prediction, upsampled) == NEUTRAL).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_result_is_never_worse_than_the_compact_image_or_the_prediction(seed):
    pixels, upsampled, prediction = (noise(3 * seed + k) for k in range(3))
    indices = choose_strengths(pixels, prediction, upsampled)
    decoded = apply_strengths(prediction, upsampled, indices)

    def error(picture):
        return np.square(pixels.astype(float) - picture).sum()

    assert error(decoded) <= 1.01 * min(error(upsampled), error(prediction))


@pytest.mark.parametrize("shape", [(1, 1, 3), (300, 1, 3), (9, 9, 1), (64, 64, 3)])
def test_harm_is_prevented_even_where_the_bits_are_worth_more(shape):
    upsampled = noise(0, shape)
    pixels = upsampled + np.uint8(4)
    prediction = upsampled - np.uint8(1)
    indices = choose_strengths(pixels, prediction, upsampled)
    decoded = apply_strengths(prediction, upsampled, indices)

    def error(picture):
        return np.square(pixels.astype(float) - picture).sum()

    assert error(decoded) <= 1.0116 * error(upsampled)  # 0.05 dB


def test_invisible_pixels_have_no_say():
    upsampled, prediction = noise(0), noise(1)
    visible = np.zeros((150, 200), bool)
    visible[10:20, 10:150] = True
    pixels = np.where(visible[..., None], upsampled, prediction)
    indices = choose_strengths(pixels, prediction, upsampled, visible)
    decoded = apply_strengths(prediction, upsampled, indices)
    np.testing.assert_array_equal(decoded[visible], pixels[visible])


@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (65, 64), (700, 1000)])
def test_strengths_come_back(shape):
    indices = np.random.default_rng(0).integers(0, 5, grid_shape(*shape), dtype=np.uint8)
    indices[0, 0] = 0
    layer = encode_strengths(indices)
    assert (layer.kind, layer.coder) == ("strengths", "adaptive")
    np.testing.assert_array_equal(decode_strengths(layer, shape), indices)


def test_equal_strengths_take_few_bytes_and_strength_1_none():
    shape = (64 * 20, 64 * 30)
    assert len(encode_strengths(np.zeros(grid_shape(*shape), np.uint8)).payload) < 20
    assert encode_strengths(np.full(grid_shape(*shape), NEUTRAL, np.uint8)) is None


def test_bytes_that_no_strength_needs_are_refused():
    shape = (BLOCK, 3 * BLOCK)
    payload = encode_strengths(np.array([[0, 4, 2]], np.uint8)).payload
    with pytest.raises(errors.PayloadError, match="after the last strength"):
        decode_strengths(Layer("strengths", "adaptive", payload + bytes(range(1, 9))), shape)
