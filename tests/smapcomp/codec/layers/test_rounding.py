"""The rounding layer: no small difference moves a value that it guards."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smapcomp.codec.bitstream.stream import Layer
from smapcomp.codec.layers.rounding import (
    BLOCK,
    MARGIN,
    MAX_INDEX,
    SPACING,
    RoundingDecoder,
    RoundingEncoder,
    choose_offsets,
    decode_offsets,
    encode_offsets,
    offset,
    round_values,
)
from smapcomp.errors import PayloadError
from smapcomp.predictors.base import plain_rounding

RNG = np.random.default_rng(0)


def values_of(height: int, width: int, channels: int = 3) -> np.ndarray:
    return RNG.uniform(-20, 275, (height, width, channels)).astype(np.float32)


@pytest.mark.parametrize("shape", [(16, 16, 3), (40, 50, 3), (1, 1, 1), (64, 33, 3)])
def test_differences_below_the_margin_change_no_value(shape):
    values = values_of(*shape)
    indices = choose_offsets(values)
    assert indices.shape == (-(-shape[0] // BLOCK), -(-shape[1] // BLOCK))
    expected = round_values(values, indices)
    for difference in (0.95 * MARGIN, -0.95 * MARGIN):
        other = values + np.float32(difference) * RNG.uniform(0.5, 1, shape).astype(np.float32)
        np.testing.assert_array_equal(round_values(other, indices), expected)
    plain = plain_rounding(0, values).astype(int)
    assert np.abs(expected - plain).max() <= 1


def test_values_just_outside_the_margin_stay_when_pushed_towards_the_boundary():
    # 98 %: next to 255 a float32 sum is off by up to 2^-17, in the encoder and in the decoder.
    side = RNG.choice([-1, 1], (256, 256, 3))
    away = side * MARGIN * RNG.uniform(0.97, 1.03, side.shape)
    level = RNG.integers(1, 255, side.shape)
    at_risk = RNG.random(side.shape) < 0.01
    values = np.where(at_risk, level + 0.5 + away, level).astype(np.float32)
    pushed = (values - side * 0.98 * MARGIN).astype(np.float32)
    indices = choose_offsets(values)
    np.testing.assert_array_equal(round_values(pushed, indices), round_values(values, indices))
    assert (plain_rounding(0, pushed) != plain_rounding(0, values)).any()


def test_without_offsets_the_same_differences_do_change_values():
    values = values_of(64, 64)
    moved = plain_rounding(0, values) != plain_rounding(0, values + np.float32(0.95 * MARGIN))
    assert moved.any()


def test_offset_0_is_plain_rounding():
    values = values_of(48, 48)
    zero = np.zeros((3, 3), np.uint8)
    np.testing.assert_array_equal(round_values(values, zero), plain_rounding(0, values))
    assert [offset(index) / SPACING for index in range(5)] == [0, 1, -1, 2, -2]


def test_values_that_are_clipped_anyway_cost_nothing():
    values = np.where(RNG.random((32, 32, 3)) < 0.5, -3.5, 300.5).astype(np.float32)
    assert not choose_offsets(values).any()


def test_a_block_that_no_offset_suits_takes_the_least_bad():
    grid = np.arange(3 * BLOCK * BLOCK, dtype=np.float32) / (3 * BLOCK * BLOCK)
    values = 100 + grid.reshape(1, BLOCK * BLOCK, 3).reshape(BLOCK, BLOCK, 3)
    (index,) = choose_offsets(values).ravel()

    def near(candidate: int) -> int:
        shifted = values + np.float32(0.5) + np.float32(offset(candidate))
        return int((np.abs(shifted - np.rint(shifted)) < MARGIN).sum())

    assert near(index) == min(near(candidate) for candidate in range(MAX_INDEX + 1))


def test_the_cost_is_what_theory_says():
    indices = choose_offsets(RNG.uniform(5, 250, (512, 512, 3)).astype(np.float32))
    bits = 8 * len(encode_offsets(indices).payload) / indices.size
    chance = np.exp(-2 * MARGIN * 3 * BLOCK * BLOCK)
    entropy = -np.log2(chance) - (1 - chance) / chance * np.log2(1 - chance)
    assert entropy < bits < 1.1 * entropy


def test_bands_are_rounded_as_the_whole_is():
    values = values_of(96, 40)
    encoder = RoundingEncoder(96, 40)
    bands = [encoder(top, values[top : top + 32]) for top in range(0, 96, 32)]
    np.testing.assert_array_equal(encoder.indices, choose_offsets(values))
    decoder = RoundingDecoder(encoder.indices)
    again = [decoder(top, values[top : top + 32]) for top in range(0, 96, 32)]
    np.testing.assert_array_equal(np.concatenate(again), np.concatenate(bands))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, MAX_INDEX), min_size=1, max_size=60), st.integers(1, 4))
def test_indices_come_back(found, rows):
    indices = np.array(found * rows, np.uint8).reshape(rows, -1)
    shape = rows * BLOCK, len(found) * BLOCK
    np.testing.assert_array_equal(decode_offsets(encode_offsets(indices), shape), indices)


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=40))
def test_any_bytes_are_indices_or_an_error(payload):
    with contextlib.suppress(PayloadError):
        indices = decode_offsets(Layer("rounding", "adaptive", payload), (50, 70))
        assert indices.shape == (4, 5)


def test_bytes_that_no_offset_needs_are_refused():
    layer = encode_offsets(np.zeros((4, 5), np.uint8))
    longer = Layer("rounding", "adaptive", layer.payload + bytes(range(1, 60)))
    with pytest.raises(PayloadError, match="after the last offset"):
        decode_offsets(longer, (50, 70))
