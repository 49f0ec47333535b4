"""Colour spaces that a file declares without a colour profile, and profiles of them.

PNG has the chunks cICP, sRGB, gAMA and cHRM, AVIF has the box colr of type nclx, and EXIF can say
Adobe RGB. The profiles have a matrix and a curve (ICC.1:2022, section 8.3) and are deterministic.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

_Curve: TypeAlias = tuple[float, ...]
"""Parameters of a parametric curve (ICC.1:2022, section 10.18): g of x^g, or g, a, b, c and d."""

_Point: TypeAlias = tuple[float, float]

CICP = "cicp"
"""Key in `info` of a Pillow image for four numbers of H.273: primaries, transfer, matrix, range."""

_D65: _Point = (0.3127, 0.3290)
_REC709 = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_REC709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
_ADOBE_GAMMA = 2.19921875

# H.273, table 2: name, white, primaries.
_PRIMARIES: dict[int, tuple[str, _Point, tuple[_Point, _Point, _Point]]] = {
    1: ("BT.709", _D65, _REC709),
    4: ("BT.470 M", (0.310, 0.316), ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08))),
    5: ("BT.601 625", _D65, ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06))),
    6: ("BT.601 525", _D65, ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))),
    7: ("SMPTE 240M", _D65, ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))),
    9: ("BT.2020", _D65, ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))),
    11: ("P3 DCI", (0.314, 0.351), ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))),
    12: ("Display P3", _D65, ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))),
}
# H.273, table 3: name and curve. PQ and HLG reach beyond the white of a profile.
_TRANSFERS: dict[int, tuple[str, _Curve | None]] = {
    1: ("BT.709", _REC709_CURVE),
    4: ("gamma 2.2", (2.2,)),
    5: ("gamma 2.8", (2.8,)),
    6: ("BT.601", _REC709_CURVE),
    8: ("linear", (1.0,)),
    13: ("sRGB", _SRGB_CURVE),
    14: ("BT.2020", _REC709_CURVE),
    15: ("BT.2020", _REC709_CURVE),
    16: ("PQ", None),
    18: ("HLG", None),
}
_UNSPECIFIED = 2
# Programs show pictures with the curve of BT.709 as if it were that of sRGB.
_SHOWN_AS_SRGB = (1, _UNSPECIFIED, 6, 13, 14, 15)

# PNG stores chromaticities with five decimals and encoders round them further.
_CHROMATICITY_TOLERANCE = 0.002
_SRGB_GAMMA, _GAMMA_TOLERANCE = 0.45455, 0.005
_GAMMAS = (0.05, 5.0)

_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_D50 = np.array([0.9642, 1.0, 0.8249])


@dataclass(frozen=True)
class ColourSpace:
    """Colour space of red, green and blue, or of grey.

    Attributes:
        name: Description for the profile and for notices.
        white: Chromaticity of white, x and y.
        primaries: Chromaticities of red, green and blue.
        curve: Curve from samples to light.
    """

    name: str
    white: _Point
    primaries: tuple[_Point, _Point, _Point]
    curve: _Curve

    def profile(self, channels: int) -> bytes:
        """Return a colour profile for samples of 1 (grey) or 3 channels (RGB).

        Raises:
            ValueError: The chromaticities span no colours.
        """
        kind = 0 if len(self.curve) == 1 else 3
        curve = b"para" + bytes(4) + struct.pack(">HH", kind, 0) + _fixed(*self.curve)
        tags = {
            b"desc": _text(self.name),
            b"cprt": _text("No copyright"),
            b"wtpt": b"XYZ " + bytes(4) + _fixed(*_D50),
        }
        matrix, adaptation = self._matrix()
        tags[b"chad"] = b"sf32" + bytes(4) + _fixed(*adaptation.ravel())
        if channels == 1:
            tags[b"kTRC"] = curve
            return _icc(b"GRAY", tags)
        for letter, column in zip(b"rgb", matrix.T, strict=True):
            tags[bytes([letter]) + b"XYZ"] = b"XYZ " + bytes(4) + _fixed(*column)
            tags[bytes([letter]) + b"TRC"] = curve
        return _icc(b"RGB ", tags)

    def _matrix(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the matrices from linear RGB to XYZ of D50, and from XYZ of white to D50."""
        white = _xyz(self.white)
        columns = np.stack([_xyz(point) for point in self.primaries], axis=1)
        if abs(np.linalg.det(columns)) < 1e-3:
            raise ValueError(f"primaries {self.primaries} span no colours")
        matrix = columns * np.linalg.solve(columns, white)
        scale = (_BRADFORD @ _D50) / (_BRADFORD @ white)
        adaptation = np.linalg.solve(_BRADFORD, scale[:, None] * _BRADFORD)
        return adaptation @ matrix, adaptation


