"""Samples of more than 8 bits are rounded to 8, as computed in floating point."""

import logging
from itertools import product

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from smapcomp.pictures.image_files import ImageFileError, read_picture
from tests.helpers.image_bytes import UPRIGHT, png, tiff_16_bit
from tests.helpers.paths import TRIALS
from tests.helpers.pictures import read_samples

RNG = np.random.default_rng(5)


@pytest.fixture
def notices(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "smapcomp")
    return caplog


def test_16_bit_grey_is_rounded_to_8_bits_with_a_warning(tmp_path, notices):
    wide = np.array([[0, 128, 129, 257, 32767, 32896, 65406, 65407, 65535]], np.uint16)
    path = tmp_path / "deep.png"
    Image.fromarray(wide).save(path)
    expected = [round(int(value) / 65535 * 255) for value in wide[0]]
    assert read_samples(path)[0, :, 0].tolist() == expected
    assert notices.messages == [f"{path}: 16-bit samples are rounded to 8 bits"]


def ppm_16_bit(samples: np.ndarray, maximum: int = 65535) -> bytes:
    height, width, channels = samples.shape
    head = b"P%d\n%d %d\n%d\n" % (5 if channels == 1 else 6, width, height, maximum)
    return head + samples.astype(">u2").tobytes()


def jp2_16_bit(samples: np.ndarray) -> bytes:
    return imagecodecs.jpeg2k_encode(samples.squeeze(), level=0, reversible=True)


def rounded(samples: np.ndarray, maximum: int = 65535) -> np.ndarray:
    return np.floor(samples / maximum * 255 + 0.5).astype(np.uint8)


DEEP = {
    "png": (lambda x: png(x, 16), (1, 2, 3, 4)),
    "tif": (tiff_16_bit, (1, 2, 3, 4)),
    "tif big-endian": (lambda x: tiff_16_bit(x, order=">"), (1, 2, 3, 4)),
    "tif in planes": (lambda x: tiff_16_bit(x, planes=True), (1, 2, 3, 4)),
    "ppm": (ppm_16_bit, (1, 3)),
    "jp2": (jp2_16_bit, (1, 2, 3, 4)),
}


@pytest.mark.parametrize(
    ("kind", "channels"), [(kind, n) for kind, (_, all_n) in DEEP.items() for n in all_n]
)
def test_16_bit_samples_are_rounded_to_8_bits_with_a_warning(tmp_path, notices, kind, channels):
    wide = RNG.integers(0, 65536, (6, 8, channels)).astype(np.uint16)
    # Values at which rounding, truncation and overflow give different results.
    wide[0, :, 0] = [0, 128, 129, 255, 256, 65406, 65407, 65535]
    path = tmp_path / "deep"
    path.write_bytes(DEEP[kind][0](wide))
    np.testing.assert_array_equal(read_picture(path).to_array(), rounded(wide))
    assert notices.messages == [f"{path}: 16-bit samples are rounded to 8 bits"]


def test_12_bit_samples_are_scaled_to_the_whole_range(tmp_path, notices):
    wide = np.array([[[0], [8], [9], [2048], [4086], [4087], [4095]]], np.uint16)
    (tmp_path / "a.pgm").write_bytes(ppm_16_bit(wide, 4095))
    (tmp_path / "b.pgm").write_text("P2 7 1 4095 " + " ".join(map(str, wide.ravel())))
    (tmp_path / "c.tif").write_bytes(
        tiff_16_bit(wide, bits=12, data=b"\0\0\x08\0\x98\0\xff\x6f\xf7\xff\xf0")
    )
    expected = rounded(wide, 4095)
    np.testing.assert_array_equal(read_samples(tmp_path / "a.pgm"), expected)
    np.testing.assert_array_equal(read_samples(tmp_path / "b.pgm"), expected)
    assert read_samples(tmp_path / "c.tif")[0, [0, 6], 0].tolist() == [0, 255]
    assert notices.messages[0] == f"{tmp_path / 'a.pgm'}: 12-bit samples are rounded to 8 bits"


