"""Reading and writing of picture files of every format."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smapcomp.pictures import image_files
from smapcomp.pictures.image_files import (
    ALPHA_EXTENSIONS,
    OUTPUT_EXTENSIONS,
    ImageFileError,
    check_output,
    read_file,
    read_picture,
    write_file,
    write_image,
    write_picture,
)
from smapcomp.pictures.picture import Picture
from tests.helpers.image_bytes import UPRIGHT, png
from tests.helpers.pictures import read_samples

RNG = np.random.default_rng(1)
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)
GREY = RNG.integers(0, 256, (5, 7, 1), np.uint8)
WEBP = {"lossless": True, "exact": True}


@pytest.fixture
def notices(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "smapcomp")
    return caplog


def save(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("image", [RGB, GREY], ids=["rgb", "grey"])
@pytest.mark.parametrize("extension", ["png", "PNG", "tif", "tiff", "bmp", "ppm", "jp2", "webp"])
def test_lossless_formats_return_every_sample(tmp_path, image, extension):
    path = tmp_path / f"picture.{extension}"
    write_image(path, image)
    expected = image
    if extension == "webp" and image.shape[2] == 1:  # WebP knows no grey.
        expected = np.repeat(image, 3, axis=2)
    np.testing.assert_array_equal(read_samples(path), expected)


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "avif"])
def test_lossy_formats_return_nearly_the_same_samples_and_full_chroma(tmp_path, extension):
    gradient = np.linspace(0, 255, 64)
    image = np.stack(np.broadcast_arrays(gradient, gradient[:, None], 128.0), axis=2)
    image = image.astype(np.uint8)
    path = tmp_path / f"picture.{extension}"
    write_image(path, image)
    assert np.abs(read_samples(path).astype(int) - image).max() <= 6


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "turned.png", Image.fromarray(RGB), exif=exif)
    np.testing.assert_array_equal(read_samples(path), UPRIGHT[orientation](RGB))


def test_palette_picture_becomes_rgb_of_the_same_colours(tmp_path, notices):
    indices = RNG.integers(0, 4, (5, 7), np.uint8)
    palette = RNG.integers(0, 256, (4, 3), np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    path = save(tmp_path / "palette.png", image)
    np.testing.assert_array_equal(read_samples(path), palette[indices])
    assert notices.messages == [f"{path}: the palette is converted to RGB"]


def test_black_and_white_picture_becomes_grey(tmp_path):
    bits = RNG.integers(0, 2, (5, 7)).astype(bool)
    path = save(tmp_path / "bits.png", Image.fromarray(bits))
    np.testing.assert_array_equal(read_samples(path)[:, :, 0], bits * 255)


def test_cmyk_becomes_rgb_with_a_warning(tmp_path, notices):
    ink = np.zeros((5, 7, 4), np.uint8)
    ink[:, 3:, 1] = 255  # full magenta leaves red and blue
    path = save(tmp_path / "print.tif", Image.fromarray(ink, "CMYK"))
    image = read_samples(path)
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[0, 6].tolist() == [255, 0, 255]
    assert notices.messages == [f"{path}: CMYK is converted to RGB without a colour profile"]


def test_first_frame_of_several_is_read_with_a_warning(tmp_path, notices):
    frames = [Image.fromarray(frame) for frame in (RGB, 255 - RGB)]
    path = save(tmp_path / "film.tif", frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_samples(path), RGB)
    assert notices.messages == [f"{path}: only the first of 2 frames is read"]


def test_opaque_alpha_is_dropped(tmp_path, notices):
    for samples in (RGB, GREY):
        opaque = np.concatenate([samples, np.full((5, 7, 1), 255, np.uint8)], axis=2)
        path = save(tmp_path / "opaque.png", Image.fromarray(opaque))
        np.testing.assert_array_equal(read_samples(path), samples)
    assert not notices.messages


HALF = np.linspace(0, 255, 35).astype(np.uint8).reshape(5, 7)


def transparent_pictures() -> dict[str, tuple[bytes, np.ndarray]]:
    """Return files, and their samples with alpha as the last channel."""
    rgba = np.dstack([RGB, HALF])
    grey = np.dstack([GREY, HALF])
    few = np.array([[0, 1, 2, 3]], np.uint8)
    indices = RNG.integers(0, 4, (5, 7), np.uint8)
    palette = RNG.integers(0, 256, (4, 4), np.uint8)
    wide = np.dstack([RGB, HALF]).astype(np.uint16) * 257
    keyed = np.where((RGB[0, 0] == RGB).all(axis=2), 0, 255).astype(np.uint8)
    keyed_grey = np.where(GREY[:, :, 0] == GREY[0, 0, 0], 0, 255).astype(np.uint8)
    close = np.array([[[1000], [1001]]], np.uint16)
    close_rgb = np.array([[[1000, 2, 3], [1001, 2, 3]]], np.uint16)
    return {
        "rgba": (png(rgba, 8), rgba),
        "grey": (png(grey, 8), grey),
        "palette": (
            png(indices[:, :, None], 8, palette=palette[:, :3], transparency=palette[:, 3]),
            palette[indices],
        ),
        "colour key": (png(RGB, 8, transparency=RGB[0, 0]), np.dstack([RGB, keyed])),
        "grey key": (png(GREY, 8, transparency=GREY[0, 0]), np.dstack([GREY, keyed_grey])),
        "key of 2 bits": (
            png(few[:, :, None], 2, transparency=[1]),
            np.dstack([few * 85, [[255, 0, 255, 255]]]),
        ),
        "deep key": (
            png(close, 16, transparency=[1000]),
            np.array([[[4, 0], [4, 255]]]),
        ),
        "deep colour key": (
            png(close_rgb, 16, transparency=[1000, 2, 3]),
            np.array([[[4, 0, 0, 0], [4, 0, 0, 255]]]),
        ),
        "deep": (png(wide, 16), rgba),
    }


@pytest.mark.parametrize("kind", transparent_pictures())
def test_alpha_is_kept_however_the_file_stores_it(tmp_path, kind):
    data, expected = transparent_pictures()[kind]
    path = tmp_path / "glass.png"
    path.write_bytes(data)
    np.testing.assert_array_equal(read_picture(path).to_array(), expected)


@pytest.mark.parametrize("image", [RGB, GREY], ids=["rgb", "grey"])
@pytest.mark.parametrize("extension", OUTPUT_EXTENSIONS)
def test_alpha_is_written_or_refused_before_writing(tmp_path, image, extension):
    path = tmp_path / f"glass{extension}"
    picture = Picture(image, HALF)
    if extension not in ALPHA_EXTENSIONS:
        with pytest.raises(
            ImageFileError, match=r"cannot hold .*; these can: \.avif, \.jp2, \.png"
        ):
            check_output(path, overwrite=False, image=True, alpha=True)
        with pytest.raises(ImageFileError, match="transparent pixels"):
            write_picture(path, picture)
        assert not os.listdir(tmp_path)
        return
    write_picture(path, picture)
    back = read_picture(path)
    if extension == ".avif":
        assert np.abs(back.alpha.astype(int) - HALF).max() <= 6
        return
    np.testing.assert_array_equal(back.alpha, HALF)
    np.testing.assert_array_equal(np.broadcast_to(image, back.samples.shape), back.samples)


def test_alpha_is_turned_with_the_samples(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = np.dstack([RGB, HALF])
    for extension in ("png", "tif", "webp"):
        path = tmp_path / f"turned.{extension}"
        save(path, Image.fromarray(rgba), exif=exif, **{"webp": WEBP}.get(extension, {}))
        np.testing.assert_array_equal(read_picture(path).to_array(), np.rot90(rgba, -1))


def test_palette_picture_of_grey_colours_becomes_grey(tmp_path, notices):
    indices = RNG.integers(0, 3, (5, 7), np.uint8)
    palette = np.array([[9, 9, 9], [200, 200, 200], [77, 77, 77], [1, 2, 3]], np.uint8)
    path = tmp_path / "grey.png"
    path.write_bytes(png(indices[:, :, None], 8, palette=palette))
    np.testing.assert_array_equal(read_samples(path), palette[indices][:, :, :1])
    assert notices.messages == [f"{path}: the palette is converted to grey"]


def test_float_samples_are_refused(tmp_path):
    path = save(tmp_path / "float.tif", Image.fromarray(np.ones((5, 7), np.float32)))
    with pytest.raises(ImageFileError, match="samples of kind 'F' cannot become 8 bit"):
        read_samples(path)


def test_errors_of_reading_name_the_file_and_the_cause_in_one_line(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    noise = RNG.integers(0, 256, (64, 64, 3), np.uint8)
    for name in ("cut.png", "cut.jpg", "cut.tif", "cut.webp"):
        whole = save(tmp_path / name, Image.fromarray(noise)).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    causes = {
        "absent.png": "No such file or directory",
        "text.png": "not a picture of a known format",
        "empty.png": "not a picture of a known format",
        "cut.png": "truncated or damaged",
        "cut.jpg": "truncated or damaged",
        "cut.tif": "damaged|not a picture",
        "cut.webp": "damaged|not a picture",
        "": "Is a directory",
    }
    for name, cause in causes.items():
        with pytest.raises(ImageFileError, match=cause) as caught:
            read_samples(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert "\n" not in str(caught.value)


def test_any_cut_of_a_picture_is_an_error_or_the_picture(tmp_path):
    noise = Image.fromarray(RNG.integers(0, 256, (16, 16, 3), np.uint8))
    path = tmp_path / "cut"
    for file_format in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000"):
        noise.save(path, file_format)
        whole = path.read_bytes()
        for length in range(0, len(whole), 1 + len(whole) // 60):
            path.write_bytes(whole[:length])
            try:
                image = read_samples(path)
            except ImageFileError:
                continue
            assert image.shape == (16, 16, 3), (file_format, length)


def test_pixel_limit_is_checked_before_decoding(tmp_path):
    path = tmp_path / "huge.ppm"
    path.write_bytes(b"P6\n40000 40000\n255\n")  # 1.6 billion pixels in 19 bytes
    with pytest.raises(ImageFileError, match="pixels"):
        read_samples(path)
    path = save(tmp_path / "small.png", Image.fromarray(RGB))
    with pytest.raises(ImageFileError, match="7x5 pixels; up to 34 are allowed"):
        read_samples(path, max_pixels=34)
    assert read_samples(path, max_pixels=35).shape == (5, 7, 3)


def test_file_longer_than_the_limit_is_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    with pytest.raises(ImageFileError, match="longer than 4 bytes"):
        read_file(path, 4)
    with pytest.raises(ImageFileError, match="No such file"):
        read_file(tmp_path / "absent", 4)


def test_existing_file_is_kept_unless_overwrite_is_given(tmp_path):
    path = tmp_path / "kept.png"
    path.write_bytes(b"mine")
    with pytest.raises(ImageFileError, match=r"exists; --overwrite replaces it"):
        write_image(path, RGB)
    assert path.read_bytes() == b"mine"
    write_image(path, RGB, overwrite=True)
    np.testing.assert_array_equal(read_samples(path), RGB)
    assert os.listdir(tmp_path) == ["kept.png"]


def test_overwriting_a_link_replaces_its_target(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_file(link, b"new", overwrite=True)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_places_that_cannot_be_written_are_errors(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_bytes(b"")
    causes = {
        "folder.png": "is a directory",
        "absent/picture.png": "there is no directory",
        "file/picture.png": "there is no directory",
        "picture.xyz": r"unknown extension '\.xyz'; known are \.avif",
        "picture": "unknown extension ''",
        "long" * 100 + ".png": "name too long",
    }
    for name, cause in causes.items():
        with pytest.raises(ImageFileError, match=f"(?i){cause}"):
            write_image(tmp_path / name, RGB, overwrite=True)
    with pytest.raises(ImageFileError, match="not a regular file"):
        write_file("/dev/null", b"", overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


def test_a_failed_write_leaves_no_new_file_and_keeps_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    path.write_bytes(b"old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(image_files.os, "replace", full_disk)
    with pytest.raises(ImageFileError, match="No space left on device"):
        write_file(path, b"new", overwrite=True)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["kept"]


@pytest.mark.parametrize("array", [RGB.astype(np.float32), RGB[None], RGB[:0]])
def test_arrays_that_are_no_pictures_are_refused(tmp_path, array):
    with pytest.raises(ValueError, match=r"is needed|no pixels"):
        write_image(tmp_path / "picture.png", array)


def test_pillows_own_limit_on_pixels_does_not_apply(tmp_path, monkeypatch):
    path = save(tmp_path / "picture.png", Image.fromarray(RGB))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)
    np.testing.assert_array_equal(read_samples(path, max_pixels=35), RGB)
    assert Image.MAX_IMAGE_PIXELS == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_write_leaves_no_file(tmp_path, monkeypatch, error):
    def interrupted(image, file, *_, **__):
        file.write(b"half a file")
        raise error

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(error):
        write_picture(tmp_path / "picture.png", Picture(RGB))
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_large_picture_needs_memory_for_two_copies_and_the_written_file(tmp_path):
    path = tmp_path / "large"
    script = (
        "import re, sys\n"
        "from smapcomp.pictures.image_files import read_picture, write_picture\n"
        "def peak():\n"
        "    status = open('/proc/self/status').read()\n"
        "    return int(re.search(r'VmHWM:\\s*(\\d+)', status)[1]) / 1024\n"
        "read_picture(sys.argv[2])\n"
        "before = peak()\n"
        "picture = read_picture(sys.argv[1])\n"
        "print(peak() - before)\n"
        "write_picture(sys.argv[1] + '.bmp', picture)\n"
        "print(peak() - before)\n"
    )
    small = save(tmp_path / "small.jpg", Image.fromarray(RGB))
    Image.new("RGB", (6000, 4000), (9, 99, 199)).save(path, "JPEG")
    result = subprocess.run(
        [sys.executable, "-c", script, path, small], capture_output=True, text=True, check=True
    )
    copies = 6000 * 4000 * (4 + 3) / 2**20
    file = 6000 * 4000 * 3 / 2**20
    reading, writing = map(float, result.stdout.split())
    assert copies * 0.8 < reading < copies + 40
    assert writing < copies + file + 40
