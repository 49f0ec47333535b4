"""Boxes around the bitstream in AVIF and HEIC files of one picture.

Names are those of ISO/IEC 14496-12 and 23008-12 (boxes).
"""

import struct

_COLOUR = b"nclx" + struct.pack(">HHHB", 1, 13, 6, 0x80)
"""Primaries of BT.709, transfer function of sRGB, matrix of BT.601, full range."""


def box(kind: bytes, content: bytes) -> bytes:
    """Return a box: its size, its kind (four letters), its content."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def heif_file(
    brands: bytes, item_type: bytes, configuration: bytes, shape: tuple[int, int, int], data: bytes
) -> bytes:
    """Return a file of one 8-bit picture.

    Args:
        brands: Major brand and compatible brands, four letters each.
        item_type: "av01" or "hvc1".
        configuration: Configuration box of the decoder.
        shape: Height, width and channels (1 or 3) of the coded picture.
        data: The bitstream.
    """
    height, width, channels = shape
    properties = [
        configuration,
        box(b"ispe", struct.pack(">III", 0, width, height)),
        box(b"pixi", struct.pack(">IB", 0, channels) + b"\x08" * channels),
        box(b"colr", _COLOUR),
    ]
    # Item 1 has the four properties; the first is essential.
    association = struct.pack(">IIHB4B", 0, 1, 1, 4, 0x81, 2, 3, 4)
    item = box(b"infe", struct.pack(">IHH4sB", 2 << 24, 1, 0, item_type, 0))

    def meta(offset: int) -> bytes:
        extent = struct.pack(">IHHHHHII", 0, 0x4400, 1, 1, 0, 1, offset, len(data))
        boxes = (
            box(b"hdlr", struct.pack(">II4s12xB", 0, 0, b"pict", 0)),
            box(b"pitm", struct.pack(">IH", 0, 1)),
            box(b"iloc", extent),
            box(b"iinf", struct.pack(">IH", 0, 1) + item),
            box(b"iprp", box(b"ipco", b"".join(properties)) + box(b"ipma", association)),
        )
        return box(b"meta", bytes(4) + b"".join(boxes))

    start = box(b"ftyp", brands[:4] + bytes(4) + brands[4:])
    offset = len(start) + len(meta(0)) + 8
    return start + meta(offset) + box(b"mdat", data)
