"""`Picture`: conversion from and to arrays and Pillow images."""

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageCms

from smapcomp.errors import SmapcompError
from smapcomp.pictures.picture import Picture

RNG = np.random.default_rng(2)
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)
GREY = RNG.integers(0, 256, (5, 7, 1), np.uint8)
ALPHA = RNG.integers(0, 255, (5, 7), np.uint8)
EXIF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays_of_one_to_four_channels_survive_the_conversions(channels):
    array = RNG.integers(0, 255, (5, 7, channels), np.uint8)
    picture = Picture.from_array(array)
    assert picture.samples.shape[2] == (3 if channels > 2 else 1)
    assert (picture.alpha is not None) == (channels in (2, 4))
    np.testing.assert_array_equal(picture.to_array(), array)
    image = picture.to_image()
    assert image.mode == ("L", "LA", "RGB", "RGBA")[channels - 1]
    np.testing.assert_array_equal(np.asarray(image).reshape(array.shape), array)
    np.testing.assert_array_equal(Picture.from_image(image).to_array(), array)


def test_a_plane_is_grey():
    np.testing.assert_array_equal(Picture.from_array(GREY[:, :, 0]).samples, GREY)


def test_opaque_alpha_becomes_none():
    assert Picture(RGB, np.full((5, 7), 255, np.uint8)).alpha is None
    assert Picture.from_array(np.full((5, 7, 4), 255, np.uint8)).alpha is None
    almost = np.full((5, 7), 255, np.uint8)
    almost[4, 6] = 254
    assert Picture(RGB, almost).alpha is almost


def test_large_images_with_alpha_survive_the_conversions():
    array = RNG.integers(0, 255, (3000, 701, 4), np.uint8)
    picture = Picture.from_array(array)
    np.testing.assert_array_equal(np.asarray(picture.to_image()), array)
    np.testing.assert_array_equal(Picture.from_image(picture.to_image()).to_array(), array)


WRONG = {
    "plane": ({"samples": RGB[:, :, 0]}, r"\(5, 7\); \[H, W, 3\] or \[H, W, 1\] is needed"),
    "two channels": ({"samples": RGB[:, :, :2]}, r"\(5, 7, 2\)"),
    "16 bit": ({"samples": RGB.astype(np.uint16)}, "uint16; uint8"),
    "list": ({"samples": [[[1]]]}, "list; uint8"),
    "nothing": ({"samples": RGB[:0]}, "has no pixels"),
    "alpha of another size": ({"samples": RGB, "alpha": ALPHA[:4]}, r"alpha of shape \(4, 7\)"),
    "alpha of another type": ({"samples": RGB, "alpha": ALPHA > 3}, "alpha of type bool"),
    "text": ({"samples": RGB, "xmp": "text"}, "xmp of type str; bytes or None"),
    "EXIF": ({"samples": RGB, "exif": b"JFIF"}, "EXIF starts with 4a464946"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_fields_are_refused_in_one_line(case):
    fields, message = WRONG[case]
    with pytest.raises(SmapcompError, match=message) as caught:
        Picture(**fields)
    assert "\n" not in str(caught.value)


def test_arrays_of_other_shapes_are_refused():
    for array in (RGB[None], np.zeros((2, 2, 5), np.uint8), RGB.astype(float), RGB[:, :0]):
        with pytest.raises(SmapcompError):
            Picture.from_array(array)


def test_fields_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Picture(RGB).samples = GREY


def test_metadata_survive_the_conversion_to_pillow_with_keep_metadata():
    picture = Picture(RGB, ALPHA, SRGB, b"Exif\0\0" + EXIF, b"<x/>")
    assert picture.exif == EXIF
    image = picture.to_image()
    assert image.info == {"icc_profile": SRGB, "exif": b"Exif\0\0" + EXIF, "xmp": b"<x/>"}
    back = Picture.from_image(image, keep_metadata=True)
    assert (back.icc, back.exif, back.xmp) == (SRGB, EXIF, b"<x/>")
    back = Picture.from_image(image)
    assert (back.icc, back.exif, back.xmp) == (None, None, None)


def test_a_pillow_image_is_neither_turned_nor_changed():
    image = Image.fromarray(RGB)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info["exif"] = exif.tobytes()
    picture = Picture.from_image(image, keep_metadata=True)
    np.testing.assert_array_equal(picture.samples, RGB)
    back = Image.Exif()
    back.load(picture.exif)
    assert back[0x0112] == 6
    palette = Image.fromarray(GREY[:, :, 0] % 3)
    palette.putpalette([9, 8, 7, 6, 5, 4, 3, 2, 1])
    palette.info["transparency"] = 1
    picture = Picture.from_image(palette)
    assert palette.mode == "P"
    assert palette.info == {"transparency": 1}
    colours = np.array([[9, 8, 7, 255], [6, 5, 4, 0], [3, 2, 1, 255]])
    np.testing.assert_array_equal(picture.to_array(), colours[GREY[:, :, 0] % 3])


def test_premultiplied_alpha_is_divided_out():
    image = Image.fromarray(np.array([[[100, 50, 0, 128]]], np.uint8), "RGBa")
    picture = Picture.from_image(image)
    np.testing.assert_allclose(picture.samples[0, 0], np.array([100, 50, 0]) * 255 / 128, atol=1)
    assert picture.alpha.tolist() == [[128]]


def test_modes_without_an_8_bit_meaning_are_refused():
    for mode in ("F", "I"):
        with pytest.raises(SmapcompError, match=f"samples of kind '{mode}' cannot become 8 bit"):
            Picture.from_image(Image.new(mode, (2, 2)))
