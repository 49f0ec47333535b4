"""Colour profile, EXIF and XMP in picture files of every format."""

import logging
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smapcomp.pictures.image_files import read_picture, write_picture
from smapcomp.pictures.picture import Picture
from tests.helpers import icc_profiles
from tests.helpers.image_bytes import png
from tests.helpers.pictures import read_samples

RNG = np.random.default_rng(4)
RGB = RNG.integers(0, 256, (8, 6, 3), np.uint8)
GREY = RNG.integers(0, 256, (8, 6, 1), np.uint8)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="%d" a="b"/></x:xmpmeta>'
HOLDING = ("avif", "jpg", "png", "tif", "webp")
_ORIENTATION, _MAKE, _EXIF_IFD, _DATE = 0x0112, 0x010F, 0x8769, 0x9003


@pytest.fixture
def notices(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "smapcomp")
    return caplog


def exif_bytes(orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    exif[_MAKE] = "Maker"
    exif[_EXIF_IFD] = {_DATE: "2020:02:02 02:02:02"}
    if orientation is not None:
        exif[_ORIENTATION] = orientation
    return exif.tobytes()


def parsed(exif: bytes) -> tuple[int | None, str, str]:
    read = Image.Exif()
    read.load(b"Exif\0\0" + exif)
    return read.get(_ORIENTATION), read[_MAKE], read.get_ifd(_EXIF_IFD)[_DATE]


@pytest.mark.parametrize("extension", HOLDING)
@pytest.mark.parametrize("samples", [RGB, GREY], ids=["rgb", "grey"])
def test_metadata_are_kept_with_keep_metadata(tmp_path, notices, extension, samples):
    icc = icc_profiles.swapped_rgb() if samples is RGB else icc_profiles.grey()
    path = tmp_path / f"picture.{extension}"
    write_picture(path, Picture(samples, None, icc, exif_bytes(), XMP % 1))
    back = read_picture(path, keep_metadata=True)
    if extension == "avif" and samples is GREY:  # Pillow reads it as RGB.
        assert back.icc is None
        with Image.open(path) as image:
            assert image.info["icc_profile"] == icc
    elif extension == "webp" and samples is GREY:  # WebP knows no grey.
        assert back.icc is None
        assert notices.messages == [f"{path}: WEBP cannot hold the colour profile; left out"]
    else:
        assert back.icc == icc
        assert not notices.messages
    assert back.xmp == XMP % 1
    orientation, *rest = parsed(back.exif)
    assert orientation in (None, 1)
    assert rest == ["Maker", "2020:02:02 02:02:02"]
    plain = read_picture(path)
    assert (plain.icc, plain.exif, plain.xmp) == (None, None, None)


@pytest.mark.parametrize("extension", HOLDING)
def test_orientation_is_applied_once_and_reset_in_the_metadata(tmp_path, extension):
    path = tmp_path / f"turned.{extension}"
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100}, "avif": {"quality": 100}}
    image = Image.fromarray(np.repeat(np.repeat(RGB, 16, 0), 16, 1))
    image.save(path, exif=exif_bytes(6), **options.get(extension, {}))
    upright = np.rot90(np.asarray(image), -1)
    picture = read_picture(path, keep_metadata=True)
    difference = picture.samples.astype(int) - upright
    assert np.abs(difference).mean() < {"jpg": 30, "avif": 30}.get(extension, 1e-9)
    orientation, maker, date = parsed(picture.exif)
    assert orientation in (None, 1)
    assert (maker, date) == ("Maker", "2020:02:02 02:02:02")
    again = tmp_path / "again.png"
    write_picture(again, picture)
    np.testing.assert_array_equal(read_samples(again), picture.samples)


def test_nothing_but_the_orientation_changes_in_exif(tmp_path):
    # Pillow could not write this directory again: it has unknown tags, and a thumbnail follows.
    tags = struct.pack("<HHHIHH", 2, _ORIENTATION, 3, 1, 8, 0)
    tags += struct.pack("<HHII", 0xC7FF, 7, 9, 100) + struct.pack("<I", 300)
    exif = b"II*\0" + struct.pack("<I", 8) + tags + bytes(range(256)) * 2
    path = tmp_path / "turned.png"
    Image.fromarray(RGB).save(path, exif=exif)
    kept = read_picture(path, keep_metadata=True).exif
    assert kept == exif.replace(tags[:14], struct.pack("<HHHIHH", 2, _ORIENTATION, 3, 1, 1, 0))


def test_orientation_of_xmp_alone_is_applied_and_reset(tmp_path):
    path = tmp_path / "turned.webp"
    Image.fromarray(RGB).save(path, lossless=True, xmp=XMP % 6)
    picture = read_picture(path, keep_metadata=True)
    np.testing.assert_array_equal(picture.samples, np.rot90(RGB, -1))
    assert picture.xmp == XMP % 1


