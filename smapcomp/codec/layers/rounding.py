"""The rounding layer, which makes the 8-bit prediction independent of small differences.

On another machine the networks' values differ slightly, and a value next to the boundary between
two grey levels may be rounded to the other one. For each block of 16×16 pixels the encoder searches
an offset for which no value lies within `MARGIN` of a boundary, and codes its index. A decoder
whose values differ by less than `MARGIN` then gets exactly the same prediction. The probability
that all of N values are away from boundaries is exp(-2 MARGIN N), so the layer takes about
3 (2.9 MARGIN + 1.44 / N) bits per pixel: 0.0085 + 0.0056.
"""

from collections.abc import Iterator

import numpy as np

from smapcomp.codec.bitstream.range_coder import RangeDecoder, RangeEncoder
from smapcomp.codec.bitstream.stream import Layer
from smapcomp.errors import PayloadError

BLOCK = 16
"""Side of a block in pixels. Smaller blocks take more bits, larger ones more offsets to try."""

MARGIN = 2.0**-10
"""Distance from a boundary in grey levels. On six pictures of 512×384, another engine, another
number of threads, or oneDNN on or off changed values by at most 1e-4 (2e-4 with CompNet), noise of
1e-6 on all activations by 8e-4 (2e-3), bfloat16 by 0.7 (1.4). Sums in float32 have errors of up to
2 % of the margin. The layer's bits grow with the margin."""

SPACING = 3 * MARGIN
"""Distance of neighbouring offsets: values that one leaves near a boundary the next does not."""

MAX_INDEX = 255

# Adaptive counts of the coder: they start as a falling series and are halved at the limit.
_FIRST = 64
_STEP = 24
_LIMIT = 1 << 14