def test_16_bit_tiff_may_have_premultiplied_unspecified_or_inverted_samples(tmp_path):
    path = tmp_path / "deep.tif"
    wide = np.array([[[20000, 10000, 0, 40000], [0, 0, 0, 0], [65535] * 4]], np.uint16)
    path.write_bytes(tiff_16_bit(wide, extra=1))
    picture = read_picture(path)
    assert picture.samples[0].tolist() == [[128, 64, 0], [0, 0, 0], [255, 255, 255]]
    assert picture.alpha[0].tolist() == [156, 0, 255]
    path.write_bytes(tiff_16_bit(wide, extra=0))
    picture = read_picture(path)
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.samples, rounded(wide[:, :, :3]))
    for order, planes in product("<>", (False, True)):
        grey = wide[:, :, :1]
        path.write_bytes(tiff_16_bit(grey, order, planes, photometric=0))
        np.testing.assert_array_equal(read_samples(path), 255 - rounded(grey))
        grey = wide[:, :, 2:]
        path.write_bytes(tiff_16_bit(grey, order, planes, photometric=0))
        picture = read_picture(path)
        np.testing.assert_array_equal(picture.samples, 255 - rounded(grey[:, :, :1]))
        np.testing.assert_array_equal(picture.alpha, rounded(grey[:, :, 1]))
        path.write_bytes(tiff_16_bit(wide[:, :, 1::2], order, planes, extra=1))
        picture = read_picture(path)
        assert picture.samples.ravel().tolist() == [64, 0, 255]
        assert picture.alpha.ravel().tolist() == [156, 0, 255]
        path.write_bytes(tiff_16_bit(grey, order, planes, extra=0))
        picture = read_picture(path)
        assert picture.alpha is None
        np.testing.assert_array_equal(picture.samples, rounded(grey[:, :, :1]))


def test_16_bit_tiff_is_turned_upright(tmp_path):
    for channels in (1, 3):
        wide = RNG.integers(0, 65536, (5, 7, channels)).astype(np.uint16)
        for orientation, operation in UPRIGHT.items():
            path = tmp_path / "turned.tif"
            path.write_bytes(tiff_16_bit(wide, orientation=orientation))
            np.testing.assert_array_equal(read_samples(path), operation(rounded(wide)))


def test_damaged_16_bit_files_are_refused(tmp_path):
    wide = RNG.integers(0, 65536, (16, 16, 3)).astype(np.uint16)
    path = tmp_path / "cut"
    for encode, _ in DEEP.values():
        whole = encode(wide)
        for length in range(0, len(whole) - 20, 1 + len(whole) // 40):
            path.write_bytes(whole[:length])
            with pytest.raises(ImageFileError, match=r"damaged|not a picture"):
                read_samples(path)


@pytest.mark.parametrize("planes", [False, True], ids=["interleaved", "planes"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_cmyk_is_rounded_and_converted(tmp_path, notices, order, planes):
    wide = RNG.integers(0, 65536, (6, 8, 4)).astype(np.uint16)
    path = tmp_path / "ink.tif"
    path.write_bytes(tiff_16_bit(wide, order=order, planes=planes, photometric=5))
    expected = np.asarray(Image.fromarray(rounded(wide), "CMYK").convert("RGB"))
    np.testing.assert_array_equal(read_samples(path), expected)
    assert notices.messages == [
        f"{path}: 16-bit samples are rounded to 8 bits",
        f"{path}: CMYK is converted to RGB without a colour profile",
    ]


@pytest.mark.parametrize("planes", [False, True], ids=["interleaved", "planes"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_another_channel_beside_16_bit_cmyk_is_left_out(tmp_path, order, planes):
    wide = RNG.integers(0, 65536, (6, 8, 5)).astype(np.uint16)
    path = tmp_path / "ink.tif"
    path.write_bytes(tiff_16_bit(wide, order=order, planes=planes, photometric=5, extra=0))
    ink = np.ascontiguousarray(rounded(wide[:, :, :4]))
    expected = np.asarray(Image.fromarray(ink, "CMYK").convert("RGB"))
    np.testing.assert_array_equal(read_samples(path), expected)


def test_16_bit_cmyk_of_a_printer_is_read():
    with Image.open(TRIALS / "cmyk16.tif") as image:
        by_pillow = np.asarray(image.convert("RGB")).astype(int)
    # Pillow truncates samples.
    assert np.abs(read_samples(TRIALS / "cmyk16.tif") - by_pillow).max() <= 3


def test_pixels_of_16_bits_are_no_samples_of_16_bits(notices):
    with Image.open(TRIALS / "rgb565.bmp") as image:
        np.testing.assert_array_equal(read_samples(TRIALS / "rgb565.bmp"), np.asarray(image))
    assert not notices.messages