def test_metadata_after_the_samples_of_a_png_are_found(tmp_path):
    for bits, samples in ((8, RGB), (16, RGB.astype(np.uint16) * 257)):
        path = tmp_path / "late.png"
        Image.fromarray(RGB).save(path, exif=exif_bytes(3))
        chunk = path.read_bytes()
        start = chunk.index(b"eXIf") - 4
        size = 12 + int.from_bytes(chunk[start : start + 4], "big")
        plain = png(samples, bits)
        path.write_bytes(plain[:-12] + chunk[start : start + size] + plain[-12:])
        np.testing.assert_array_equal(read_samples(path), RGB[::-1, ::-1])


@pytest.mark.parametrize("extension", ["bmp", "ppm", "jp2"])
def test_metadata_that_do_not_fit_a_format_are_left_out_with_a_warning(
    tmp_path, notices, extension
):
    path = tmp_path / f"picture.{extension}"
    write_picture(path, Picture(RGB, None, icc_profiles.srgb(), exif_bytes(), XMP % 1))
    np.testing.assert_array_equal(read_samples(path), RGB)
    name = {"bmp": "BMP", "ppm": "PPM", "jp2": "JPEG2000"}[extension]
    assert notices.messages == [
        f"{path}: {name} cannot hold the colour profile, EXIF, XMP; left out"
    ]


def test_exif_and_xmp_too_long_for_jpeg_are_left_out_with_a_warning(tmp_path, notices):
    path = tmp_path / "picture.jpg"
    long = exif_bytes() + bytes(65536)
    write_picture(path, Picture(RGB, None, icc_profiles.srgb(), long, bytes(65536)))
    assert notices.messages == [f"{path}: JPEG cannot hold EXIF, XMP; left out"]
    assert read_picture(path, keep_metadata=True).icc == icc_profiles.srgb()


def test_a_warning_names_a_left_out_profile_unless_it_is_srgb(tmp_path, notices):
    for name, icc in (("srgb", icc_profiles.srgb()), ("swapped", icc_profiles.swapped_rgb())):
        path = tmp_path / f"{name}.png"
        Image.fromarray(RGB).save(path, icc_profile=icc)
        np.testing.assert_array_equal(read_samples(path), RGB)
    path = tmp_path / "grey.png"
    Image.fromarray(GREY[:, :, 0]).save(path, icc_profile=icc_profiles.grey(1.0))
    read_samples(path)
    rest = "is neither applied nor kept; --keep_metadata keeps it, --to_srgb applies it"
    assert notices.messages == [
        f"{tmp_path / 'swapped.png'}: the colour profile 'sRGB built-in' {rest}",
        f"{path}: the colour profile 'by hand' {rest}",
    ]


@pytest.mark.parametrize("samples", [RGB, GREY], ids=["rgb", "grey"])
def test_a_profile_for_other_samples_is_left_out_with_a_warning(tmp_path, notices, samples):
    icc = icc_profiles.grey() if samples is RGB else icc_profiles.srgb()
    path = tmp_path / "picture.png"
    Image.fromarray(samples.squeeze()).save(path, icc_profile=icc)
    assert read_picture(path, keep_metadata=True).icc is None
    assert notices.messages == [
        f"{path}: the colour profile does not fit the samples and is left out"
    ]


@pytest.mark.parametrize("extension", ["jpg", "tif"])
def test_cmyk_becomes_srgb_by_its_profile_which_is_left_out(tmp_path, notices, extension):
    path = tmp_path / f"print.{extension}"
    ink = Image.new("CMYK", (16, 16), (0, 255, 0, 0))
    ink.save(path, icc_profile=icc_profiles.mid_grey_cmyk())
    picture = read_picture(path, keep_metadata=True)
    # L* = 50 is a luminance of 0.1842, which sRGB writes as 118.9.
    assert np.abs(picture.samples.astype(int) - 119).max() <= 3
    assert picture.icc is None
    ink.save(path, icc_profile=b"no profile")
    assert np.abs(read_samples(path).astype(int) - [255, 0, 255]).max() <= 3
    assert notices.messages == [
        f"{path}: CMYK is converted to sRGB with its colour profile",
        f"{path}: CMYK is converted to RGB without its colour profile, which is damaged",
    ]


def test_lab_becomes_srgb_with_a_warning(tmp_path, notices):
    path = tmp_path / "lab.tif"
    Image.new("LAB", (4, 4), (128, 128, 128)).save(path)
    assert np.abs(read_samples(path).astype(int) - 119).max() <= 2
    assert notices.messages == [f"{path}: LAB is converted to sRGB"]


def test_a_picture_with_damaged_exif_can_be_read(tmp_path):
    for index, damaged in enumerate((b"Exif\0\0junk", exif_bytes(6)[:20], exif_bytes(6)[:-30])):
        path: Path = tmp_path / f"{index}.png"
        Image.fromarray(RGB).save(path, exif=damaged)
        picture = read_picture(path, keep_metadata=True)
        assert picture.samples.size == RGB.size