def offset(index: int) -> float:
    """Return the grey levels that an index adds: 0, 1, -1, 2, -2, ... times `SPACING`."""
    return SPACING * ((index + 1) // 2) * (1 if index % 2 else -1)


_OFFSETS = np.array([offset(index) for index in range(MAX_INDEX + 1)], np.float32)


def grid_shape(height: int, width: int) -> tuple[int, int]:
    """Return the number of blocks along the sides; the last ones may be smaller."""
    return -(-height // BLOCK), -(-width // BLOCK)


def choose_offsets(values: np.ndarray) -> np.ndarray:
    """Find each block's first offset that leaves no value near a boundary.

    Args:
        values: float32 `[height, width, channels]` in grey levels, possibly outside 0..255.

    Returns:
        Indices, uint8 `[ceil(height/16), ceil(width/16)]`. Without a safe offset, the index that
        leaves the fewest values near a boundary.
    """
    found = np.zeros(grid_shape(*values.shape[:2]), np.uint8)
    for row, (indices, strip) in enumerate(zip(found, _block_rows(values), strict=True)):
        _choose_row(_blocks_of(strip, len(indices)), indices)
        found[row] = indices
    return found


def _choose_row(blocks: np.ndarray, indices: np.ndarray) -> None:
    """Fill in the indices of a row of blocks, float32 `[count, values]`."""
    left = np.arange(len(blocks))
    fewest = np.full(len(blocks), blocks.shape[1] + 1)
    for index in range(MAX_INDEX + 1):
        shifted = blocks[left] + (np.float32(0.5) + _OFFSETS[index])
        boundary = np.rint(shifted)
        near = np.abs(shifted - boundary) < MARGIN
        # Both sides of a boundary beyond 0 or 255 are clipped to the same value.
        count = np.count_nonzero(near & (boundary >= 1) & (boundary <= 255), axis=1)
        better = count < fewest[left]
        indices[left[better]] = index
        fewest[left[better]] = count[better]
        left = left[count > 0]
        if not left.size:
            return


def round_values(values: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Round with the blocks' offsets: clip(floor(value + (1/2 + offset)), 0, 255).

    Args:
        values: float32 `[height, width, channels]` in grey levels.
        indices: uint8 `[ceil(height/16), ceil(width/16)]`.

    Returns:
        uint8 of the shape of the values.
    """
    rounded = np.empty(values.shape, np.uint8)
    width = values.shape[1]
    for row, strip in enumerate(_block_rows(values)):
        shift = np.float32(0.5) + _OFFSETS[indices[row]].repeat(BLOCK)[:width, None]
        top = row * BLOCK
        rounded[top : top + len(strip)] = np.clip(np.floor(strip + shift), 0, 255)
    return rounded


def _block_rows(values: np.ndarray) -> Iterator[np.ndarray]:
    for top in range(0, len(values), BLOCK):
        yield values[top : top + BLOCK]


def _blocks_of(strip: np.ndarray, count: int) -> np.ndarray:
    """Return a strip of at most 16 rows as float32 `[count, 16*16*channels]`, padded with 0."""
    rows, columns, channels = strip.shape
    padding = ((0, BLOCK - rows), (0, count * BLOCK - columns), (0, 0))
    padded = np.pad(strip, padding).reshape(BLOCK, count, BLOCK * channels)
    return padded.transpose(1, 0, 2).reshape(count, -1)


class RoundingEncoder:
    """Rounds a prediction band by band and keeps the chosen offsets.

    Args:
        height: Height of the padded picture.
        width: Width of the padded picture.
    """

    def __init__(self, height: int, width: int):
        self.indices = np.zeros(grid_shape(height, width), np.uint8)

    def __call__(self, top: int, values: np.ndarray) -> np.ndarray:
        indices = choose_offsets(values)
        self.indices[top // BLOCK : top // BLOCK + len(indices)] = indices
        return round_values(values, indices)


class RoundingDecoder:
    """Rounds a prediction band by band with the encoder's offsets.

    Args:
        indices: Offsets of the whole picture, uint8 `[rows, columns]`.
    """

    def __init__(self, indices: np.ndarray):
        self.indices = indices

    def __call__(self, top: int, values: np.ndarray) -> np.ndarray:
        return round_values(values, self.indices[top // BLOCK :])


class _Model:
    """Adaptive frequencies of the indices, searched linearly because small indices are frequent."""

    def __init__(self) -> None:
        self.counts = [max(1, _FIRST >> index // 2) for index in range(MAX_INDEX + 1)]
        self.total = sum(self.counts)

    def update(self, index: int) -> None:
        self.counts[index] += _STEP
        self.total += _STEP
        if self.total > _LIMIT:
            self.counts = [(count + 1) // 2 for count in self.counts]
            self.total = sum(self.counts)


def encode_offsets(indices: np.ndarray) -> Layer:
    """Code the indices of a picture's blocks, uint8 `[rows, columns]`."""
    coder, model = RangeEncoder(), _Model()
    for index in indices.ravel().tolist():
        coder.encode(sum(model.counts[:index]), model.counts[index], model.total)
        model.update(index)
    return Layer("rounding", "adaptive", coder.finish())


def decode_offsets(layer: Layer, shape: tuple[int, int]) -> np.ndarray:
    """Decode a rounding layer.

    Args:
        layer: The rounding layer of a stream.
        shape: Height and width of the padded picture.

    Returns:
        Indices, uint8 `[ceil(height/16), ceil(width/16)]`.

    Raises:
        PayloadError: Bytes are left over.
    """
    rows, columns = grid_shape(*shape)
    coder, model = RangeDecoder(layer.payload), _Model()
    indices = np.empty(rows * columns, np.uint8)
    for position in range(len(indices)):
        target = coder.target(model.total)
        start = index = 0
        while target >= start + model.counts[index]:
            start += model.counts[index]
            index += 1
        coder.consume(start, model.counts[index])
        model.update(index)
        indices[position] = index
    if coder.unread:
        raise PayloadError(f"{coder.unread} bytes after the last offset; none are allowed")
    return indices.reshape(rows, columns)