ADOBE_RGB = ColourSpace("Adobe RGB of EXIF", _D65, _ADOBE_RGB, (_ADOBE_GAMMA,))
"""Colour space that EXIF can declare (DCF 2.0, section 5.3)."""


def declared_space(info: Mapping[Any, Any], source: str) -> ColourSpace | str | None:
    """Return the colour space that a file declares.

    Args:
        info: `info` of a Pillow image, with `CICP` if the file has such numbers.
        source: Name of the file's format, for descriptions.

    Returns:
        `None` for sRGB and without a declaration; else the colour space, or, if no profile
        describes it, a text like "PNG says cICP 9/16/0/1 (BT.2020, PQ)".
    """
    if CICP in info:
        return _cicp_space(info[CICP], source)
    if "srgb" in info or not ("gamma" in info or "chromaticity" in info):
        return None
    return _gamma_space(info.get("gamma"), info.get("chromaticity"), source)


def _cicp_space(numbers: tuple[int, int, int, int], source: str) -> ColourSpace | str | None:
    primaries, transfer = numbers[:2]
    is_narrow = source == "PNG" and not numbers[3]
    if primaries in (1, _UNSPECIFIED) and transfer in _SHOWN_AS_SRGB and not is_narrow:
        return None
    primaries = 1 if primaries == _UNSPECIFIED else primaries
    transfer = 13 if transfer == _UNSPECIFIED else transfer
    name, white, points = _PRIMARIES.get(primaries, ("unknown primaries", _D65, None))
    curve_name, curve = _TRANSFERS.get(transfer, ("unknown transfer", None))
    range_name = ", narrow range" if is_narrow else ""
    codes = "/".join(map(str, numbers))
    box = "cICP" if source == "PNG" else "nclx"
    text = f"{box} {codes} ({name}, {curve_name}{range_name})"
    if points is None or curve is None or is_narrow:
        return f"{source} says {text}"
    return ColourSpace(f"{source} {text}", white, points, curve)


def _gamma_space(
    gamma: float | None, chromaticity: tuple[float, ...] | None, source: str
) -> ColourSpace | str | None:
    curve: _Curve = _SRGB_CURVE
    names = []
    if gamma is not None:
        names.append(f"gAMA {gamma:g}")
        if not _GAMMAS[0] <= gamma <= _GAMMAS[1]:
            return f"{source} says gAMA {gamma:g}"
        if abs(gamma - _SRGB_GAMMA) > _GAMMA_TOLERANCE:
            curve = (1 / gamma,)
    points: list[_Point] = [_D65, *_REC709]
    if chromaticity is not None:
        if len(chromaticity) != 8:
            return f"{source} says cHRM of {len(chromaticity)} numbers"
        stated = list(zip(chromaticity[::2], chromaticity[1::2], strict=True))
        if np.abs(np.subtract(stated, points)).max() > _CHROMATICITY_TOLERANCE:
            points = stated
            names.append("cHRM " + " ".join(f"{value:g}" for value in chromaticity))
            # With other primaries than sRGB's, gAMA means what it says, as in Adobe RGB.
            curve = curve if gamma is None else (1 / gamma,)
    if curve == _SRGB_CURVE and points == [_D65, *_REC709]:
        return None
    space = ColourSpace(
        f"{source} {', '.join(names)}", points[0], (points[1], points[2], points[3]), curve
    )
    try:
        space.profile(3)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError, struct.error):
        return f"{source} says {', '.join(names)}"
    return space


def _xyz(point: _Point) -> np.ndarray:
    x, y = point
    if not 0 < y <= 1:
        raise ValueError(f"chromaticity {x}, {y} is no colour")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _fixed(*values: float) -> bytes:
    """Return numbers as s15Fixed16."""
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))


def _text(text: str) -> bytes:
    """Return a multi-localised text in English."""
    data = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(data), 28) + data


def _icc(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """Return a display profile of version 4.4 without time of creation."""
    position = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    places: dict[bytes, int] = {}
    for name, data in tags.items():
        # The three curves are one.
        if data not in places:
            places[data] = position + len(body)
            body += data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", places[data], len(data))
    header = struct.pack(">I4xI4s4s4s", position + len(body), 0x04400000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp"
    header = header.ljust(64, b"\0") + struct.pack(">I", 1) + _fixed(*_D50)
    return header.ljust(128, b"\0") + table + body
