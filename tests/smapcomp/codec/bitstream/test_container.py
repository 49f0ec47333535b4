"""The header: what is written, byte by byte, and what is refused."""

import contextlib
import dataclasses
import re
import struct
import zlib

import numpy as np
import pytest

from smapcomp import errors
from smapcomp.codec.bitstream.container import pack, unpack
from smapcomp.codec.bitstream.stream import Layer, Stream
from smapcomp.codec.layers.compact import decode_compact
from smapcomp.codec.layers.labels import decode_labels
from smapcomp.codec.layers.residual import ResidualRange, decode_samples
from smapcomp.design import Tiling, array_digest, padded_shape, weights_digest
from tests.helpers.paths import ROOT

FORMAT = ROOT / "docs" / "format.md"

COMPACT = Layer("compact", "jxl", b"compact payload")
LABELS = Layer("labels", "contexts", b"labels")
RESIDUAL = Layer("residual", "av1", b"residual payload" * 20)
LOSSY = Layer("compact", "av1", b"lossy compact payload")
STRENGTHS = Layer("strengths", "adaptive", b"strengths")
EXACT = Layer("residual", "jxl", b"lossless residual")
OTHERS = tuple(
    Layer(kind, "jxl" if kind == "alpha" else "deflate", kind.encode())
    for kind in ("alpha", "icc", "exif", "xmp")
)
NO_RANGE = {"residual_low": 0, "residual_high": 0}
PLAIN = {
    "plain": True,
    "mode": "none",
    "model_digest": None,
    "prediction_digest": None,
}


def stream(**changes) -> Stream:
    fields = {
        "width": 768,
        "height": 512,
        "channels": 3,
        "compact_scale": 8,
        "compact_step": 12,
        "mode": "mapped",
        "variant": "lite",
        "model_digest": b"modelsha",
        "prediction_digest": b"predsha1",
        "layers": (COMPACT, RESIDUAL),
        "residual_low": -100,
        "residual_high": 90,
    }
    return Stream(**{**fields, **changes})


def repaired(data: bytes, header_size: int) -> bytes:
    """The stream with the header's checksum made right again."""
    header = data[: header_size - 4]
    return header + struct.pack("<I", zlib.crc32(header)) + data[header_size:]


def header_size(data: Stream) -> int:
    return len(pack(data)) - sum(len(layer.payload) for layer in data.layers)


STREAMS = {
    "mapped": stream(),
    "matched": stream(mode="matched", width=1, height=1),
    "sent": stream(mode="sent", layers=(COMPACT, LABELS, RESIDUAL)),
    "none": stream(mode="none", variant="paper", channels=1),
    "scale 1, step 128": stream(compact_scale=1, compact_step=128),
    "no residual": stream(layers=(COMPACT,), **NO_RANGE),
    "lossy": stream(
        layers=(LOSSY,), compact_scale=1, compact_step=None, compact_quality=0, **NO_RANGE
    ),
    "everything": stream(
        mode="sent",
        layers=(LOSSY, LABELS, STRENGTHS, RESIDUAL, *OTHERS),
        compact_step=None,
        compact_quality=100,
        compact_gain=128,
        tiling=Tiling(1024, 128),
    ),
    "lossless": stream(layers=(COMPACT, EXACT), **NO_RANGE),
    "strengths": stream(layers=(COMPACT, STRENGTHS, RESIDUAL)),
    "plain": stream(layers=(LOSSY,), compact_step=None, compact_quality=40, **PLAIN, **NO_RANGE),
    "plain, lossless": stream(
        layers=(COMPACT,), compact_scale=1, compact_step=1, **PLAIN, **NO_RANGE
    ),
}


@pytest.mark.parametrize("original", STREAMS.values(), ids=STREAMS)
def test_a_stream_is_read_as_it_was_written(original):
    assert unpack(pack(original)) == original


def test_the_header_of_a_768x512_picture_costs_less_than_two_thousandths_of_a_bit_per_pixel():
    assert header_size(stream()) * 8 / (768 * 512) < 0.002


def test_only_streams_that_restore_the_picture_say_that_they_are_lossless():
    lossless = {name for name, original in STREAMS.items() if unpack(pack(original)).lossless}
    assert lossless == {"lossless", "plain, lossless"}


def documented_example() -> bytes:
    block = re.search(r"```hex\n(.*?)```", FORMAT.read_text(), re.DOTALL).group(1)
    # Two spaces or more part the bytes from what they mean.
    return b"".join(bytes.fromhex(re.split(r" {2,}", line)[0]) for line in block.splitlines())


