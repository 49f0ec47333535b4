"""Blocks: what they are cut into, that threads change nothing, and what is refused."""

import threading
import time

import numpy as np
import pytest

from smapcomp import errors
from smapcomp.codec.layers import blocks
from smapcomp.codec.layers.blocks import block_areas, decode_blocks, encode_blocks


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_SIDE", 16)
    monkeypatch.setattr(blocks, "MAX_WHOLE", 400)


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (height, width, channels), np.uint8)


def raw(block: np.ndarray) -> bytes:
    return block.tobytes()


def from_raw(payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    if len(payload) != np.prod(shape):
        raise errors.PayloadError(f"{len(payload)} bytes for {shape}")
    return np.frombuffer(payload, np.uint8).reshape(shape)


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def test_blocks_have_2048_pixels_a_side(monkeypatch):
    monkeypatch.undo()
    assert len(block_areas(2048, 2048)) == len(block_areas(64, 32768)) == 1
    assert len(block_areas(8, 32776)) == 17
    areas = block_areas(2049, 4100)
    sizes = [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in areas]
    assert sizes == [(2048, 2048), (2048, 2048), (2048, 4), (1, 2048), (1, 2048), (1, 4)]


@pytest.mark.parametrize("size", [(1, 1), (20, 20), (2, 200)])
def test_a_small_picture_is_the_coders_bytes_and_no_more(size):
    image = picture(*size)
    payload = encode_blocks(image, raw)
    assert payload == image.tobytes()
    np.testing.assert_array_equal(decode_blocks(payload, image.shape, from_raw), image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(21, 20), (40, 50), (16, 33), (1, 401)])
def test_a_large_picture_is_its_blocks_each_coded_by_itself(size, channels):
    image = picture(*size, channels)
    expected = b""
    for row in range(0, size[0], 16):
        for column in range(0, size[1], 16):
            block = image[row : row + 16, column : column + 16].tobytes()
            expected += varint(len(block)) + block
    payload = encode_blocks(image, raw)
    assert payload == expected
    np.testing.assert_array_equal(decode_blocks(payload, image.shape, from_raw), image)


@pytest.mark.parametrize("workers", [None, 1, 2, 7])
def test_any_number_of_workers_gives_the_same_and_no_more_run_at_once(workers):
    image = picture(70, 50)
    lock, running, most = threading.Lock(), [0], [0]

    def counted(function, *arguments):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        # The later blocks are done first.
        time.sleep(0.002 * (running[0] % 3))
        result = function(*arguments)
        with lock:
            running[0] -= 1
        return result

    payload = encode_blocks(image, lambda block: counted(raw, block), workers)
    assert payload == encode_blocks(image, raw, 1)
    decoded = decode_blocks(
        payload, image.shape, lambda *arguments: counted(from_raw, *arguments), workers
    )
    np.testing.assert_array_equal(decoded, image)
    assert most[0] <= (workers or blocks.MAX_WORKERS)


def test_the_type_is_the_decoders():
    image = picture(40, 50)
    decoded = decode_blocks(
        encode_blocks(image, raw),
        image.shape,
        lambda payload, shape: from_raw(payload, shape) - np.int16(300),
        dtype=np.int16,
    )
    np.testing.assert_array_equal(decoded, image - np.int16(300))


def malformed_payloads() -> dict[str, bytes]:
    """Of a picture of 20x30 pixels in RGB: four blocks."""
    image = picture(20, 30)
    block = varint(3 * 16 * 16) + image[:16, :16].tobytes()
    payload = block + b"".join(varint(size) + bytes(size) for size in (672, 192, 168))
    np.testing.assert_array_equal(
        decode_blocks(payload, image.shape, from_raw)[:16, :16], image[:16, :16]
    )
    return {
        "nothing": b"",
        "a length alone": payload[:2],
        "half a length": payload[:1],
        "one block short": payload[:-50],
        "a byte short": payload[:-1],
        "a byte more": payload + b"\0",
        "a block more": payload + block,
        "a length beyond the end": b"\xff\xff\xff\xff\x07" + payload[2:],
        "a length of six bytes": b"\x80\x80\x80\x80\x80\x01" + payload[2:],
        "a length in a longer form": bytes([payload[0], payload[1] | 128, 0]) + payload[2:],
        "empty blocks": bytes(4),
        "a block of another size": b"\x01\x00" + payload[len(block) :] + b"\0",
    }


MALFORMED = [
    "nothing",
    "a length alone",
    "half a length",
    "one block short",
    "a byte short",
    "a byte more",
    "a block more",
    "a length beyond the end",
    "a length of six bytes",
    "a length in a longer form",
    "empty blocks",
    "a block of another size",
]


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_payloads_are_refused(case):
    with pytest.raises(errors.PayloadError):
        decode_blocks(malformed_payloads()[case], (20, 30, 3), from_raw)


def test_the_first_blocks_error_is_the_one_that_is_told():
    image = picture(40, 50)
    payload = encode_blocks(image, raw)

    def fails(payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        first = payload == image[:16, :16].tobytes()
        time.sleep(0.02 * first)
        raise errors.PayloadError("first" if first else "later")

    with pytest.raises(errors.PayloadError, match="first"):
        decode_blocks(payload, image.shape, fails, workers=4)
