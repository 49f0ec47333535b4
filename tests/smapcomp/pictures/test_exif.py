"""Unusual EXIF changes no pixel, stops no writer, and is kept where a format takes it."""

import io
import logging
import struct
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps, TiffTags

from smapcomp.pictures.image_files import OUTPUT_EXTENSIONS, read_picture, write_picture
from smapcomp.pictures.picture import Picture
from smapcomp.pictures.tiff_structure import Entry, TiffStructure, Tree
from tests.helpers.exif_bytes import exif
from tests.helpers.image_bytes import UPRIGHT
from tests.helpers.paths import TRIALS
from tests.helpers.pictures import encode_image

RGB = np.random.default_rng(7).integers(0, 256, (9, 11, 3), np.uint8)
LOSSY = (".avif", ".jpeg", ".jpg")
FORMATS = sorted(set(OUTPUT_EXTENSIONS) - {".jpeg", ".tiff"})
ORIENTATION, EXIF_IFD = 274, 34665
MAKER = (271, 2, 6, b"Maker\0")

# TIFF 6.0 and its extensions, other known tags, and all that Pillow knows.
TAGS = sorted(
    {*range(254, 348), *range(512, 533), 700, 32932, 32995, 32996, 32997, 33421, 33422, 33550}
    | {33922, 34377, 34665, 34675, 34853, 37724, 42112, 42113, 50706}
    | {*TiffTags.TAGS_V2, *TiffTags.LIBTIFF_CORE, *ExifTags.TAGS}
    | {tag for tag in TiffTags.TAGS if isinstance(tag, int)}
)
TAGS = [tag for tag in TAGS if tag < 65536 and tag != ORIENTATION]

# Values of many types; a type may be wrong for a tag, and a number of values too large.
VALUES = {
    "short": (3, 1, struct.pack("<H", 4)),
    "shorts": (3, 3, struct.pack("<3H", 8, 16, 2)),
    "long": (4, 1, struct.pack("<I", 4000)),
    "text": (2, 6, b"72dpi\0"),
    "zero denominator": (5, 1, struct.pack("<II", 1, 0)),
    "nan": (12, 1, struct.pack("<d", float("nan"))),
    "huge": (4, 1 << 30, b"\xff" * 4),
}


@pytest.fixture
def notices(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "smapcomp")
    return caplog