def test_the_example_in_the_format_description_decodes_to_what_it_says():
    data = documented_example()
    read = unpack(data)
    assert (read.width, read.height, read.channels) == (3, 2, 1)
    assert (read.mode, read.variant, read.compact_scale, read.compact_step) == (
        ("sent", "lite", 8, 12)
    )
    assert read.model_digest.hex() == "0011223344556677"
    assert read.prediction_digest.hex() == "8899aabbccddeeff"
    levels = decode_compact(read.layer("compact"), read.compact_shape, 12)
    assert levels[..., 0].tolist() == [[10, 12], [14, 16]]
    assert decode_labels(read.layer("labels"), (2, 2)).tolist() == [[3, 3], [3, 17]]
    assert (read.residual_low, read.residual_high) == (-20, 30)
    samples = decode_samples(read.layer("residual"), (2, 3, 1))
    residual = ResidualRange(-20, 30).to_residual(samples)
    assert residual[..., 0].tolist() == [[-20, -10, -2], [11, 21, 29]]


def test_a_stream_that_is_cut_off_keeps_the_layers_that_are_whole():
    whole = STREAMS["everything"]
    data, start = pack(whole), header_size(whole)
    ends = np.cumsum([start, *(len(layer.payload) for layer in whole.layers)])
    for size in range(1, len(data)):
        count = int((ends[1:] <= size).sum())
        if count == 0:
            with pytest.raises(errors.TruncatedError):
                unpack(data[:size], partial=True)
            continue
        read = unpack(data[:size], partial=True)
        assert read.layers == whole.layers[:count]
        assert read.missing == tuple(layer.kind for layer in whole.layers[count:])
    assert unpack(data, partial=True) == whole


def test_the_example_in_the_format_description_is_what_the_writer_writes():
    data = documented_example()
    assert pack(unpack(data)) == data


def test_every_cut_of_a_stream_is_reported_as_truncated():
    data = pack(stream())
    for size in range(1, len(data)):
        with pytest.raises(errors.TruncatedError):
            unpack(data[:size])


def test_every_flipped_bit_is_a_stream_error():
    for original in STREAMS.values():
        data = pack(original)
        for position in range(len(data)):
            for bit in range(8):
                damaged = bytearray(data)
                damaged[position] ^= 1 << bit
                with pytest.raises(errors.StreamError):
                    unpack(bytes(damaged))


def test_every_value_of_every_header_byte_with_a_right_checksum_is_an_error_or_a_stream():
    original = STREAMS["sent"]
    data, size = pack(original), header_size(original)
    read = 0
    for position in range(size - 4):
        for value in range(256):
            changed = bytearray(data)
            changed[position] = value
            with contextlib.suppress(errors.StreamError):
                result = unpack(repaired(bytes(changed), size))
                assert pack(result) == repaired(bytes(changed), size)
                read += 1
    # At least the digests may take any value.
    assert read >= 16 * 256


def test_random_bytes_are_no_stream():
    rng = np.random.default_rng(0)
    for size in (1, 4, 50, 5000):
        with pytest.raises(errors.NotAStreamError, match="starts with"):
            unpack(b"\x00" + rng.bytes(size))
    with pytest.raises(errors.NotAStreamError):
        unpack(b"")


@pytest.mark.parametrize("version", [1, 2])
def test_a_stream_of_a_development_version_is_refused_in_one_line(version):
    data = bytearray(pack(stream()))
    data[4] = version
    message = (
        f"format version {version}, written by a development version; this release reads version 3"
    )
    with pytest.raises(errors.UnsupportedVersionError, match=f"^{message}$"):
        unpack(bytes(data))


@pytest.mark.parametrize("version", [0, 4, 255])
def test_an_unknown_version_is_refused_with_its_number(version):
    data = bytearray(pack(stream()))
    data[4] = version
    with pytest.raises(errors.UnsupportedVersionError, match=f"{version}; this release reads"):
        unpack(bytes(data))


def test_damage_is_placed_in_the_header_or_in_its_layer():
    data, size = pack(stream()), header_size(stream())
    for position, part in ((10, "header"), (size, "compact layer"), (len(data) - 1, "residual")):
        damaged = bytearray(data)
        damaged[position] ^= 1
        with pytest.raises(errors.ChecksumError, match=part):
            unpack(bytes(damaged))


def test_trailing_bytes_are_counted():
    with pytest.raises(errors.TrailingBytesError, match="3 bytes"):
        unpack(pack(stream()) + b"abc")


def test_the_limit_holds_for_the_padded_picture():
    # A single row is padded to sixteen.
    data = pack(stream(width=60_000, height=1))
    assert unpack(data, max_pixels=60_000 * 16).width == 60_000
    with pytest.raises(errors.LimitError, match="60000x1 pixels, 960000 with its padding"):
        unpack(data, max_pixels=60_000 * 16 - 1)


