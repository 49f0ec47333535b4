"""The picture coders: what each returns, and that nothing but its own pictures is accepted."""

import contextlib
import importlib.util
import struct
import sys

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageDraw

from smapcomp import errors
from smapcomp.codec.coders import CODERS, find_coder, heic
from smapcomp.codec.coders.jxl import encode_jxl
from tests.helpers.paths import DEMO_PHOTO

PHOTO = np.asarray(Image.open(DEMO_PHOTO).convert("RGB"))
SIZES = [(1, 1), (1, 70), (7, 5), (37, 50), (64, 66), (70, 69)]
# The fastest that there is, since only figures of quality differ.
FAST = 9

needs_heif = pytest.mark.skipif(
    importlib.util.find_spec("pillow_heif") is None, reason="pillow-heif is not installed"
)
LOSSY = ["av1", pytest.param("heic", marks=needs_heif)]
ALL = [*LOSSY, "jxl"]


def crop(height: int, width: int, channels: int = 3, row: int = 200, column: int = 150):
    """A part of the demo photograph (512x512), uint8 [height, width, channels]."""
    return PHOTO[row : row + height, column : column + width, :channels].copy()


def text(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Black lines of text on white: what encoders have patches for."""
    image = Image.new("RGB", (width, height), "white")
    for row in range(0, height, 12):
        ImageDraw.Draw(image).text((3, row), "The quick brown fox jumps over " * 3, fill="black")
    return np.asarray(image)[..., :channels].copy()


def psnr(image: np.ndarray, decoded: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(1e-9, np.mean((image.astype(float) - decoded) ** 2)))


def round_trip(name: str, image: np.ndarray, quality: int) -> tuple[int, float]:
    """Bytes and PSNR."""
    payload = CODERS[name].encode(image, quality, FAST)
    decoded = CODERS[name].decode(payload, image.shape)
    assert decoded.dtype == np.uint8
    assert decoded.shape == image.shape
    return len(payload), psnr(image, decoded)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", LOSSY)
def test_more_quality_is_more_bytes_and_more_psnr(name, channels):
    image = crop(96, 130, channels)
    sizes, psnrs = zip(
        *(round_trip(name, image, quality) for quality in (0, 15, 30, 50, 70, 85, 100)), strict=True
    )
    assert sorted(sizes) == list(sizes)
    assert sorted(psnrs) == list(psnrs)
    assert sizes[-1] > 5 * sizes[0]
    assert psnrs[-1] > 40


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("size", SIZES)
def test_pictures_of_any_size_come_back_nearly_exactly(name, size, channels):
    assert round_trip(name, crop(*size, channels), 100)[1] > 38


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_lossless_is_exact_at_any_quality(size, channels):
    for image in (crop(*size, channels), text(*size, channels)):
        for quality in (0, 100):
            payload = CODERS["jxl"].encode(image, quality, 5)
            np.testing.assert_array_equal(CODERS["jxl"].decode(payload, image.shape), image)


@pytest.mark.parametrize("name", ALL)
def test_the_same_picture_gives_the_same_bytes(name):
    image = crop(70, 90)
    first, second = (CODERS[name].encode(image.copy(), 60, FAST) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", ALL)
def test_a_slower_speed_takes_another_way(name):
    image = crop(96, 130)
    assert len(CODERS[name].encode(image, 60, 5)) < len(CODERS[name].encode(image, 60, 9))


@pytest.mark.parametrize("name", ALL)
def test_a_view_is_coded_like_its_copy(name):
    view = crop(80, 90)[::-1, 3:70]
    encode = CODERS[name].encode
    assert encode(view, 60, FAST) == encode(np.ascontiguousarray(view), 60, FAST)


@pytest.mark.parametrize("name", ALL)
def test_another_shape_is_refused(name):
    for image in (crop(64, 70), crop(64, 70, 1)):
        payload = CODERS[name].encode(image, 60, FAST)
        height, width, channels = image.shape
        for shape in (
            (width, height, channels),
            (height + 2, width, channels),
            (height, width - 2, channels),
            (4000, 4000, channels),
            (height, width, 4 - channels),
        ):
            with pytest.raises(errors.PayloadError):
                CODERS[name].decode(payload, shape)


@pytest.mark.parametrize("name", ALL)
def test_damaged_payloads_are_pictures_or_payload_errors(name):
    image = crop(64, 70)
    payload = CODERS[name].encode(image, 60, FAST)
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 5, 20, len(payload) // 2):
        with pytest.raises(errors.PayloadError):
            CODERS[name].decode(payload[:size], image.shape)
        with pytest.raises(errors.PayloadError):
            CODERS[name].decode(rng.bytes(size), image.shape)
    for index in range(120):
        damaged = bytearray(payload)
        # The headers, byte by byte, then places anywhere.
        position = index if index < 60 else rng.integers(len(payload))
        damaged[position] ^= 1 << rng.integers(8)
        with contextlib.suppress(errors.PayloadError):
            decoded = CODERS[name].decode(bytes(damaged), image.shape)
            assert (decoded.shape, decoded.dtype) == (image.shape, np.uint8)


def test_lossless_jpeg_xl_of_text_can_be_decoded_though_libjxl_would_use_patches():
    image = text(240, 500)
    for payload in (encode_jxl(image, efforts=(5, 7)), CODERS["jxl"].encode(image, 0, None)):
        np.testing.assert_array_equal(CODERS["jxl"].decode(payload, image.shape), image)


def jxl(image: np.ndarray, **options) -> bytes:
    """Codes losslessly unless the options say otherwise."""
    options = {"lossless": True, "effort": 3, "usecontainer": False, **options}
    return imagecodecs.jpegxl_encode(image, **options)


WRONG_CODESTREAMS = {
    "larger": (jxl(crop(300, 310)), "310x300 pixels, must be 24x16"),
    "lossy": (jxl(crop(16, 24), lossless=False, distance=2.0), "all_default is 1, must be 0"),
    "animation": (jxl(crop(16, 24)[None].repeat(2, 0)), "extra_fields is 1"),
    "with alpha": (jxl(crop(16, 24)[..., [0, 1, 2, 0]].copy()), "num_extra_channels is 1"),
    "in a container": (jxl(crop(16, 24), usecontainer=True), "starts with 0000"),
    "grey": (jxl(crop(16, 24)[..., 0].copy()), "1 channels, must have 3"),
}


@pytest.mark.parametrize("case", WRONG_CODESTREAMS)
def test_a_jpeg_xl_codestream_of_anything_else_is_refused_by_its_header(case):
    payload, message = WRONG_CODESTREAMS[case]
    with pytest.raises(errors.PayloadError, match=message):
        CODERS["jxl"].decode(payload, (16, 24, 3))


@needs_heif
@pytest.mark.parametrize("channels", [1, 3])
def test_a_rebuilt_heic_file_shows_what_the_encoders_own_file_shows(channels, monkeypatch):
    import pillow_heif

    image = crop(70, 90, channels)
    files = []
    monkeypatch.setattr(heic, "strip_heic", lambda file: files.append(file) or file)
    CODERS["heic"].encode(image, 60, FAST)
    monkeypatch.undo()
    payload = heic.strip_heic(files[0])
    assert len(files[0]) - len(payload) > 250
    original = np.asarray(pillow_heif.open_heif(files[0]))
    np.testing.assert_array_equal(
        CODERS["heic"].decode(payload, image.shape), original.reshape(image.shape)
    )


@needs_heif
def test_heic_of_more_than_one_slice_or_without_its_parameter_sets_is_refused():
    payload = CODERS["heic"].encode(crop(64, 70), 50, FAST)
    units, position = [], 0
    while position < len(payload):
        (size,) = struct.unpack_from(">I", payload, position)
        units.append(payload[position : position + 4 + size])
        position += 4 + size
    vps, sps, pps, piece = units
    for wrong in ([vps, sps, pps], [sps, pps, piece], [vps, sps, pps, piece, piece], [piece]):
        with pytest.raises(errors.PayloadError, match="HEVC picture has"):
            CODERS["heic"].decode(b"".join(wrong), (64, 70, 3))


def test_without_pillow_heif_the_message_tells_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(errors.MissingCoderError, match="pip install pillow-heif"):
        CODERS["heic"].encode(crop(16, 24), 50, None)


@needs_heif
def test_without_pillow_heif_a_picture_of_it_is_no_damaged_one(monkeypatch):
    payload = CODERS["heic"].encode(crop(16, 24), 50, None)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(errors.MissingCoderError, match="pip install pillow-heif"):
        CODERS["heic"].decode(payload, (16, 24, 3))


def test_an_unknown_coder_is_an_error_that_lists_the_others():
    with pytest.raises(errors.SmapcompError, match="'webp'; allowed are av1, heic, jxl"):
        find_coder("webp")
