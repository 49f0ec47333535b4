"""PNG and TIFF files of kinds that Pillow cannot write, and the EXIF orientations."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np

UPRIGHT = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}
"""For each EXIF orientation, the function that turns the stored picture upright."""

_PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_PNG_PALETTE = 3


def png(
    samples: np.ndarray,
    bits: int,
    palette: np.ndarray | None = None,
    transparency: Sequence[int] | None = None,
) -> bytes:
    """Return a PNG file.

    Args:
        samples: Samples or palette indices, [H, W, 1 to 4].
        bits: Bits of a sample: 2 (rows of four samples only), 8 or 16.
        palette: Colours, uint8 [n, 3], or `None`.
        transparency: The transparent colour or, with a palette, the alpha of its entries.
    """
    height, width, channels = samples.shape
    colour_type = _PNG_COLOUR_TYPES[channels] if palette is None else _PNG_PALETTE
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))]
    if palette is not None:
        chunks.append((b"PLTE", palette.tobytes()))
    if transparency is not None:
        dtype = ">u2" if palette is None else "u1"
        chunks.append((b"tRNS", np.asarray(transparency).astype(dtype).tobytes()))
    if bits == 2:
        rows = [bytes([int(row[:, 0] @ [64, 16, 4, 1])]) for row in samples]
    else:
        rows = [row.astype(f">u{bits // 8}").tobytes() for row in samples]
    chunks += [(b"IDAT", zlib.compress(b"\0" + b"\0".join(rows))), (b"IEND", b"")]
    out = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        out += struct.pack(">I", len(data)) + kind + data
        out += struct.pack(">I", zlib.crc32(kind + data))
    return out


def tiff_16_bit(
    samples: np.ndarray,
    order: str = "<",
    planes: bool = False,
    extra: int = 2,
    photometric: int | None = None,
    orientation: int = 1,
    bits: int = 16,
    data: bytes | None = None,
) -> bytes:
    """Return an uncompressed TIFF file.

    Args:
        samples: uint16 [H, W, channels]: grey (1), grey and another channel (2), RGB (3), RGB and
            another channel or CMYK (4), or CMYK and another channel (5).
        order: Order of the bytes: "<" for little endian or ">" for big endian.
        planes: Whether the channels are stored one after the other.
        extra: Kind of the other channel: 0 unspecified, 1 premultiplied alpha, 2 alpha.
        photometric: By default 1 (black is zero) for grey and 2 (RGB) for other pictures; 5 is
            CMYK.
        orientation: EXIF orientation, 1..8.
        bits: Bits of a sample that the file declares.
        data: Bytes of the samples, if a sample has other than 16 bits.
    """
    height, width, channels = samples.shape
    if data is None:
        stored = samples.transpose(2, 0, 1) if planes else samples
        data = stored.astype(order + "u2").tobytes()
    strips = channels if planes else 1
    size = len(data) // strips
    if photometric is None:
        photometric = 1 if channels < 3 else 2
    tags = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits] * channels),
        259: ("H", [1]),
        262: ("H", [photometric]),
        273: ("I", [8 + size * strip for strip in range(strips)]),
        274: ("H", [orientation]),
        277: ("H", [channels]),
        278: ("I", [height]),
        279: ("I", [size] * strips),
        284: ("H", [2 if planes else 1]),
    }
    if channels in (2, 5) or (channels == 4 and photometric != 5):
        tags[338] = ("H", [extra])
    data += bytes(len(data) % 2)
    start = 8 + len(data)
    beyond = start + 2 + 12 * len(tags) + 4
    directory, values = struct.pack(order + "H", len(tags)), b""
    for tag, (kind, numbers) in tags.items():
        packed = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        directory += struct.pack(order + "HHI", tag, {"H": 3, "I": 4}[kind], len(numbers))
        if len(packed) <= 4:
            directory += packed.ljust(4, b"\0")
        else:
            directory += struct.pack(order + "I", beyond + len(values))
            values += packed
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, start)
    return head + data + directory + bytes(4) + values
