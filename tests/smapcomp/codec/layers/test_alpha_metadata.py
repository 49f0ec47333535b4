"""The layers that do not carry colours: alpha, and what is said about the picture."""

import zlib

import imagecodecs
import numpy as np
import pytest

from smapcomp.codec.bitstream.stream import Layer
from smapcomp.codec.layers import blocks
from smapcomp.codec.layers.alpha import decode_alpha, encode_alpha
from smapcomp.codec.layers.metadata import decode_metadata, encode_metadata
from smapcomp.design import MAX_METADATA_BYTES
from smapcomp.errors import PayloadError, SmapcompError

RNG = np.random.default_rng(3)


def soft_disc(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - height / 2, columns - width / 2)
    return np.clip(128 + 20 * (min(height, width) / 3 - distance), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 57)])
def test_alpha_is_lossless(shape):
    planes = (np.zeros(shape, np.uint8), soft_disc(*shape), RNG.integers(0, 256, shape, np.uint8))
    for alpha in planes:
        layer = encode_alpha(alpha)
        assert (layer.kind, layer.coder) == ("alpha", "jxl")
        np.testing.assert_array_equal(decode_alpha(layer, shape), alpha)


def test_an_alpha_layer_is_a_plain_jpeg_xl_codestream():
    alpha = soft_disc(20, 30)
    decoded = imagecodecs.jpegxl_decode(encode_alpha(alpha).payload)
    np.testing.assert_array_equal(decoded.reshape(alpha.shape), alpha)


def test_large_alpha_is_coded_in_blocks_and_comes_back(monkeypatch):
    monkeypatch.setattr(blocks, "MAX_WHOLE", 500)
    monkeypatch.setattr(blocks, "BLOCK_SIDE", 20)
    alpha = soft_disc(33, 57)
    layer = encode_alpha(alpha)
    np.testing.assert_array_equal(decode_alpha(layer, alpha.shape), alpha)
    with pytest.raises(PayloadError):
        decode_alpha(Layer("alpha", "jxl", layer.payload[:-1]), alpha.shape)


def test_alpha_of_another_size_is_refused():
    layer = encode_alpha(soft_disc(20, 30))
    with pytest.raises(PayloadError, match="30x20 pixels, must be 31x20"):
        decode_alpha(layer, (20, 31))


@pytest.mark.parametrize("alpha", [np.zeros((2, 2), np.uint16), np.zeros((2, 2, 1), np.uint8)])
def test_what_is_no_alpha_plane_is_not_coded(alpha):
    with pytest.raises(SmapcompError, match=r"uint8 \[H, W\] is needed"):
        encode_alpha(alpha)


@pytest.mark.parametrize("kind", ["icc", "exif", "xmp"])
def test_metadata_come_back_and_are_plain_zlib(kind):
    data = b"II*\0" + RNG.bytes(1000) + bytes(5000)
    layer = encode_metadata(kind, data)
    assert (layer.kind, layer.coder) == (kind, "deflate")
    assert decode_metadata(layer) == zlib.decompress(layer.payload) == data
    assert len(layer.payload) < 1200


def test_limits_on_metadata_hold_for_writing_and_reading():
    largest = bytes(MAX_METADATA_BYTES)
    assert decode_metadata(encode_metadata("xmp", largest)) == largest
    for data in (b"", largest + b"\0"):
        with pytest.raises(SmapcompError, match=f"xmp of {len(data)} bytes"):
            encode_metadata("xmp", data)
    with pytest.raises(SmapcompError, match="kind 'iptc'"):
        encode_metadata("iptc", b"data")
    # A gigabyte of zeros in a megabyte would be inflated whole without the limit.
    bomb = zlib.compress(largest + b"\0", 9)
    with pytest.raises(PayloadError, match=f"more than {MAX_METADATA_BYTES} bytes"):
        decode_metadata(Layer("icc", "deflate", bomb))


def test_any_other_bytes_are_no_metadata():
    whole = zlib.compress(b"data")
    wrong = {
        whole[:-1]: "cut off",
        whole + b"x": "1 bytes after the icc",
        b"": "cut off",
        b"data": "does not inflate",
        zlib.compress(b""): "0 bytes",
        whole[:-1] + bytes([whole[-1] ^ 1]): "does not inflate",
    }
    for payload, cause in wrong.items():
        with pytest.raises(PayloadError, match=cause):
            decode_metadata(Layer("icc", "deflate", payload))
