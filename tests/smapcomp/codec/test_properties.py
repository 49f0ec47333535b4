"""Properties of the bitstream for random values."""

import contextlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smapcomp.codec.bitstream.container import MAGIC, pack, unpack
from smapcomp.codec.bitstream.stream import (
    CODERS,
    LAYER_ORDER,
    LOSSLESS_RESIDUAL_CODER,
    LOSSY_COMPACT_CODERS,
    VARIANTS,
    Layer,
    Stream,
)
from smapcomp.codec.layers.compact import (
    decode_compact,
    decode_lossy_compact,
    encode_compact,
    encode_lossy_compact,
)
from smapcomp.codec.layers.labels import decode_labels, encode_labels
from smapcomp.codec.layers.metadata import decode_metadata, encode_metadata
from smapcomp.codec.layers.residual import decode_lossless_residual, encode_lossless_residual
from smapcomp.design import DIGEST_BYTES, MODES, SCALES, Tiling
from smapcomp.errors import StreamError

QUICK = settings(max_examples=60, deadline=None)
DIGESTS = st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES)


@st.composite
def streams(draw) -> Stream:
    mode = draw(st.sampled_from(MODES))
    optional = set(draw(st.lists(st.sampled_from(LAYER_ORDER))))
    kinds = (optional - {"labels"}) | {"compact"} | ({"labels"} if mode == "sent" else set())
    layers = tuple(
        Layer(kind, draw(st.sampled_from(CODERS[kind])), draw(st.binary(min_size=1, max_size=20)))
        for kind in LAYER_ORDER
        if kind in kinds
    )
    coders = {layer.kind: layer.coder for layer in layers}
    lossy = coders["compact"] in LOSSY_COMPACT_CODERS
    low, high = 0, 0
    if coders.get("residual", LOSSLESS_RESIDUAL_CODER) != LOSSLESS_RESIDUAL_CODER:
        low = draw(st.integers(-255, 254))
        high = draw(st.integers(low + 1, 255))
    overlap = 16 * draw(st.integers(1, 50))
    side = draw(st.integers(2 * overlap // 16, 4096)) * 16
    return Stream(
        width=draw(st.integers(1, 65_536)),
        height=draw(st.integers(1, 65_536)),
        channels=draw(st.sampled_from([1, 3])),
        compact_scale=draw(st.sampled_from(SCALES)),
        compact_step=None if lossy else draw(st.integers(1, 128)),
        compact_quality=draw(st.integers(0, 100)) if lossy else None,
        compact_gain=draw(st.integers(0, 128)) if lossy else 0,
        mode=mode,
        variant=draw(st.sampled_from(VARIANTS)),
        model_digest=draw(DIGESTS),
        prediction_digest=draw(DIGESTS),
        residual_low=low,
        residual_high=high,
        tiling=draw(st.sampled_from([None, Tiling(side, overlap)])),
        layers=layers,
    )


@QUICK
@given(streams())
def test_every_stream_is_read_as_it_was_written(stream):
    assert unpack(pack(stream), max_pixels=None) == stream


@QUICK
@given(streams(), st.data())
def test_a_stream_cut_anywhere_is_an_error_or_its_first_layers(stream, data):
    whole = pack(stream)
    size = data.draw(st.integers(0, len(whole) - 1))
    with contextlib.suppress(StreamError):
        read = unpack(whole[:size], max_pixels=None, partial=True)
        count = len(read.layers)
        assert read.layers == stream.layers[:count]
        assert read.missing == tuple(layer.kind for layer in stream.layers[count:])
        assert read.missing


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes_behind_the_magic_are_an_error_or_a_stream(data):
    for version in (b"\3", b""):
        with contextlib.suppress(StreamError):
            unpack(MAGIC + version + data)


def pictures(channels: int, top: int = 255):
    shape = st.tuples(st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**31))
    return shape.map(
        lambda s: np.random.default_rng(s[2]).integers(
            0, top + 1, (s[0], s[1], channels), dtype=np.uint8
        )
    )


@settings(max_examples=15, deadline=None)
@given(pictures(3, 32), pictures(1, 150))
def test_lossless_layers_give_back_what_they_were_given(levels, labels):
    found = decode_compact(encode_compact(levels), levels.shape, 8)
    np.testing.assert_array_equal(found, levels)
    found = decode_labels(encode_labels(labels[..., 0]), labels.shape[:2])
    np.testing.assert_array_equal(found, labels[..., 0])


@settings(max_examples=15, deadline=None)
@given(pictures(3), st.integers(0, 255))
def test_a_lossless_residual_gives_the_picture_whatever_the_prediction(picture, value):
    prediction = np.full_like(picture, value)
    layer = encode_lossless_residual(picture, prediction)
    np.testing.assert_array_equal(decode_lossless_residual(layer, prediction), picture)


@settings(max_examples=15, deadline=None)
@given(pictures(1), st.integers(0, 100), st.integers(0, 128))
def test_a_lossy_compact_layer_of_any_settings_decodes(picture, quality, gain):
    layer = encode_lossy_compact(picture, quality, "av1", gain=gain, speed=10)
    assert decode_lossy_compact(layer, picture.shape, gain).shape == picture.shape


@QUICK
@given(st.binary(min_size=1, max_size=500))
def test_metadata_come_back(data):
    assert decode_metadata(encode_metadata("icc", data)) == data
