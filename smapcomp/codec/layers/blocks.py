"""Coding of large pictures in independent blocks, which bounds the memory that coders need.

A picture of at most `MAX_WHOLE` pixels, with sides of at most `MAX_WHOLE_SIDE`, is one block, and
its payload is the coder's bytes. A larger one is cut into a grid of blocks of at most
`BLOCK_SIDE` × `BLOCK_SIDE` pixels; its payload holds, for every block in raster order, the length
of its bytes as a varint and the bytes.

Blocks are coded in threads. The libraries behind the coders release Python's lock: while one thread
codes, a second is blocked for 1 % of the time with AV1 by Pillow and for 1 to 6 % with JPEG XL by
imagecodecs and HEVC by pillow-heif, encoding and decoding. The exception is Pillow's decoding of
AV1, which blocks it for 85 %.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from smapcomp.codec.bitstream.varint import decode_varint, encode_varint
from smapcomp.errors import PayloadError

BLOCK_SIDE = 2048
MAX_WHOLE = 1 << 22
MAX_WHOLE_SIDE = 1 << 15  # longest side that libavif decodes
MAX_WORKERS = 4


class Samples(Protocol):
    """Array of samples `[height, width, channels]`, or an object that computes parts of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels."""
        ...

    def __getitem__(self, area: tuple[slice, slice], /) -> np.ndarray: ...


_Shape = tuple[int, int, int]
_Area = tuple[slice, slice]
_Result = TypeVar("_Result")


def block_areas(height: int, width: int) -> list[_Area]:
    """Return the rows and columns of each block of a picture, in raster order."""
    if height * width <= MAX_WHOLE and max(height, width) <= MAX_WHOLE_SIDE:
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
    samples: Samples, encode_one: Callable[[np.ndarray], bytes], workers: int | None = None
) -> bytes:
    """Code a picture block by block.

    Args:
        samples: `[height, width, channels]` of any dtype; sliced once for each block.
        encode_one: Codes one contiguous block `[h, w, channels]`; called from several threads.
        workers: Number of blocks coded at a time; `None` for one a core, at most `MAX_WORKERS`. The
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
    dtype: DTypeLike = np.uint8,
) -> np.ndarray:
    """Decode a picture block by block.

    Args:
        payload: Result of `encode_blocks`.
        shape: Height, width and channels of the picture.
        decode_one: Decodes the bytes of one block to a shape; called from several threads.
        workers: Number of blocks decoded at a time, as in `encode_blocks`.
        dtype: Type of what `decode_one` returns.

    Returns:
        The picture, of that shape and dtype.

    Raises:
        PayloadError: The lengths do not fit the payload; `decode_one` may raise it, too.
    """
    areas = block_areas(*shape[:2])
    if len(areas) == 1:
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
    """Yield the results in the order of the tasks; at most `workers` tasks run at a time."""
    workers = workers or min(MAX_WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        running: deque[Future[Any]] = deque()
        for task in tasks:
            if len(running) == workers:
                yield running.popleft().result()
            running.append(pool.submit(function, task))
        while running:
            yield running.popleft().result()


def _split(payload: bytes, count: int) -> list[tuple[int, int]]:
    """Return start and stop of the bytes of each of `count` blocks."""
    pieces = []
    position = 0
    for index in range(count):
        try:
            size, position = decode_varint(payload, position)
        except (EOFError, ValueError) as error:
            raise PayloadError(f"length of block {index}: {error}") from None
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