def assert_pixels_survive(path: Path, picture: Picture) -> None:
    """Write a picture without a Python warning and read it by Pillow and by this package."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_picture(path, picture, overwrite=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as image:
            by_pillow = np.asarray(image)
    found = [by_pillow, read_picture(path, keep_metadata=True).samples]
    if path.suffix == ".tif":
        found.append(imagecodecs.tiff_decode(path.read_bytes()))
    for samples in found:
        assert samples.shape == picture.samples.shape
        if path.suffix not in LOSSY:
            np.testing.assert_array_equal(samples, picture.samples)


@pytest.mark.parametrize("kind", VALUES)
def test_no_tag_of_exif_changes_a_tiff(tmp_path, kind):
    for tag in TAGS:
        entries = sorted([MAKER, (tag, *VALUES[kind])]) if tag != 271 else [(tag, *VALUES[kind])]
        assert_pixels_survive(tmp_path / "picture.tif", Picture(RGB, exif=exif(entries)))


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("kind", VALUES)
def test_all_tags_of_exif_together_change_no_pixel(tmp_path, extension, kind):
    data = exif([(tag, *VALUES[kind]) for tag in TAGS])
    assert_pixels_survive(tmp_path / f"picture{extension}", Picture(RGB, exif=data))


def entry(draw: st.DrawFn, order: str) -> tuple[int, int, int, bytes]:
    tag = draw(st.sampled_from([*TAGS, *[282, 283, 296, EXIF_IFD, 34853, 40965] * 20]))
    kind = draw(st.sampled_from([*range(14), 16, 17, 18, 99]))
    count = draw(st.sampled_from([0, 1, 1, 1, 2, 3, 5, 65535, 1 << 31]))
    data = draw(
        st.one_of(
            st.binary(min_size=0, max_size=64),
            # Positions, which may point to a directory that contains them.
            st.sampled_from([0, 8, 10, 20, 26, 38, 50, 2**32 - 1]).map(
                lambda number: struct.pack(order + "I", number)
            ),
        )
    )
    return tag, kind, count, data


@st.composite
def odd_exif(draw: st.DrawFn) -> bytes:
    order = draw(st.sampled_from("<>"))
    entries = [entry(draw, order) for _ in range(draw(st.integers(0, 6)))]
    data = bytearray(exif(entries, order, draw(st.sampled_from([0, 0, 8, 20, 2**32 - 1]))))
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(4, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.one_of(st.just(len(data)), st.integers(4, len(data))))])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=odd_exif())
def test_odd_exif_changes_no_pixel_and_raises_nothing(tmp_path, data):
    # Each example is written in all formats; a tag 274 would turn the picture.
    if b"\x01\x12" in data or b"\x12\x01" in data:
        return
    for extension in FORMATS:
        assert_pixels_survive(tmp_path / f"picture{extension}", Picture(RGB, exif=data))


@pytest.mark.parametrize("name", ["exif_size_ifd.jpg", "exif_res_text_ifd.jpg"])
@pytest.mark.parametrize("extension", FORMATS)
def test_pictures_whose_exif_broke_tiff_are_written(tmp_path, name, extension):
    picture = read_picture(TRIALS / name, keep_metadata=True)
    assert picture.exif is not None
    assert_pixels_survive(tmp_path / f"picture{extension}", picture)


def test_a_notice_names_what_tiff_does_not_take_of_exif(tmp_path, notices):
    text = (2, 6, b"72dpi\0")
    data = exif([(256, 4, 1, b"\xa0\x0f\0\0"), MAKER, (282, *text), (0xC7FF, 7, 9, bytes(9))])
    path = tmp_path / "picture.tif"
    write_picture(path, Picture(RGB, exif=data))
    assert notices.messages == [
        f"{path}: TIFF cannot hold all of EXIF; left out: XResolution, tag 51199"
    ]
    with Image.open(path) as image:
        assert image.tag_v2[271] == "Maker"


def test_tiff_keeps_nested_directories_and_is_compressed(tmp_path):
    nested = Image.Exif()
    nested[271] = "Maker"
    nested[EXIF_IFD] = {36867: "2020:02:02 02:02:02", 33434: 0.004, 40965: {1: "R98"}}
    nested[34853] = {1: "N", 2: (52.0, 31.0, 12.5)}
    path = tmp_path / "picture.tif"
    for order in (None, ">"):
        nested.endian = order
        write_picture(path, Picture(RGB, exif=nested.tobytes()), overwrite=True)
        with Image.open(path) as image:
            assert image.tag_v2[259] == 8  # deflate
            tags = image.getexif()
            assert tags.get_ifd(EXIF_IFD)[36867] == "2020:02:02 02:02:02"
            assert tags.get_ifd(EXIF_IFD)[33434] == 0.004
            assert tags.get_ifd(40965) == {1: "R98"}
            assert tags.get_ifd(34853) == {1: "N", 2: (52.0, 31.0, 12.5)}


@pytest.mark.parametrize("extension", [".png", ".webp", ".tif", ".jpg", ".avif"])
@pytest.mark.parametrize("kind", [3, 4], ids=["short", "long"])
def test_orientation_of_a_picture_that_is_not_upright_is_written(tmp_path, extension, kind):
    large = np.repeat(np.repeat(RGB, 16, 0), 16, 1)
    for orientation, operation in UPRIGHT.items():
        data = exif([MAKER, (ORIENTATION, kind, 1, struct.pack("<I", orientation))])
        path = tmp_path / f"picture{extension}"
        write_picture(path, Picture(large, exif=data), overwrite=True)
        with Image.open(path) as image:
            by_pillow = np.asarray(ImageOps.exif_transpose(image))
        for samples in (by_pillow, read_picture(path).samples):
            assert samples.shape == operation(large).shape
            assert np.abs(samples.astype(int) - operation(large)).mean() < 30


@pytest.mark.parametrize("name", ["orient_dup.jpg"])
def test_two_orientations_turn_a_picture_once(tmp_path, name):
    picture = read_picture(TRIALS / name, keep_metadata=True)
    with Image.open(TRIALS / name) as image:
        np.testing.assert_array_equal(picture.samples, np.asarray(ImageOps.exif_transpose(image)))
    # Both entries say 1 afterwards.
    assert picture.exif.count(struct.pack("<HHIH", ORIENTATION, 3, 1, 1)) == 2
    path = tmp_path / "again.png"
    write_picture(path, picture)
    np.testing.assert_array_equal(read_picture(path).samples, picture.samples)


def test_orientation_is_reset_in_each_directory(tmp_path):
    turned = (ORIENTATION, 3, 1, struct.pack("<H", 6))
    nested = exif([turned])[8:]
    start = 8 + 2 + 2 * 12 + 4
    pointer = (EXIF_IFD, 4, 1, struct.pack("<I", start))
    first = exif([turned, pointer], following=start + len(nested))
    path = tmp_path / "turned.png"
    Image.fromarray(RGB).save(path, exif=first + nested + nested)
    picture = read_picture(path, keep_metadata=True)
    np.testing.assert_array_equal(picture.samples, np.rot90(RGB, -1))
    assert picture.exif.count(struct.pack("<HHIH", ORIENTATION, 3, 1, 1)) == 3


@pytest.mark.parametrize(
    "text",
    [
        b"<r tiff:Orientation='6'/>",
        b'<r tiff:Orientation="6"/>',
        b'<r tiff:Orientation = "6"/>',
        b"<tiff:Orientation>6</tiff:Orientation>",
        b"<tiff:Orientation>\n6\n</tiff:Orientation>",
    ],
)
@pytest.mark.parametrize("extension", ["png", "webp", "tif"])
def test_orientation_of_xmp_is_applied_once_in_each_notation(tmp_path, text, extension):
    path = tmp_path / f"turned.{extension}"
    write_picture(path, Picture(RGB, xmp=text))
    picture = read_picture(path, keep_metadata=True)
    np.testing.assert_array_equal(picture.samples, np.rot90(RGB, -1))
    assert picture.xmp == text.replace(b"6", b"1")


def _damaged() -> list[bytes]:
    whole = exif([MAKER])
    headers = b"junk", b"II+\0", b"MM\0\x2b"
    return [b"II*\0", b"II*\0\x08\0\0\0", whole[:20], b"x", *(x + whole[4:] for x in headers)]


def test_damaged_exif_is_left_out_with_a_notice(tmp_path, notices):
    path = tmp_path / "picture.png"
    for index, damaged in enumerate(_damaged()):
        path.write_bytes(encode_image(RGB, exif=b"Exif\0\0" + damaged))
        assert read_picture(path, keep_metadata=True).exif is None
        assert notices.messages[index] == f"{path}: the EXIF metadata are damaged and left out"
    notices.clear()
    for extension in ("avif", "jpg", "png", "tif", "webp"):
        path = tmp_path / f"damaged.{extension}"
        write_picture(path, Picture(RGB, exif=b"II*\0"))
        assert f"{path}: " in notices.messages[-1]
        assert notices.messages[-1].endswith("cannot hold EXIF (the EXIF is damaged); left out")


def test_exif_longer_than_a_stream_takes_is_left_out_with_a_notice(tmp_path, notices):
    path = tmp_path / "long.png"
    path.write_bytes(encode_image(RGB, exif=exif([MAKER]) + bytes(1 << 24)))
    assert read_picture(path, keep_metadata=True).exif is None
    assert notices.messages[0].endswith(" bytes is left out; up to 16777216 are kept")


def test_jpeg_with_a_resolution_of_a_wrong_type_is_read(tmp_path):
    data = b"Exif\0\0" + exif([MAKER, (282, 7, 1, b"g"), (296, 3, 1, b"\2\0")])
    file = encode_image(RGB, "JPEG")
    # Without JFIF, whose resolution Pillow would take.
    start = 4 + int.from_bytes(file[4:6], "big")
    segment = b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
    path = tmp_path / "picture.jpg"
    path.write_bytes(file[:2] + segment + file[start:])
    assert read_picture(path, keep_metadata=True).exif == data[6:]


def test_tiff_with_unusual_tags_is_read(tmp_path):
    path = tmp_path / "picture.tif"
    write_picture(path, Picture(RGB))
    file = io.BytesIO(path.read_bytes())
    written = TiffStructure(file).directory(TiffStructure(file).first)
    end = len(file.getvalue())
    odd = [(40965, 4, b"\0\0\0\1"), (EXIF_IFD, 10, b"\xff" * 8), (700, 3, b"\1\0\2\0")]
    for tag, kind, data in odd:
        entry = Entry(tag, kind, 2 if tag == 700 else 1, data, "<")
        content = Tree((*written.entries, entry)).pack("<", end)
        head = b"II*\0" + struct.pack("<I", end)
        path.write_bytes(head + file.getvalue()[8:] + content)
        np.testing.assert_array_equal(read_picture(path, keep_metadata=True).samples, RGB)


def test_exif_of_a_loaded_and_of_an_open_tiff_is_found(tmp_path):
    path = tmp_path / "picture.tif"
    write_picture(path, Picture(RGB, exif=exif([MAKER])))
    for is_loaded in (False, True):
        with Image.open(path) as image:
            if is_loaded:
                image.load()
            picture = Picture.from_image(image, keep_metadata=True)
        assert b"Maker" in picture.exif
        np.testing.assert_array_equal(picture.samples, RGB)


def test_exif_that_keeps_a_written_file_from_being_opened_is_left_out(tmp_path, notices):
    data = exif([MAKER, (282, 7, 1, b"g"), (296, 3, 1, b"\2\0")])
    path = tmp_path / "picture.jpg"
    write_picture(path, Picture(RGB, exif=data))
    with Image.open(path) as image:
        assert image.size == (11, 9)
    assert notices.messages == [f"{path}: JPEG cannot hold EXIF (index out of range); left out"]
