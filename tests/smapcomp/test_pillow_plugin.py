"""`Image.open` and `Image.save` give the same as the functions of the package."""

import copy
import io
import multiprocessing
import pickle
import subprocess
import sys
from operator import methodcaller

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

import smapcomp
import smapcomp.pillow
from smapcomp.errors import SmapcompError
from smapcomp.pictures.picture import Picture
from tests.helpers import icc_profiles
from tests.helpers.paths import ROOT
from tests.helpers.pictures import read_samples

PHOTO = read_samples(ROOT / "docs" / "demo" / "photo.png")[100:124, 200:240]
ALPHA = np.tile(np.arange(40, dtype=np.uint8) * 6, (24, 1))
EXIF = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
XMP = b"<x:xmpmeta/>"


def saved(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "SMAPCOMP", **options)
    return file.getvalue()


def test_pillow_knows_the_names_of_the_format():
    extensions = Image.registered_extensions()
    assert extensions[".smc"] == extensions[".smap"] == "SMAPCOMP"
    assert Image.MIME["SMAPCOMP"] == "image/x-smapcomp"


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_images_are_saved_and_opened_as_by_the_package(tmp_path, mode):
    colours = PHOTO if mode.startswith("RGB") else PHOTO[:, :, :1]
    array = np.dstack([colours, ALPHA]) if mode.endswith("A") else colours
    path = tmp_path / "picture.smc"
    Picture.from_array(array).to_image().save(path, quality=40)
    assert path.read_bytes() == smapcomp.compress(array, quality=40)
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("SMAPCOMP", mode, (40, 24))
        expected = smapcomp.decode(path.read_bytes()).to_array()
        np.testing.assert_array_equal(np.asarray(image).reshape(array.shape), expected)
        assert image.get_format_mimetype() == "image/x-smapcomp"


@pytest.mark.parametrize("mode", ["P", "1", "CMYK"])
def test_other_modes_are_converted_and_saved(mode):
    image = Image.fromarray(PHOTO).convert(mode)
    data = saved(image, quality=40)
    assert data == smapcomp.compress(Picture.from_image(image), quality=40)
    with Image.open(io.BytesIO(data)) as back:
        assert back.mode == {"P": "RGB", "1": "L", "CMYK": "RGB"}[mode]


def test_opening_loads_no_network_and_no_pixels(tmp_path):
    path = tmp_path / "picture.smc"
    path.write_bytes(smapcomp.compress(PHOTO))
    code = (
        "import sys, smapcomp.pillow\n"
        "from PIL import Image\n"
        f"image = Image.open({str(path)!r})\n"
        "print(image.size, image.mode, 'tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "(40, 24) RGB False False"


def test_damaged_files_are_unidentified_images():
    data = smapcomp.compress(PHOTO)
    for damaged in (data[:4], data[:30], data[:-1], data + b"x"):
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(damaged))


def test_loading_a_stream_that_cannot_be_decoded_raises_oserror(monkeypatch):
    with Image.open(io.BytesIO(smapcomp.compress(PHOTO))) as image:

        def other_weights(*_, **__):
            raise smapcomp.errors.ModelMismatchError("stream needs other weights")

        monkeypatch.setattr(smapcomp, "decode", other_weights, raising=False)
        with pytest.raises(OSError, match="stream needs other weights"):
            image.load()


def test_metadata_are_saved_and_opened_as_in_other_formats():
    image = Image.fromarray(PHOTO)
    icc = icc_profiles.srgb()
    data = saved(image, exif=EXIF, icc_profile=icc, xmp=XMP)
    with Image.open(io.BytesIO(data)) as back:
        assert (back.info["icc_profile"], back.info["exif"]) == (icc, EXIF)
        assert back.info["xmp"] == XMP
        copy = saved(back)
    # Pillow keeps the profile of an image, but EXIF and XMP only as arguments.
    assert smapcomp.info(copy)["metadata"] == ["icc"]
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    with Image.open(io.BytesIO(saved(image, exif=exif))) as back:
        assert back.getexif()[0x010F] == "Maker"


def test_unknown_options_are_ignored_and_bad_values_are_refused():
    image = Image.fromarray(PHOTO)
    assert saved(image, quality=20, optimize=True) == smapcomp.compress(PHOTO, quality=20)
    with pytest.raises(ValueError, match="101"):
        saved(image, quality=101)


@pytest.mark.parametrize("is_loaded", [False, True], ids=["before load", "after load"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_opened_images_can_be_pickled_and_copied(tmp_path, mode, is_loaded):
    path = tmp_path / "picture.smc"
    colours = PHOTO if mode.startswith("RGB") else PHOTO[:, :, :1]
    array = np.dstack([colours, ALPHA]) if mode.endswith("A") else colours
    Picture.from_array(array).to_image().save(path)
    with Image.open(path) as image:
        expected = np.asarray(image)
    for source in (path, io.BytesIO(path.read_bytes())):
        for duplicate in (lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy, copy.copy):
            with Image.open(source) as image:
                if is_loaded:
                    image.load()
                twin = duplicate(image)
                np.testing.assert_array_equal(np.asarray(twin), expected)
                np.testing.assert_array_equal(np.asarray(image), expected)
            assert (twin.mode, twin.size) == (mode, (40, 24))
            assert twin.convert("L").size == (40, 24)
            np.testing.assert_array_equal(np.asarray(copy.deepcopy(twin)), expected)


def test_opened_images_can_be_sent_to_other_processes(tmp_path):
    path = tmp_path / "picture.smc"
    Image.fromarray(PHOTO).save(path)
    with multiprocessing.get_context("spawn").Pool(1) as pool, Image.open(path) as image:
        # A worker that cannot unpickle the image ends, and the pool would wait for ever.
        pixels = pool.map_async(methodcaller("getpixel", (3, 5)), [image, image])
        assert pixels.get(timeout=120) == [image.getpixel((3, 5))] * 2


@pytest.mark.parametrize("is_loaded", [False, True], ids=["before load", "after load"])
def test_closed_images_raise_the_error_of_other_formats(tmp_path, is_loaded):
    for name in ("picture.png", "picture.smc"):
        Image.fromarray(PHOTO).save(tmp_path / name)
        image = Image.open(tmp_path / name)
        if is_loaded:
            image.load()
        for use in (image.load, image.copy, image.tobytes, lambda x=image: pickle.dumps(x)):
            image.close()
            with pytest.raises(ValueError, match="Operation on closed image"):
                use()


def test_images_without_pixels_are_refused_in_one_line():
    for size in ((0, 0), (0, 5), (5, 0)):
        with pytest.raises(SmapcompError, match="has no pixels"):
            saved(Image.new("RGB", size))
        with pytest.raises(SmapcompError, match="has no pixels"):
            smapcomp.compress(np.zeros((*size[::-1], 3), np.uint8))
