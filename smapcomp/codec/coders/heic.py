"""HEVC still pictures by the optional package pillow-heif (libheif with x265).

As with AV1, the boxes of the file are left out of the payload and rebuilt for decoding: shape and
parameter sets determine them, and without them a payload cannot ask for more memory than its
checked size needs. The payload is the NAL units VPS, SPS, PPS and one slice, each behind its length
in four bytes.

Names are those of the HEVC specification (7.3.2.2 SPS, 7.3.3 profile_tier_level) and of ISO/IEC
14496-12, 14496-15 and 23008-12 (boxes).
"""

import io
import struct

import numpy as np

from smapcomp.codec.coders.heif import box, heif_file
from smapcomp.errors import MissingCoderError, PayloadError

INSTALL = "pip install pillow-heif"
MIN_SIDE = 64
"""Shortest coded side. libheif would pad shorter and odd sides itself and crop them by a box."""

PRESETS = (
    *("placebo", "veryslow", "slower", "slow", "medium"),
    *("fast", "faster", "veryfast", "superfast", "ultrafast"),
)
"""Presets of x265 for the speeds 0, 1, 2 and so on."""

DEFAULT_SPEED = 3
"""Speed of the preset "slow", libheif's default."""

_PARAMETER_SETS = (32, 33, 34)  # VPS, SPS, PPS
_IDR = (19, 20)
_CHROMA_FORMATS = {1: 0, 3: 3}  # chroma_format_idc by channels: 4:0:0, 4:4:4
_MAX_CODING_BLOCK = 64
"""Largest coding block of HEVC in pixels, to which a decoder rounds sides up."""


def load_pillow_heif():
    """Import the optional package pillow-heif.

    Raises:
        MissingCoderError: It is not installed.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingCoderError(f"HEIC needs the package pillow-heif: {INSTALL}") from error
    return pillow_heif


def encode(samples: np.ndarray, quality: int, speed: int | None = None) -> bytes:
    """Code a picture.

    Args:
        samples: uint8 `[height, width, 1 or 3]`.
        quality: 0..100 on libheif's scale.
        speed: 0 (slowest) to 10; `None` for `DEFAULT_SPEED`.

    Returns:
        The NAL units, each behind its length.

    Raises:
        MissingCoderError: pillow-heif is not installed.
    """
    pillow_heif = load_pillow_heif()
    height, width, channels = samples.shape
    rows, columns = _coded_size(samples.shape)
    padding = ((0, rows - height), (0, columns - width), (0, 0))
    preset = PRESETS[min(DEFAULT_SPEED if speed is None else speed, len(PRESETS) - 1)]
    buffer = io.BytesIO()
    pillow_heif.encode(
        "L" if channels == 1 else "RGB",
        (columns, rows),
        np.pad(samples, padding, mode="edge").tobytes(),
        buffer,
        quality=quality,
        # Without a thread pool: parallel rows would give other bytes.
        enc_params={"chroma": "444", "preset": preset, "x265:pools": "none"},
    )
    return strip_heic(buffer.getvalue())


def decode(payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Decode a picture.

    Args:
        payload: Result of `encode`.
        shape: Height, width and channels (1 or 3) of the picture.

    Returns:
        uint8 of that shape.

    Raises:
        MissingCoderError: pillow-heif is not installed.
        PayloadError: The payload is not an HEVC still picture of that shape.
    """
    file = wrap_heic(payload, shape)
    pillow_heif = load_pillow_heif()
    try:
        heif = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
        image = np.asarray(heif)
    except (EOFError, OSError, RuntimeError, SyntaxError, ValueError) as error:
        raise PayloadError(f"HEVC picture does not decode: {error}") from error
    rows, columns = _coded_size(shape)
    if image.dtype != np.uint8 or image.size != rows * columns * shape[2]:
        raise PayloadError(f"HEVC picture is {image.dtype} {image.shape}, must be uint8 {shape}")
    return image.reshape(rows, columns, shape[2])[: shape[0], : shape[1]]


