import logging
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smapcomp import image_io
from smapcomp.image_io import ImageFileError, read_file, read_image, write_file, write_image

RNG = np.random.default_rng(1)
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)
GREY = RNG.integers(0, 256, (5, 7, 1), np.uint8)


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
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "avif"])
def test_lossy_formats_stay_close_and_keep_chroma(tmp_path, extension):
    gradient = np.linspace(0, 255, 64)
    image = np.stack(np.broadcast_arrays(gradient, gradient[:, None], 128.0), axis=2)
    image = image.astype(np.uint8)
    path = tmp_path / f"picture.{extension}"
    write_image(path, image)
    assert np.abs(read_image(path).astype(int) - image).max() <= 6


# For each EXIF orientation, the upright picture as an operation on the stored one.
UPRIGHT = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_honoured(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "turned.png", Image.fromarray(RGB), exif=exif)
    np.testing.assert_array_equal(read_image(path), UPRIGHT[orientation](RGB))


def test_palette_picture_becomes_the_same_colours(tmp_path, notices):
    indices = RNG.integers(0, 4, (5, 7), np.uint8)
    palette = RNG.integers(0, 256, (4, 3), np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    path = save(tmp_path / "palette.png", image)
    np.testing.assert_array_equal(read_image(path), palette[indices])
    assert not notices.messages


def test_black_and_white_picture_becomes_grey(tmp_path):
    bits = RNG.integers(0, 2, (5, 7)).astype(bool)
    path = save(tmp_path / "bits.png", Image.fromarray(bits))
    np.testing.assert_array_equal(read_image(path)[:, :, 0], bits * 255)


def test_16_bit_grey_is_rounded_to_8_bit_with_a_notice(tmp_path, notices):
    wide = np.array([[0, 128, 129, 257, 32767, 32896, 65406, 65407, 65535]], np.uint16)
    path = save(tmp_path / "deep.png", Image.fromarray(wide))
    expected = [round(int(value) / 65535 * 255) for value in wide[0]]
    assert read_image(path)[0, :, 0].tolist() == expected
    assert notices.messages == [f"{path}: 16 bits a sample become 8"]


def png_16_bit(samples: np.ndarray) -> bytes:
    """A PNG file of big-endian 16-bit RGB, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def ppm_16_bit(samples: np.ndarray) -> bytes:
    height, width = samples.shape[:2]
    return b"P6\n%d %d\n65535\n" % (width, height) + samples.astype(">u2").tobytes()


@pytest.mark.parametrize("encode", [png_16_bit, ppm_16_bit])
def test_16_bit_rgb_is_reduced_to_8_bit_with_a_notice(tmp_path, notices, encode):
    path = tmp_path / "deep"
    path.write_bytes(encode(RGB.astype(np.uint16) * 257))
    np.testing.assert_array_equal(read_image(path), RGB)
    assert notices.messages == [f"{path}: 16 bits a sample become 8"]


def test_cmyk_becomes_rgb_with_a_notice(tmp_path, notices):
    ink = np.zeros((5, 7, 4), np.uint8)
    ink[:, 3:, 1] = 255  # full magenta leaves red and blue
    path = save(tmp_path / "print.tif", Image.fromarray(ink, "CMYK"))
    image = read_image(path)
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[0, 6].tolist() == [255, 0, 255]
    assert notices.messages == [f"{path}: CMYK becomes RGB, without its colour profile"]


def test_first_frame_of_several_is_taken_with_a_notice(tmp_path, notices):
    frames = [Image.fromarray(frame) for frame in (RGB, 255 - RGB)]
    path = save(tmp_path / "film.tif", frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(path), RGB)
    assert notices.messages == [f"{path}: only the first of 2 frames is taken"]


def test_opaque_alpha_is_dropped(tmp_path, notices):
    for samples in (RGB, GREY):
        opaque = np.concatenate([samples, np.full((5, 7, 1), 255, np.uint8)], axis=2)
        path = save(tmp_path / "opaque.png", Image.fromarray(opaque))
        np.testing.assert_array_equal(read_image(path), samples)
    assert not notices.messages


def transparent_pictures() -> dict[str, tuple[Image.Image, dict]]:
    alpha = np.full((5, 7, 1), 255, np.uint8)
    alpha[2, 3] = 254
    palette = Image.fromarray(np.zeros((5, 7), np.uint8))
    palette.putpalette([1, 2, 3])
    return {
        "rgba": (Image.fromarray(np.concatenate([RGB, alpha], axis=2)), {}),
        "grey": (Image.fromarray(np.concatenate([GREY, alpha], axis=2)), {}),
        "palette": (palette, {"transparency": 0}),
        "colour key": (Image.fromarray(RGB), {"transparency": tuple(map(int, RGB[0, 0]))}),
        "deep key": (Image.fromarray(np.full((5, 7), 1000, np.uint16)), {"transparency": 1000}),
    }


@pytest.mark.parametrize("kind", transparent_pictures())
def test_transparent_pixels_are_an_error(tmp_path, kind):
    image, options = transparent_pictures()[kind]
    path = save(tmp_path / "glass.png", image, **options)
    with pytest.raises(ImageFileError, match="has transparent pixels"):
        read_image(path)


def test_float_samples_are_an_error(tmp_path):
    path = save(tmp_path / "float.tif", Image.fromarray(np.ones((5, 7), np.float32)))
    with pytest.raises(ImageFileError, match="samples of kind 'F' cannot become 8 bit"):
        read_image(path)


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
            read_image(tmp_path / name)
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
                image = read_image(path)
            except ImageFileError:
                continue
            assert image.shape == (16, 16, 3), (file_format, length)


def test_limit_on_pixels_is_checked_before_decoding(tmp_path):
    path = tmp_path / "huge.ppm"
    path.write_bytes(b"P6\n40000 40000\n255\n")  # 1.6 billion pixels in 19 bytes
    with pytest.raises(ImageFileError, match="pixels"):
        read_image(path)
    path = save(tmp_path / "small.png", Image.fromarray(RGB))
    with pytest.raises(ImageFileError, match="7x5 pixels; up to 34 are allowed"):
        read_image(path, max_pixels=34)
    assert read_image(path, max_pixels=35).shape == (5, 7, 3)


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
    np.testing.assert_array_equal(read_image(path), RGB)
    assert os.listdir(tmp_path) == ["kept.png"]


def test_overwriting_a_link_replaces_what_it_points_at(tmp_path):
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


def test_failure_while_writing_leaves_nothing_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    path.write_bytes(b"old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(image_io.os, "replace", full_disk)
    with pytest.raises(ImageFileError, match="No space left on device"):
        write_file(path, b"new", overwrite=True)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["kept"]


@pytest.mark.parametrize("array", [RGB[:, :, 0], RGB.astype(np.float32), RGB[:, :, :2]])
def test_arrays_that_are_no_pictures_are_refused(tmp_path, array):
    with pytest.raises(ValueError, match="is needed"):
        write_image(tmp_path / "picture.png", array)
