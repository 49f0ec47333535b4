"""Compact and label layers: what goes in comes out, and nothing else is accepted."""

import contextlib

import imagecodecs
import numpy as np
import pytest

from smapcomp import errors
from smapcomp.codec.bitstream.range_coder import MAX_TOTAL, RangeDecoder, RangeEncoder
from smapcomp.codec.bitstream.stream import Layer
from smapcomp.codec.coders.jxl import decode_jxl, encode_jxl
from smapcomp.codec.layers import labels as labels_module
from smapcomp.codec.layers.compact import decode_compact, encode_compact, max_level
from smapcomp.codec.layers.labels import decode_labels, encode_labels
from smapcomp.design import dequantise_compact, quantise_compact

SIZES = [(2, 2), (2, 9), (16, 24), (33, 57), (64, 96)]


def smooth_image(height: int, width: int, channels: int, top: int = 255) -> np.ndarray:
    """Waves with a little noise, like a picture; uint8 0..top."""
    rng = np.random.default_rng(height * width + channels)
    rows, columns, planes = np.mgrid[:height, :width, :channels]
    waves = np.sin(rows / 7 + planes) + np.cos(columns / 11 - planes / 2)
    noisy = (waves / 4 + 0.5) * top + rng.normal(0, top / 60, waves.shape)
    return np.clip(noisy, 0, top).astype(np.uint8)


def label_map(height: int, width: int) -> np.ndarray:
    """Nearest of a few labelled points: regions with straight borders; uint8 0..150."""
    rng = np.random.default_rng(7)
    points = rng.random((12, 2)) * (height, width)
    ids = rng.integers(0, 151, 12)
    rows, columns = np.mgrid[:height, :width]
    distance = (rows - points[:, 0, None, None]) ** 2 + (columns - points[:, 1, None, None]) ** 2
    return ids[distance.argmin(0)].astype(np.uint8)


@pytest.mark.parametrize("step", [1, 5, 12, 16, 128])
def test_quantised_values_are_within_half_a_step(step):
    values = np.arange(256)
    levels = quantise_compact(values, step)
    assert levels.max() == max_level(step)
    assert np.abs(dequantise_compact(levels, step).astype(int) - values).max() <= step / 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_a_compact_layer_is_lossless(size, channels):
    for step in (1, 12):
        levels = quantise_compact(smooth_image(*size, channels), step)
        layer = encode_compact(levels)
        np.testing.assert_array_equal(decode_compact(layer, levels.shape, step), levels)


def test_a_compact_layer_is_a_plain_jpeg_xl_codestream():
    levels = smooth_image(16, 24, 3)
    payload = encode_compact(levels).payload
    assert payload[:2] == b"\xff\x0a"
    np.testing.assert_array_equal(imagecodecs.imread(payload, codec="jpegxl"), levels)


def test_levels_beyond_the_largest_are_refused():
    layer = encode_compact(np.full((2, 2, 1), 23, np.uint8))
    with pytest.raises(errors.PayloadError, match=r"level 23; at step 12 0\.\.21 are allowed"):
        decode_compact(layer, (2, 2, 1), 12)


def jxl(image: np.ndarray, **options) -> bytes:
    return imagecodecs.jpegxl_encode(image, **{"lossless": True, "usecontainer": False, **options})


def unboxed(file: bytes) -> bytes:
    """The codestream of a file that the encoder put into a container nevertheless."""
    return file[file.index(b"\xff\x0a") :]


WRONG_CODESTREAMS = {
    "larger": (jxl(smooth_image(300, 400, 3), effort=1), "400x300 pixels, must be 24x16"),
    "taller by one": (jxl(smooth_image(17, 24, 3)), "24x17 pixels"),
    "grey": (jxl(smooth_image(16, 24, 1)[..., 0]), "1 channels, must have 3"),
    "with alpha": (jxl(smooth_image(16, 24, 4)), "num_extra_channels is 1"),
    "16 bits": (unboxed(jxl(smooth_image(16, 24, 3).astype(np.uint16))), "bits_per_sample is 16"),
    "float": (unboxed(jxl(smooth_image(16, 24, 3).astype(np.float32))), "float_sample is 1"),
    "lossy": (jxl(smooth_image(16, 24, 3), lossless=False, distance=1.0), "JPEG XL"),
    "in a container": (jxl(smooth_image(16, 24, 3), usecontainer=True), "starts with 0000"),
    "animation": (jxl(smooth_image(16, 24, 3)[None].repeat(2, 0)), "extra_fields is 1"),
    "PNG": (imagecodecs.png_encode(smooth_image(16, 24, 3)), "starts with 8950"),
    "nothing but the signature": (b"\xff\x0a", "must be 24x16"),
}


