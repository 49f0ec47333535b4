"""Colour profiles and declared colour spaces are kept, applied, or named in a notice."""

import io
import logging
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from smapcomp.pictures.colour import is_srgb
from smapcomp.pictures.colour_tags import ColourSpace
from smapcomp.pictures.image_files import read_picture
from tests.helpers import icc_profiles
from tests.helpers.exif_bytes import exif, png_chunk, with_chunks
from tests.helpers.paths import TRIALS
from tests.helpers.pictures import encode_image

RGB = np.random.default_rng(9).integers(0, 256, (5, 7, 3), np.uint8)
GREY = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7
SRGB_CHRM = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
ADOBE_CHRM = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
REST = "is neither applied nor kept; --keep_metadata keeps it, --to_srgb applies it"


@pytest.fixture
def notices(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "smapcomp")
    return caplog


def gama(value: float) -> bytes:
    return png_chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def chrm(values: tuple[float, ...]) -> bytes:
    return png_chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


def cicp(*numbers: int) -> bytes:
    return png_chunk(b"cICP", bytes(numbers))


def write(path, *chunks: bytes, samples=RGB):
    path.write_bytes(with_chunks(encode_image(samples), *chunks))
    return path


def srgb_from_light(light: np.ndarray) -> np.ndarray:
    """Return sRGB of linear light 0..1 by the formula of IEC 61966-2-1."""
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def matrix(chromaticities: tuple[float, ...]) -> np.ndarray:
    """Return the matrix from linear RGB to XYZ of the same white."""
    points = np.reshape(chromaticities, (4, 2))
    white, *columns = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in points)
    columns = np.stack(columns, axis=1)
    return columns * np.linalg.solve(columns, white)


@pytest.mark.parametrize(
    "chunks",
    [
        [gama(0.45455)],
        [gama(0.45455), chrm(SRGB_CHRM)],
        [chrm(SRGB_CHRM)],
        [png_chunk(b"sRGB", b"\0"), gama(1.0)],
        [cicp(1, 13, 0, 1)],
        [cicp(1, 13, 0, 1), gama(1.0)],
    ],
)
def test_chunks_that_mean_srgb_need_no_notice(tmp_path, notices, chunks):
    path = write(tmp_path / "srgb.png", *chunks)
    for options in ({}, {"keep_metadata": True}, {"to_srgb": True}):
        picture = read_picture(path, **options)
        np.testing.assert_array_equal(picture.samples, RGB)
        assert picture.icc is None
    assert not notices.messages


@pytest.mark.parametrize(
    ("chunks", "name"),
    [
        ([gama(1.0)], "PNG gAMA 1"),
        ([gama(0.45455), chrm(ADOBE_CHRM)], "PNG gAMA 0.45455, cHRM 0.3127 0.329"),
        ([cicp(12, 13, 0, 1)], "PNG cICP 12/13/0/1 (Display P3, sRGB)"),
        ([cicp(9, 1, 0, 1)], "PNG cICP 9/1/0/1 (BT.2020, BT.709)"),
    ],
)
def test_other_colour_spaces_are_kept_as_a_profile_or_named(tmp_path, notices, chunks, name):
    path = write(tmp_path / "wide.png", *chunks)
    read_picture(path)
    (message,) = notices.messages
    assert message.startswith(f"{path}: the colour profile '{name}")
    assert message.endswith(REST)
    notices.clear()
    picture = read_picture(path, keep_metadata=True)
    assert picture.icc == read_picture(path, keep_metadata=True).icc
    assert not is_srgb(picture.icc)
    assert not notices.messages


def test_linear_samples_become_srgb(tmp_path):
    picture = read_picture(write(tmp_path / "linear.png", gama(1.0)), to_srgb=True)
    assert np.abs(picture.samples - srgb_from_light(RGB / 255)).max() <= 1
    assert picture.icc is None
    path = write(tmp_path / "grey.png", gama(1.0), samples=GREY)
    picture = read_picture(path, to_srgb=True)
    assert picture.samples.shape == (5, 7, 1)
    assert np.abs(picture.samples[:, :, 0] - srgb_from_light(GREY / 255)).max() <= 1


