"""Metadata chunks of PNG files: long ones, bombs, and raw profiles."""

import logging
import zlib

import numpy as np
import pytest
from PIL import Image

from smapcomp.pictures import png_chunks
from smapcomp.pictures.image_files import read_picture
from tests.helpers import icc_profiles
from tests.helpers.exif_bytes import exif, png_chunk, with_chunks
from tests.helpers.image_bytes import png
from tests.helpers.paths import TRIALS
from tests.helpers.pictures import encode_image

RGB = np.random.default_rng(8).integers(0, 256, (5, 7, 3), np.uint8)
XMP = b'<x tiff:Orientation="1"/>'
EXIF = exif([(271, 2, 6, b"Maker\0")])


@pytest.fixture
def notices(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "smapcomp")
    return caplog


def raw_profile(name: str, data: bytes, tail: str = "") -> bytes:
    digits = data.hex()
    lines = "\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    text = f"\n{name}\n{len(data):8}\n{lines}\n{tail}"
    return f"Raw profile type {name}".encode() + b"\0\0" + zlib.compress(text.encode("latin-1"))


def long_text(kind: bytes) -> bytes:
    text = b"all work and no play " * 200_000
    return {
        b"tEXt": b"Comment\0" + text,
        b"zTXt": b"Comment\0\0" + zlib.compress(text),
        b"iTXt": b"Comment\0\1\0\0\0" + zlib.compress(text),
    }[kind]


@pytest.mark.parametrize("at_the_end", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
def test_long_text_is_no_damage(tmp_path, kind, bits, at_the_end):
    path = tmp_path / "text.png"
    plain = png(RGB.astype(np.uint16) * (257 if bits == 16 else 1), bits)
    chunks = [png_chunk(kind, long_text(kind))] * 20
    path.write_bytes(with_chunks(plain, *chunks, at_the_end=at_the_end))
    np.testing.assert_array_equal(read_picture(path).samples, RGB)


def test_a_picture_with_two_mebibytes_of_text_is_read():
    with Image.open(TRIALS / "raw_xmp.png") as image:
        size = image.size
    picture = read_picture(TRIALS / "ztxt_2mb.png", keep_metadata=True)
    assert picture.samples.shape == (*size[::-1], 3)


def test_a_profile_of_more_than_one_mebibyte_is_kept(tmp_path):
    icc = icc_profiles.swapped_rgb() + bytes(3 << 20)
    path = tmp_path / "profile.png"
    chunk = png_chunk(b"iCCP", b"long\0\0" + zlib.compress(icc))
    path.write_bytes(with_chunks(encode_image(RGB), chunk))
    assert read_picture(path, keep_metadata=True).icc == icc


def test_metadata_that_inflate_without_bound_are_left_out_with_a_notice(
    tmp_path, notices, monkeypatch
):
    monkeypatch.setattr(png_chunks, "MAX_CHUNK_BYTES", 1 << 16)
    bomb = zlib.compress(bytes(1 << 20), 9)
    chunks = {
        "iCCP": (b"iCCP", b"a\0\0" + bomb),
        "XML:com.adobe.xmp": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb),
        "Raw profile type exif": (b"zTXt", b"Raw profile type exif\0\0" + bomb),
        "eXIf": (b"eXIf", EXIF + bytes(1 << 17)),
    }
    path = tmp_path / "bomb.png"
    copies = [png_chunk(*chunk) for chunk in chunks.values()] * 2
    path.write_bytes(with_chunks(encode_image(RGB), *copies))
    picture = read_picture(path, keep_metadata=True)
    np.testing.assert_array_equal(picture.samples, RGB)
    assert (picture.icc, picture.exif, picture.xmp) == (None, None, None)
    names = ", ".join(chunks)
    assert notices.messages == [f"{path}: metadata that are too long are left out: {names}"]


