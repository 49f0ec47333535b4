"""Checks of the first fields of a JPEG XL codestream, made before it is decoded.

Names and order of the fields are those of ISO/IEC 18181-1, annexes D (image header) and F (frame
header). Only what the layers need is accepted: one 8-bit modular frame of the whole picture, grey
or sRGB, without extra channels, animation, previews or ICC profiles. Decoding such a frame needs
memory in proportion to the picture's size and no more.
"""

from smapcomp.errors import PayloadError

SIGNATURE = b"\xff\x0a"
_PREFIX_BYTES = 64
"""Bytes that hold all fields that are read, whatever their values."""

_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_SIZE = ((9, 1), (13, 1), (18, 1), (30, 1))
_MODULAR = 1
_GREY = 1
_ENUM = ((0, 0), (0, 1), (4, 2), (6, 18))
"""U32 distribution of the colour encoding's enumerations."""


class _Bits:
    """Reader of little-endian bit fields; zeros follow the end of the data."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self.position = 0

    def take(self, count: int) -> int:
        value = self._value >> self.position & ((1 << count) - 1)
        self.position += count
        return value

    def u32(self, choices: tuple[tuple[int, int], ...]) -> int:
        """Read a U32: a selector of two bits chooses `(bits, offset)` among four."""
        bits, offset = choices[self.take(2)]
        return self.take(bits) + offset

    def align(self) -> None:
        self.position = -(-self.position // 8) * 8


def check_jxl_header(payload: bytes, shape: tuple[int, int, int]) -> None:
    """Check that a codestream is one lossless frame of a uint8 picture.

    Args:
        payload: The codestream; only its first bytes are read.
        shape: Height, width and channels (1 or 3) that the picture must have.

    Raises:
        PayloadError: The codestream is anything else.
    """
    if not payload.startswith(SIGNATURE):
        start = payload[:2].hex()
        raise PayloadError(f"JPEG XL codestream starts with {start}, must be {SIGNATURE.hex()}")
    bits = _Bits(payload[len(SIGNATURE) : _PREFIX_BYTES])
    height, width = _read_size(bits)
    if (height, width) != shape[:2]:
        raise PayloadError(
            f"JPEG XL picture of {width}x{height} pixels, must be {shape[1]}x{shape[0]}"
        )
    channels = _read_metadata(bits)
    if channels != shape[2]:
        raise PayloadError(f"JPEG XL picture of {channels} channels, must have {shape[2]}")
    bits.align()
    _check_frame(bits)


def _require(what: str, value: int, allowed: int) -> None:
    if value != allowed:
        raise PayloadError(f"JPEG XL {what} is {value}, must be {allowed}")


def _read_size(bits: _Bits) -> tuple[int, int]:
    """Read a SizeHeader; return height and width."""
    small = bits.take(1)

    def side() -> int:
        return (bits.take(5) + 1) * 8 if small else bits.u32(_SIZE)

    height = side()
    ratio = bits.take(3)
    if not ratio:
        return height, side()
    numerator, denominator = _RATIOS[ratio]
    return height, height * numerator // denominator


def _read_metadata(bits: _Bits) -> int:
    """Read ImageMetadata and CustomTransformData; return the number of colour channels."""
    channels = 3
    # The default is 8-bit sRGB in XYB, which is lossy.
    _require("ImageMetadata.all_default", bits.take(1), 0)
    _require("extra_fields", bits.take(1), 0)
    _require("float_sample", bits.take(1), 0)
    _require("bits_per_sample", bits.u32(((0, 8), (0, 10), (0, 12), (6, 1))), 8)
    bits.take(1)  # modular_16_bit_buffer_sufficient
    _require("num_extra_channels", bits.u32(((0, 0), (0, 1), (4, 2), (12, 1))), 0)
    _require("xyb_encoded", bits.take(1), 0)
    if not bits.take(1):
        channels = _read_colour_encoding(bits)
    _require("ImageMetadata.extensions", bits.take(2), 0)
    _require("CustomTransformData.all_default", bits.take(1), 1)
    return channels


def _read_colour_encoding(bits: _Bits) -> int:
    """Read a ColourEncoding that is not the default; return the number of channels."""
    _require("want_icc", bits.take(1), 0)
    colour_space = bits.u32(_ENUM)
    _require("colour_space", colour_space, _GREY)
    _require("white_point", bits.u32(_ENUM), 1)
    _require("have_gamma", bits.take(1), 0)
    bits.u32(_ENUM)  # transfer_function, which changes no sample of a frame that is not in XYB
    bits.u32(_ENUM)  # rendering_intent
    return 1


def _check_frame(bits: _Bits) -> None:
    """Read a FrameHeader up to is_last."""
    # The default is a regular VarDCT frame of the whole picture and the last one.
    _require("FrameHeader.all_default", bits.take(1), 0)
    _require("frame_type", bits.take(2), 0)
    _require("encoding", bits.take(1), _MODULAR)
    _require("flags", bits.take(2), 0)
    _require("do_YCbCr", bits.take(1), 0)
    _require("upsampling", bits.take(2), 0)
    bits.take(2)  # group_size_shift
    _require("num_passes", bits.take(2), 0)
    _require("have_crop", bits.take(1), 0)
    _require("blending mode", bits.take(2), 0)
    _require("is_last", bits.take(1), 1)