def test_adobe_rgb_becomes_srgb_as_by_its_matrix(tmp_path):
    muted = (RGB // 4 + 90).astype(np.uint8)
    path = write(tmp_path / "adobe.png", gama(0.45455), chrm(ADOBE_CHRM), samples=muted)
    light = (muted / 255) ** 2.2 @ np.linalg.solve(matrix(SRGB_CHRM), matrix(ADOBE_CHRM)).T
    picture = read_picture(path, to_srgb=True, keep_metadata=True)
    assert np.abs(picture.samples - srgb_from_light(light)).max() <= 2
    assert picture.icc is None


def test_an_embedded_profile_is_applied(tmp_path, notices):
    for samples, icc in ((RGB, icc_profiles.swapped_rgb()), (GREY, icc_profiles.grey(1.0))):
        path = tmp_path / "profile.png"
        Image.fromarray(samples).save(path, icc_profile=icc)
        picture = read_picture(path, to_srgb=True, keep_metadata=True)
        assert picture.icc is None
        grey = srgb_from_light(GREY / 255)[:, :, None]
        expected = grey if samples is GREY else RGB[:, :, ::-1].astype(float)
        assert np.abs(picture.samples - expected).max() <= 2
    assert not notices.messages


def test_grey_colours_of_a_palette_are_converted_by_an_rgb_profile(tmp_path):
    image = Image.fromarray(GREY % 2)
    image.putpalette([10, 10, 10, 200, 200, 200])
    path = tmp_path / "palette.png"
    image.save(path, icc_profile=icc_profiles.swapped_rgb())
    picture = read_picture(path, to_srgb=True)
    assert picture.samples.shape == (5, 7, 3)
    assert set(np.unique(picture.samples)) == {10, 200}


def test_profiles_that_cannot_be_applied_are_named(tmp_path, notices):
    path = tmp_path / "profile.png"
    broken = icc_profiles.srgb()[:200]
    for icc in (icc_profiles.grey(), broken):
        Image.fromarray(RGB).save(path, icc_profile=icc)
        np.testing.assert_array_equal(read_picture(path, to_srgb=True).samples, RGB)
    assert notices.messages == [
        f"{path}: the colour profile does not fit the samples and is not applied",
        f"{path}: the colour profile is damaged and is not applied",
    ]


def test_high_dynamic_range_is_named(tmp_path, notices):
    path = TRIALS / "cicp_pq.png"
    other = write(tmp_path / "hlg.png", cicp(9, 18, 0, 1))
    narrow = write(tmp_path / "narrow.png", cicp(1, 13, 0, 0))
    for name in (path, other, narrow):
        for options in ({}, {"keep_metadata": True}, {"to_srgb": True}):
            read_picture(name, **options)
    rest = "which is not kept: the picture will look wrong without it"
    assert notices.messages[::3] == [
        f"{path}: the PNG says cICP 9/16/0/1 (BT.2020, PQ), {rest}",
        f"{other}: the PNG says cICP 9/18/0/1 (BT.2020, HLG), {rest}",
        f"{narrow}: the PNG says cICP 1/13/0/0 (BT.709, sRGB, narrow range), {rest}",
    ]
    assert len(notices.messages) == 9


@pytest.mark.parametrize("chunk", [gama(0.0), chrm((0.0,) * 8), chrm((0.3,) * 8)])
def test_colours_that_no_profile_describes_are_named(tmp_path, notices, chunk):
    path = write(tmp_path / "odd.png", chunk)
    np.testing.assert_array_equal(read_picture(path, to_srgb=True).samples, RGB)
    (message,) = notices.messages
    assert message.startswith(f"{path}: the PNG says ")


def test_an_embedded_profile_takes_precedence_over_chunks(tmp_path, notices):
    path = tmp_path / "both.png"
    Image.fromarray(RGB).save(path, icc_profile=icc_profiles.srgb())
    path.write_bytes(with_chunks(path.read_bytes(), gama(1.0), cicp(9, 16, 0, 1)))
    assert read_picture(path, keep_metadata=True).icc == icc_profiles.srgb()
    assert not notices.messages


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_deep_and_wide_avif_is_named(tmp_path, notices, bits):
    top = (1 << bits) - 1
    ramp = np.tile(np.linspace(0, top, 64).round(), (48, 1))[:, :, None].repeat(3, axis=2)
    samples = ramp.astype(np.uint8 if bits == 8 else np.uint16)
    path = tmp_path / "picture.avif"
    path.write_bytes(imagecodecs.avif_encode(samples, level=100, bitspersample=bits))
    read = read_picture(path).samples
    assert np.abs(read - ramp / top * 255).max() <= 1
    expected = [] if bits == 8 else [f"{path}: {bits}-bit samples are rounded to 8 bits"]
    assert notices.messages == expected
    notices.clear()
    data = imagecodecs.avif_encode(
        samples, level=100, bitspersample=bits, primaries=9, transfer=16, matrix=9
    )
    path.write_bytes(data)
    read_picture(path, keep_metadata=True)
    assert notices.messages[-1].startswith(f"{path}: the AVIF says nclx 9/16/9/1 (BT.2020, PQ), ")


def test_adobe_rgb_of_exif_alone_is_named_and_applied(tmp_path, notices):
    space = exif([(0xA001, 3, 1, struct.pack("<H", 2))])[8:]
    start = 8 + 2 + 12 + 4
    data = exif([(34665, 4, 1, struct.pack("<I", start))]) + space
    path = tmp_path / "adobe.png"
    Image.fromarray(RGB).save(path, exif=data)
    read_picture(path)
    assert notices.messages == [f"{path}: the colour profile 'Adobe RGB of EXIF' {REST}"]
    notices.clear()
    kept = read_picture(path, keep_metadata=True)
    assert (kept.exif, kept.icc) == (data, None)
    applied = read_picture(path, to_srgb=True, keep_metadata=True)
    assert np.abs(applied.samples.astype(int) - RGB).max() > 5
    assert applied.exif == data.replace(struct.pack("<HIH", 3, 1, 2), struct.pack("<HIH", 3, 1, 1))
    assert not notices.messages


def test_written_profiles_are_those_of_the_colour_space():
    curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    points = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
    space = ColourSpace("sRGB by numbers", (0.3127, 0.329), points, curve)
    assert space.profile(3) == space.profile(3)
    for channels in (1, 3):
        icc = space.profile(channels)
        assert is_srgb(icc)
        profile = ImageCms.getOpenProfile(io.BytesIO(icc))
        assert profile.profile.profile_description == "sRGB by numbers"
        assert len(icc) == struct.unpack(">I", icc[:4])[0]
