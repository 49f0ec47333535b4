"""Reads the first fields of a JPEG XL codestream, so that nothing large is decoded unawares.

Names and order of the fields are those of ISO/IEC 18181-1, annexes D (image header) and F (frame
header). Only what the layers need is accepted: one 8-bit frame of the whole picture, grey or sRGB,
without extra channels, animation, previews or ICC profiles; without loss a modular frame of the
samples themselves, else a frame in XYB. Such a frame takes memory in proportion to the picture's
size and no more.
"""

from smapcomp.errors import PayloadError

SIGNATURE = b"\xff\x0a"
# All fields up to the last one read here fit, whatever their values.
_PREFIX_BYTES = 64
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_SIZE = ((9, 1), (13, 1), (18, 1), (30, 1))
_MODULAR = 1
_GREY = 1
_SRGB = 13
# U32 of the colour encoding's enumerations.
_ENUM = ((0, 0), (0, 1), (4, 2), (6, 18))


class _Bits:
    """Reads little-endian bit fields; zeros follow the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self.position = 0

    def take(self, count: int) -> int:
        value = self._value >> self.position & ((1 << count) - 1)
        self.position += count
        return value

    def u32(self, choices: tuple[tuple[int, int], ...]) -> int:
        """U32: a selector of two bits, then (bits, offset) of the chosen entry."""
        bits, offset = choices[self.take(2)]
        return self.take(bits) + offset

    def align(self) -> None:
        self.position = -(-self.position // 8) * 8


def check_jxl_header(payload: bytes, shape: tuple[int, int, int], lossy: bool = False) -> None:
    """Checks that a codestream is one frame of uint8 [h, w, 1 or 3].

    Args:
      payload: the codestream; only its first bytes are read.
      shape: the shape it must have.
      lossy: whether the frame must be in XYB, VarDCT or modular; else it must be modular and not
        in XYB, so that it can be lossless.

    Raises:
      PayloadError: if it is anything else.
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
    channels = _read_metadata(bits, lossy)
    if channels != shape[2]:
        raise PayloadError(f"JPEG XL picture of {channels} channels, must have {shape[2]}")
    bits.align()
    _check_frame(bits, lossy)


def _require(what: str, value: int, allowed: int) -> None:
    if value != allowed:
        raise PayloadError(f"JPEG XL {what} is {value}, must be {allowed}")


def _read_size(bits: _Bits) -> tuple[int, int]:
    """SizeHeader."""
    small = bits.take(1)

    def side() -> int:
        return (bits.take(5) + 1) * 8 if small else bits.u32(_SIZE)

    height = side()
    ratio = bits.take(3)
    if not ratio:
        return height, side()
    numerator, denominator = _RATIOS[ratio]
    return height, height * numerator // denominator


def _read_metadata(bits: _Bits, lossy: bool) -> int:
    """ImageMetadata and CustomTransformData; returns the number of colour channels."""
    channels = 3
    # The default is 8-bit sRGB in XYB.
    all_default = bits.take(1)
    if not (all_default and lossy):
        _require("ImageMetadata.all_default", all_default, 0)
        _require("extra_fields", bits.take(1), 0)
        _require("float_sample", bits.take(1), 0)
        _require("bits_per_sample", bits.u32(((0, 8), (0, 10), (0, 12), (6, 1))), 8)
        bits.take(1)  # modular_16_bit_buffer_sufficient
        _require("num_extra_channels", bits.u32(((0, 0), (0, 1), (4, 2), (12, 1))), 0)
        _require("xyb_encoded", bits.take(1), int(lossy))
        if not bits.take(1):
            channels = _read_colour_encoding(bits, lossy)
        _require("ImageMetadata.extensions", bits.take(2), 0)
    _require("CustomTransformData.all_default", bits.take(1), 1)
    return channels


def _read_colour_encoding(bits: _Bits, lossy: bool) -> int:
    """ColourEncoding that is not the default; returns the number of channels."""
    _require("want_icc", bits.take(1), 0)
    colour_space = bits.u32(_ENUM)
    _require("colour_space", colour_space, _GREY)
    _require("white_point", bits.u32(_ENUM), 1)
    _require("have_gamma", bits.take(1), 0)
    transfer_function = bits.u32(_ENUM)
    # It touches no sample unless they come from XYB.
    if lossy:
        _require("transfer_function", transfer_function, _SRGB)
    bits.u32(_ENUM)  # rendering_intent
    return 1


def _check_frame(bits: _Bits, lossy: bool) -> None:
    """FrameHeader, up to is_last."""
    # The default is a regular VarDCT frame of the whole picture and the last one.
    all_default = bits.take(1)
    if all_default and lossy:
        return
    _require("FrameHeader.all_default", all_default, 0)
    _require("frame_type", bits.take(2), 0)
    encoding = bits.take(1)
    if not lossy:
        _require("encoding", encoding, _MODULAR)
    _require("flags", bits.take(2), 0)
    if lossy:
        # 1 or 2: libjxl halves the picture at the lowest qualities.
        upsampling = bits.take(2)
        if upsampling > 1:
            raise PayloadError(f"JPEG XL upsampling is {1 << upsampling}, must be 1 or 2")
    else:
        _require("do_YCbCr", bits.take(1), 0)
        _require("upsampling", bits.take(2), 0)
    if encoding == _MODULAR:
        bits.take(2)  # group_size_shift
    else:
        bits.take(6)  # x_qm_scale, b_qm_scale
    _require("num_passes", bits.take(2), 0)
    _require("have_crop", bits.take(1), 0)
    _require("blending mode", bits.take(2), 0)
    _require("is_last", bits.take(1), 1)
