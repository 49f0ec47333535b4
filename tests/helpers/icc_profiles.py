"""Small ICC colour profiles."""

import struct

from PIL import ImageCms

_SIGNATURES = {"RGB": b"RGB ", "GREY": b"GRAY", "CMYK": b"CMYK"}


def srgb() -> bytes:
    """Return sRGB without its time of creation, bytes 24 to 35, so that the bytes never change."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes(12) + profile[36:]


def swapped_rgb() -> bytes:
    """Return sRGB with red and blue exchanged."""
    profile = srgb()
    table = profile[:400].replace(b"rXYZ", b"????", 1).replace(b"bXYZ", b"rXYZ", 1)
    return table.replace(b"????", b"bXYZ", 1) + profile[400:]


def grey(gamma: float = 2.2) -> bytes:
    """Return a grey profile with a gamma."""
    curve = b"curv" + bytes(4) + struct.pack(">IHH", 1, round(gamma * 256), 0)
    return _profile("GREY", b"XYZ ", b"mntr", {b"kTRC": curve})


def mid_grey_cmyk() -> bytes:
    """Return a CMYK profile in which magenta alone is a grey of L* = 50 and paper is white.

    Every other mixture is black.
    """
    identity = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    lut += struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    lightness = [255, 0, 0, 0, 128, *11 * [0]]  # of paper, K, Y, YK, M, ...
    colours = b"".join(bytes([value, 128, 128]) for value in lightness)
    lut += identity * 4 + colours + identity * 3
    return _profile("CMYK", b"Lab ", b"prtr", {b"A2B0": lut})


def _profile(space: str, connection: bytes, device: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"by hand"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(79),
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
        **tags,
    }
    position = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", position + len(body), len(data))
        body += data
    header = struct.pack(">I4sI", position + len(body), b"lcms", 0x02400000)
    header += device + _SIGNATURES[space] + connection + bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + body
