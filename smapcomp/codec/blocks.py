"""Large pictures in independent blocks, so that the memory for coding them is bounded.

A picture of at most `MAX_WHOLE` pixels is one block, and its payload is the coder's bytes as they
are. A larger one is cut into a grid of blocks of at most `BLOCK_SIDE` x `BLOCK_SIDE` pixels; its
payload holds for every block, in raster order, the number of its bytes as a varint (seven bits a
byte, lowest first) and the bytes.

Blocks are coded by threads, and the libraries behind the coders let them: a second Python thread
stands still for 1 % of the time that Pillow takes to code AV1, 1 to 6 % for JPEG XL by imagecodecs
and HEVC by pillow-heif, either way. The exception is Pillow's decoding of AV1: 85 %.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike

from smapcomp.codec.varint import MAX_BYTES, encode_varint
from smapcomp.errors import PayloadError

BLOCK_SIDE = 2048
MAX_WHOLE = 1 << 22
MAX_WORKERS = 4

_Shape = tuple[int, int, int]
_Area = tuple[slice, slice]
_Result = TypeVar("_Result")


def block_areas(height: int, width: int) -> list[_Area]:
    """Rows and columns of each block of a picture, in raster order."""
    if height * width <= MAX_WHOLE:
        return [(slice(0, height), slice(0, width))]
    return [
        (
            slice(row, min(row + BLOCK_SIDE, height)),
            slice(column, min(column + BLOCK_SIDE, width)),
        )
        for row in range(0, height, BLOCK_SIDE)
        for column in range(0, width, BLOCK_SIDE)
    ]


def encode_blocks(
    samples: np.ndarray, encode_one: Callable[[np.ndarray], bytes], workers: int | None = None
) -> bytes:
    """Codes a picture block by block.

    Args:
      samples: [H, W, C] of any dtype.
      encode_one: codes one block, [h, w, C] in one piece; called from several threads.
      workers: how many blocks are coded at a time; None for one a core, at most `MAX_WORKERS`. The
        bytes do not depend on it.

    Returns:
      The payload.
    """
    areas = block_areas(*samples.shape[:2])

    def encode(area: _Area) -> bytes:
        return encode_one(np.ascontiguousarray(samples[area]))

    if len(areas) == 1:
        return encode(areas[0])
    payload = bytearray()
    for block in _map_in_order(encode, areas, workers):
        payload += encode_varint(len(block)) + block
    return bytes(payload)


def decode_blocks(
    payload: bytes,
    shape: _Shape,
    decode_one: Callable[[bytes, _Shape], np.ndarray],
    workers: int | None = None,
    whole: bool = False,
    dtype: DTypeLike = np.uint8,
) -> np.ndarray:
    """Decodes a picture block by block.

    Args:
      payload: what `encode_blocks` returned.
      shape: [H, W, C] of the picture.
      decode_one: decodes the bytes of one block to the given shape; called from several threads.
      workers: how many blocks are decoded at a time, as in `encode_blocks`.
      whole: whether the picture is one block whatever its size, as in format version 1.
      dtype: of what `decode_one` returns.

    Returns:
      The picture, of that shape and dtype.

    Raises:
      PayloadError: if the lengths in the payload do not fit it, or what `decode_one` raises.
    """
    areas = block_areas(*shape[:2])
    if whole or len(areas) == 1:
        return decode_one(payload, shape)
    pieces = _split(payload, len(areas))
    picture = np.empty(shape, dtype)

    def decode(task: tuple[_Area, tuple[int, int]]) -> None:
        area, (start, stop) = task
        block = picture[area]
        block[:] = decode_one(payload[start:stop], block.shape)

    for _ in _map_in_order(decode, zip(areas, pieces, strict=True), workers):
        pass
    return picture


def _map_in_order(
    function: Callable[..., _Result], tasks: Iterable, workers: int | None
) -> Iterator[_Result]:
    """Yields the results in the order of the tasks, of which no more than `workers` are begun."""
    workers = workers or min(MAX_WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        running = deque()
        for task in tasks:
            if len(running) == workers:
                yield running.popleft().result()
            running.append(pool.submit(function, task))
        while running:
            yield running.popleft().result()


def _split(payload: bytes, count: int) -> list[tuple[int, int]]:
    """Start and stop of the bytes of each of `count` blocks."""
    pieces = []
    position = 0
    for index in range(count):
        size, position = _read_varint(payload, position, index)
        if size > len(payload) - position:
            raise PayloadError(
                f"block {index} has {size} bytes, {len(payload) - position} are left"
            )
        pieces.append((position, position + size))
        position += size
    if position < len(payload):
        raise PayloadError(
            f"{len(payload) - position} bytes after the last block; none are allowed"
        )
    return pieces


def _read_varint(payload: bytes, position: int, block: int) -> tuple[int, int]:
    """Returns a length of at most five bytes in its shortest form, and the position after it."""
    value = 0
    for index, byte in enumerate(payload[position : position + MAX_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if index and not byte:
                raise PayloadError(f"length {value} of block {block} is not in its shortest form")
            return value, position + index + 1
    raise PayloadError(f"length of block {block} takes more than {MAX_BYTES} bytes or is cut off")