def test_absurd_sizes_are_refused_without_a_payload_to_match():
    for width, height in ((65_536, 65_536), (12_000, 12_000)):
        with pytest.raises(errors.LimitError):
            unpack(pack(stream(width=width, height=height)))


WRONG = {
    "side of 0": {"width": 0},
    "two channels": {"channels": 2},
    "scale 3": {"compact_scale": 3},
    "step 0": {"compact_step": 0},
    "step 129": {"compact_step": 129},
    "unknown mode": {"mode": "guessed"},
    "unknown variant": {"variant": "huge"},
    "short digest": {"model_digest": b"short"},
    "no compact layer": {"layers": (RESIDUAL,)},
    "two compact layers": {"layers": (COMPACT, COMPACT, RESIDUAL)},
    "residual first": {"layers": (RESIDUAL, COMPACT)},
    "labels in mode mapped": {"layers": (COMPACT, LABELS, RESIDUAL)},
    "labels in mode none": {"mode": "none", "layers": (COMPACT, LABELS, RESIDUAL)},
    "unknown kind": {"layers": (COMPACT, Layer("sound", "jxl", b"x"))},
    "cut off": {"missing": ("alpha",)},
    "quality of a lossless compact layer": {"compact_quality": 50},
    "gain of a lossless compact layer": {"compact_gain": 1},
    "step of a lossy compact layer": {"layers": (LOSSY, RESIDUAL), "compact_quality": 50},
    "quality 101": {"layers": (LOSSY, RESIDUAL), "compact_step": None, "compact_quality": 101},
    "gain 129": {
        "layers": (LOSSY, RESIDUAL),
        "compact_step": None,
        "compact_quality": 50,
        "compact_gain": 129,
    },
    "range of a lossless residual": {"layers": (COMPACT, EXACT)},
    "empty residual": {"layers": (COMPACT, Layer("residual", "av1", b"")), **NO_RANGE},
    "tiles that don't overlap": {"tiling": Tiling(64, 0)},
    "tiles that are mostly overlap": {"tiling": Tiling(64, 48)},
    "tiles off the grid": {"tiling": Tiling(72, 16)},
    "no labels in mode sent": {"mode": "sent"},
    "empty compact layer": {"layers": (Layer("compact", "jxl", b""), RESIDUAL)},
    "unknown coder": {"layers": (Layer("compact", "bmp", b"x"), RESIDUAL)},
    "range upside down": {"residual_low": 5, "residual_high": 5},
    "range beyond residuals": {"residual_low": -256},
    "range without residual": {"layers": (COMPACT,)},
    "plain in mode mapped": {**PLAIN, "mode": "mapped"},
    "plain with strengths": {**PLAIN, "layers": (COMPACT, STRENGTHS, RESIDUAL)},
    "plain with a digest": {**PLAIN, "model_digest": b"modelsha"},
    "no digest but not plain": {"prediction_digest": None},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_a_stream_against_the_rules_is_not_written(changes):
    with pytest.raises(errors.MalformedHeaderError):
        pack(dataclasses.replace(stream(), **changes))


def test_a_number_that_could_be_shorter_is_refused():
    data, size = pack(stream(width=5, height=5)), header_size(stream(width=5, height=5))
    longer = data[:7] + b"\x85\x00" + data[8:]
    with pytest.raises(errors.MalformedHeaderError, match="shortest"):
        unpack(repaired(longer, size + 1))


def test_padding_goes_to_multiples_of_8_and_at_least_16():
    assert padded_shape(1, 1) == (16, 16)
    assert padded_shape(17, 8) == (24, 16)
    assert padded_shape(512, 767) == (512, 768)


def test_the_digest_of_an_array_is_the_start_of_its_sha256():
    # echo -n abcdef | sha256sum
    values = np.frombuffer(b"abcdef", np.uint8).reshape(2, 3)
    assert array_digest(values).hex() == "bef57ec7f53a6d40"
    assert array_digest(values.T.copy().T).hex() == "bef57ec7f53a6d40"
    with pytest.raises(TypeError, match="float64"):
        array_digest(np.zeros(3))


def test_the_digest_of_weights_depends_on_names_shapes_and_values_and_not_on_their_order():
    kernel, bias = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(3, np.float32)
    digest = weights_digest({"a": kernel, "b": bias})
    assert digest == weights_digest({"b": bias, "a": kernel.astype(">f4")})
    others = (
        {"a": kernel, "c": bias},
        {"a": kernel.reshape(3, 2), "b": bias},
        {"a": kernel.astype(np.float64), "b": bias},
        {"a": kernel + 1, "b": bias},
        {"a": kernel},
    )
    assert digest not in {weights_digest(other) for other in others}