def _coded_size(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return height and width of the coded picture: even, and at least `MIN_SIDE`."""
    return max(MIN_SIDE, shape[0] + shape[0] % 2), max(MIN_SIDE, shape[1] + shape[1] % 2)


def strip_heic(file: bytes) -> bytes:
    """Return the NAL units of a HEIC file of one item, parameter sets first.

    Raises:
        PayloadError: A box is missing.
    """
    meta = _find(file, b"meta")[4:]
    config = _find(_find(_find(meta, b"iprp"), b"ipco"), b"hvcC")
    units = []
    position = 23
    for _ in range(config[22]):
        (count,) = struct.unpack_from(">H", config, position + 1)
        position += 3
        for _ in range(count):
            (size,) = struct.unpack_from(">H", config, position)
            units.append(config[position + 2 : position + 2 + size])
            position += 2 + size
    return b"".join(map(_with_length, units)) + _find(file, b"mdat")


def wrap_heic(payload: bytes, shape: tuple[int, int, int]) -> bytes:
    """Return a HEIC file around the NAL units of one 8-bit picture, BT.601.

    The file's picture is the padded one that `encode` codes.

    Args:
        payload: The NAL units, each behind its length.
        shape: Height, width and channels (1 or 3) of the picture.

    Raises:
        PayloadError: The NAL units are not the parameter sets of such a picture and one slice.
    """
    units = _split(payload)
    kinds = tuple(unit[0] >> 1 if unit else -1 for unit in units)
    if kinds[:-1] != _PARAMETER_SETS or kinds[-1] not in _IDR:
        raise PayloadError(
            f"HEVC picture has NAL units of types {kinds}, must be {_PARAMETER_SETS} "
            f"and one of {_IDR}"
        )
    rows, columns = _coded_size(shape)
    channels = shape[2]
    profile_tier_level = _check_sps(units[1], (rows, columns, channels))
    config = (
        b"\x01"
        + profile_tier_level
        # No segmentation, any parallelism, 8 bits, one temporal layer, lengths of four bytes.
        + bytes([0xF0, 0, 0xFC, 0xFC | _CHROMA_FORMATS[channels], 0xF8, 0xF8, 0, 0, 0x0F])
        + bytes([len(_PARAMETER_SETS)])
        + b"".join(
            struct.pack(">BHH", 0x80 | kind, 1, len(unit)) + unit
            for kind, unit in zip(kinds[:-1], units[:-1], strict=True)
        )
    )
    data = _with_length(units[-1])
    shape = (rows, columns, channels)
    return heif_file(b"heicmif1heic", b"hvc1", box(b"hvcC", config), shape, data)


def _find(boxes: bytes, kind: bytes) -> bytes:
    """Return the content of the first box of a kind."""
    position = 0
    while position + 8 <= len(boxes):
        size, found = struct.unpack_from(">I4s", boxes, position)
        if found == kind:
            return boxes[position + 8 : position + size]
        position += max(8, size)
    raise PayloadError(f"HEIC file has no {kind.decode()} box")


def _with_length(unit: bytes) -> bytes:
    return struct.pack(">I", len(unit)) + unit


def _split(payload: bytes) -> list[bytes]:
    """Split into NAL units: at least one, and no more than a picture has."""
    units: list[bytes] = []
    position = 0
    while position < len(payload) or not units:
        size = int.from_bytes(payload[position : position + 4], "big")
        position += 4
        if size > len(payload) - position:
            left = max(0, len(payload) - position)
            raise PayloadError(f"HEVC NAL unit of {size} bytes, {left} are left")
        if len(units) > len(_PARAMETER_SETS):
            raise PayloadError("HEVC picture has more than one slice")
        units.append(payload[position : position + size])
        position += size
    return units


class _Bits:
    """Reader of the bit fields of a NAL unit; zeros follow its end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        value = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return value & ((1 << count) - 1)

    def ue(self) -> int:
        """Read an unsigned Exp-Golomb code, descriptor ue of the specification."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 16:
                raise PayloadError("HEVC SPS has a number of more than 16 bits")
        return (1 << zeros) - 1 + self.take(zeros)


def _check_sps(unit: bytes, shape: tuple[int, int, int]) -> bytes:
    """Check format and size in an SPS; return its 12 bytes of profile, tier and level."""
    # Emulation prevention bytes are removed; 64 bytes hold all fields that are read.
    content = unit[2:128].replace(b"\0\0\3", b"\0\0")[:64]
    bits = _Bits(content)
    bits.take(4)  # sps_video_parameter_set_id
    if bits.take(3):
        raise PayloadError("HEVC SPS has sub-layers; none are allowed")
    bits.take(1)  # sps_temporal_id_nesting_flag
    profile_tier_level = content[1:13]
    bits.take(8 * 12)
    bits.ue()  # sps_seq_parameter_set_id
    chroma_format = bits.ue()
    separate = bits.take(1) if chroma_format == 3 else 0
    if (chroma_format, separate) != (_CHROMA_FORMATS[shape[2]], 0):
        allowed = (_CHROMA_FORMATS[shape[2]], 0)
        raise PayloadError(
            f"HEVC chroma_format_idc, separate_colour_plane_flag are "
            f"{(chroma_format, separate)}, must be {allowed}"
        )
    coded_width, coded_height = bits.ue(), bits.ue()
    left, right, top, bottom = (bits.ue() for _ in range(4)) if bits.take(1) else (0, 0, 0, 0)
    width, height = coded_width - left - right, coded_height - top - bottom
    if (height, width) != shape[:2] or max(left + right, top + bottom) >= _MAX_CODING_BLOCK:
        raise PayloadError(
            f"HEVC picture of {width}x{height} pixels in {coded_width}x{coded_height}, "
            f"must be {shape[1]}x{shape[0]}"
        )
    depths = bits.ue() + 8, bits.ue() + 8
    if depths != (8, 8):
        raise PayloadError(f"HEVC bit depths are {depths}, must be 8")
    return profile_tier_level