@pytest.mark.parametrize("case", WRONG_CODESTREAMS)
def test_a_codestream_of_anything_else_is_refused_by_its_header(case):
    payload, message = WRONG_CODESTREAMS[case]
    with pytest.raises(errors.PayloadError, match=message):
        decode_jxl(payload, (16, 24, 3))


def test_a_cut_codestream_is_refused():
    payload = encode_jxl(smooth_image(16, 24, 3))
    for size in range(2, len(payload) - 8, 7):
        with pytest.raises(errors.PayloadError):
            decode_jxl(payload[:size], (16, 24, 3))


@pytest.mark.parametrize("kind", ["flat", "noise", "text"])
@pytest.mark.parametrize("channels", [1, 3])
def test_whatever_the_encoder_writes_its_own_header_check_accepts(kind, channels):
    shape = (48, 64, channels)
    if kind == "flat":
        image = np.full(shape, 9, np.uint8)
    elif kind == "noise":
        image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    else:
        # The same small glyph many times over: what patches are for.
        image = np.full(shape, 255, np.uint8)
        for row in range(0, 40, 8):
            image[row : row + 6, row % 5 :: 9] = 0
            image[row + 2, row % 5 + 1 :: 9] = 0
    np.testing.assert_array_equal(decode_jxl(encode_jxl(image), shape), image)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), *SIZES])
def test_a_label_layer_is_lossless(size):
    rng = np.random.default_rng(0)
    maps = (
        label_map(*size),
        np.full(size, 150),
        rng.integers(0, 2, size),
        rng.integers(0, 151, size),
    )
    for labels in maps:
        layer = encode_labels(labels.astype(np.uint8))
        np.testing.assert_array_equal(decode_labels(layer, size), labels)


def test_labels_take_far_fewer_bytes_than_in_jpeg_xl():
    labels = label_map(64, 96)
    assert len(encode_labels(labels).payload) < 0.8 * len(encode_jxl(labels[..., None]))


def test_large_label_grids_go_to_jpeg_xl_and_come_back(monkeypatch):
    labels = label_map(40, 60)
    contexts = encode_labels(labels)
    monkeypatch.setattr(labels_module, "MAX_CONTEXT_LABELS", 40 * 60 - 1)
    layer = encode_labels(labels)
    assert layer.coder == "jxl"
    np.testing.assert_array_equal(decode_labels(layer, labels.shape), labels)
    with pytest.raises(errors.PayloadError, match="2400 labels in contexts"):
        decode_labels(contexts, labels.shape)


def test_labels_beyond_150_are_neither_written_nor_read():
    labels = np.full((4, 4), 151, np.uint8)
    with pytest.raises(errors.SmapcompError, match="label 151"):
        encode_labels(labels)
    with pytest.raises(errors.PayloadError, match="label 151"):
        decode_labels(Layer("labels", "jxl", encode_jxl(labels[..., None])), (4, 4))


def test_any_bytes_are_a_label_map_or_an_error():
    rng = np.random.default_rng(0)
    for size in (0, 1, 3, 10, 1000):
        for _ in range(20):
            with contextlib.suppress(errors.PayloadError):
                labels = decode_labels(Layer("labels", "contexts", rng.bytes(size)), (9, 14))
                assert labels.shape == (9, 14)
                assert labels.max() <= 150


def test_bytes_after_the_last_label_are_refused():
    layer = encode_labels(label_map(16, 24))
    longer = Layer("labels", "contexts", layer.payload + bytes(10))
    with pytest.raises(errors.PayloadError, match="after the last label"):
        decode_labels(longer, (16, 24))


def test_the_range_coder_spends_what_information_theory_says():
    rng = np.random.default_rng(1)
    intervals = []
    bits = 0.0
    for total in rng.integers(2, MAX_TOTAL + 1, 5000).tolist():
        start = int(rng.integers(0, total))
        size = int(rng.integers(1, total - start + 1))
        intervals.append((start, size, total))
        bits += np.log2(total / size)
    encoder = RangeEncoder()
    for interval in intervals:
        encoder.encode(*interval)
    data = encoder.finish()
    assert bits <= 8 * len(data) <= bits * 1.005 + 32
    decoder = RangeDecoder(data)
    for start, size, total in intervals:
        assert start <= decoder.target(total) < start + size
        decoder.consume(start, size)
    assert decoder.unread == 0


def test_the_range_coder_carries_through_runs_of_255():
    # Half of the range and a hair, again and again, ends just below a power of two.
    for tail in range(40):
        intervals = [(MAX_TOTAL - 1, 1, MAX_TOTAL)] * 20 + [(1, 1, 2)] * tail + [(2, 1, 3)] * 9
        encoder = RangeEncoder()
        for interval in intervals:
            encoder.encode(*interval)
        decoder = RangeDecoder(encoder.finish())
        for start, size, total in intervals:
            assert start <= decoder.target(total) < start + size
            decoder.consume(start, size)
