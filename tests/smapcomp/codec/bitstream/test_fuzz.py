"""Damaged streams end in a clear error or in a picture of the header's size."""

import dataclasses
import resource

import numpy as np
import pytest

import smapcomp
from smapcomp.codec.bitstream.container import pack, unpack
from smapcomp.codec.bitstream.stream import Layer
from smapcomp.errors import SmapcompError, StreamError
from smapcomp.pictures.image_files import read_picture
from tests.helpers.paths import DEMO_PHOTO

MAX_PIXELS = 1 << 16
MEMORY_MIB = 256
"""Memory that decoding pictures of at most `MAX_PIXELS` may add to the process."""


@pytest.fixture(scope="module")
def streams() -> list[bytes]:
    photo = read_picture(DEMO_PHOTO).samples
    colour, grey = photo[200:224, 100:140], photo[200:219, 100:133, :1]
    made = [
        smapcomp.compress(colour, quality=40, mode="mapped"),
        smapcomp.compress(colour, quality=40, mode="sent"),
        smapcomp.compress(grey, quality=80, mode="none"),
        smapcomp.compress(colour, quality=0, mode="matched"),
    ]
    for data in made:
        smapcomp.decompress(data)
    return made


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    damaged = np.frombuffer(data, np.uint8).copy()
    for position in rng.integers(len(data), size=rng.integers(1, 9)):
        damaged[position] ^= 1 << rng.integers(8)
    return damaged.tobytes()


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))]


def splice(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = np.sort(rng.integers(len(data) + 1, size=2))
    target = rng.integers(len(data) + 1)
    return data[:target] + data[start:end] + data[target:]


def overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    start = rng.integers(len(data))
    junk = rng.integers(256, size=rng.integers(1, 33), dtype=np.uint8).tobytes()
    return data[:start] + junk + data[start + len(junk) :]


DAMAGES = (flip_bits, cut, splice, overwrite)


def with_damaged_layer(data: bytes, rng: np.random.Generator, damage) -> bytes:
    """Damage behind right checksums: what a hostile writer can make."""
    stream = unpack(data)
    layers = list(stream.layers)
    chosen = rng.integers(len(layers))
    layer = layers[chosen]
    payload = damage(layer.payload, rng) or b"\0"  # an empty layer is no valid header
    layers[chosen] = Layer(layer.kind, layer.coder, payload)
    return pack(dataclasses.replace(stream, layers=tuple(layers)))


def with_other_size(data: bytes, rng: np.random.Generator) -> bytes:
    stream = unpack(data)
    width, height = (int(side) for side in rng.integers(1, 2000, size=2))
    return pack(dataclasses.replace(stream, width=width, height=height))


def assert_error_or_picture(data: bytes) -> None:
    try:
        # With "auto", a stream of wrong digests would load TensorFlow, whose memory is not meant.
        picture = smapcomp.decompress(data, max_pixels=MAX_PIXELS, engine="onnxruntime")
    except SmapcompError as error:
        message = str(error)
    else:
        stream = unpack(data)
        assert picture.shape == (stream.height, stream.width, stream.channels)
        return
    assert message
    assert "\n" not in message


def test_a_thousand_damaged_streams_end_in_an_error_or_a_picture(streams):
    rng = np.random.default_rng(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(1000):
        data = streams[number % len(streams)]
        damage = DAMAGES[number // len(streams) % len(DAMAGES)]
        if number % 5 == 4:
            damaged = with_other_size(data, rng)
        elif number % 5 >= 2:
            damaged = with_damaged_layer(data, rng, damage)
        else:
            damaged = damage(data, rng)
        assert_error_or_picture(damaged)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown / 1024 < MEMORY_MIB


def test_random_bytes_are_no_stream():
    rng = np.random.default_rng(1)
    for length in (0, 1, 3, 4, 5, 60, 5000):
        with pytest.raises(StreamError):
            smapcomp.decompress(rng.integers(256, size=length, dtype=np.uint8).tobytes())