@pytest.mark.parametrize(
    ("name", "data", "kept"),
    [
        ("exif", b"Exif\0\0" + EXIF, ("exif", EXIF)),
        ("exif", EXIF, ("exif", EXIF)),
        ("APP1", b"Exif\0\0" + EXIF, ("exif", EXIF)),
        ("APP1", b"http://ns.adobe.com/xap/1.0/\0" + XMP, ("xmp", XMP)),
        ("xmp", XMP, ("xmp", XMP)),
        ("icc", icc_profiles.srgb(), ("icc", icc_profiles.srgb())),
    ],
)
def test_raw_profiles_are_kept(tmp_path, notices, name, data, kept):
    path = tmp_path / "raw.png"
    for tail in ("", "\0\x01zz", "0102"):
        chunk = png_chunk(b"zTXt", raw_profile(name, data, tail))
        path.write_bytes(with_chunks(encode_image(RGB), chunk, at_the_end=True))
        picture = read_picture(path, keep_metadata=True)
        assert getattr(picture, kept[0]) == kept[1]
    assert not notices.messages


@pytest.mark.parametrize("name", ["raw_xmp.png", "raw_exif_tail.png"])
def test_orientation_of_raw_profiles_is_applied_and_reset(name):
    with Image.open(TRIALS / name) as image:
        stored = np.asarray(image)
    picture = read_picture(TRIALS / name, keep_metadata=True)
    np.testing.assert_array_equal(picture.samples, np.rot90(stored, -1))
    if name == "raw_xmp.png":
        assert b'tiff:Orientation="1"' in picture.xmp
    else:
        tags = Image.Exif()
        tags.load(picture.exif)
        assert (tags[271], tags[274]) == ("Maker", 1)


def test_damaged_chunks_of_metadata_harm_no_pixels(tmp_path):
    path = tmp_path / "damaged.png"
    chunks = [
        (b"zTXt", b"Raw profile type exif"),
        (b"zTXt", b"Raw profile type xmp\0\0junk"),
        (b"tEXt", b"Raw profile type APP1\0\nexif\n 9\nxyz"),
        (b"iTXt", b"XML:com.adobe.xmp\0"),
        (b"iCCP", b"junk"),
        (b"eXIf", b""),
        (b"cICP", b"\1"),
        (b"gAMA", bytes(4)),
        (b"cHRM", bytes(32)),
    ]
    for chunk in chunks:
        path.write_bytes(with_chunks(encode_image(RGB), png_chunk(*chunk)))
        picture = read_picture(path, keep_metadata=True)
        np.testing.assert_array_equal(picture.samples, RGB)
        assert (picture.icc, picture.exif, picture.xmp) == (None, None, None)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"gAMA", b"\0"),
        (b"cHRM", bytes(31)),
        (b"sRGB", b""),
        (b"pHYs", bytes(5)),
        (b"iCCP", b"name\0\0no deflate"),
        (b"iCCP", b"no end of the name"),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no deflate"),
    ],
)
def test_a_damaged_chunk_of_metadata_is_left_out_with_a_notice(tmp_path, notices, kind, data):
    path = tmp_path / "damaged.png"
    path.write_bytes(with_chunks(png(RGB, 8), png_chunk(kind, data)))
    np.testing.assert_array_equal(read_picture(path, keep_metadata=True).samples, RGB)
    name = "XML:com.adobe.xmp" if kind == b"iTXt" else kind.decode()
    assert notices.messages == [f"{path}: metadata that are damaged are left out: {name}"]


@pytest.mark.parametrize("kind", [b"gAMA", b"prVt", b"tIME"])
def test_a_chunk_with_a_wrong_checksum_that_decoders_can_do_without_is_left_out(
    tmp_path, notices, kind
):
    path = tmp_path / "damaged.png"
    chunk = png_chunk(kind, b"\0\0\xb1\x8f")
    path.write_bytes(with_chunks(png(RGB, 8), chunk[:-1] + bytes([chunk[-1] ^ 1])))
    np.testing.assert_array_equal(read_picture(path).samples, RGB)
    name = kind.decode()
    assert notices.messages == [f"{path}: metadata that are damaged are left out: {name}"]
