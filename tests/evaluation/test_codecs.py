"""The codecs that the evaluation measures."""

import csv
import io
import itertools
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

import smapcomp
from evaluation import codecs
from smapcomp import metrics
from smapcomp.errors import MissingCoderError, SmapcompError
from tests.helpers.paths import DEMO_PHOTO, SHARED

FAST = ("jpeg-420", "jpeg-444", "webp-m6", "jpeg2000", "jxl-e7")
SLOW = ("heic-420", "heic-444", "avif-420-default-s6", "avif-444-default-s6", "avif-444-psnr-s4")
PLANES = ("jpeg-planes", "webp-planes", "jpeg2000-planes")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Return a crop of a photograph, uint8 [96, 128, 3]."""
    with Image.open(DEMO_PHOTO) as image:
        return np.asarray(image.convert("RGB"))[100:196, 60:188]


def installed(name: str) -> codecs.Codec:
    codec = codecs.find(name)
    try:
        codec.version()
    except MissingCoderError as error:
        pytest.skip(str(error))
    return codec


@pytest.mark.parametrize("name", [*FAST, *SLOW, *PLANES])
def test_bytes_and_psnr_rise_with_quality(name, photo):
    codec = installed(name)
    assert codec.name == name
    ladder = codec.qualities if name in FAST else codec.qualities[::3]
    coarse, fine = codec.quality_range
    assert all(min(coarse, fine) <= q <= max(coarse, fine) for q in ladder)
    files = [codec.encode(photo, quality) for quality in ladder]
    scores = [metrics.psnr(photo, codec.decode(file)) for file in files]
    assert sorted(map(len, files)) == list(map(len, files))
    assert sorted(scores) == scores
    assert scores[-1] > 30


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("jpeg-444", b"\xff\xd8\xff"),
        ("webp-m6", b"RIFF"),
        ("jpeg2000", b"\0\0\0\x0cjP  "),
        ("avif-444-default-s6", b"\0\0\0"),
        ("jxl-e7", b"\xff\x0a"),
        ("heic-444", b"\0\0\0"),
    ],
)
def test_encoded_data_are_whole_files_of_the_format(name, start, photo):
    file = installed(name).encode(photo, codecs.find(name).qualities[2])
    assert file.startswith(start)


def test_subsampling_is_that_of_the_name(photo):
    layers = {}
    for name in ("jpeg-420", "jpeg-444"):
        with Image.open(io.BytesIO(codecs.find(name).encode(photo, 75))) as image:
            layers[name] = [layer[1:3] for layer in image.layer]
            assert image.info["progressive"]
    assert layers["jpeg-420"] == [(2, 2), (1, 1), (1, 1)]
    assert layers["jpeg-444"] == [(1, 1), (1, 1), (1, 1)]


def test_planes_are_three_grey_files(photo):
    file = codecs.find("jpeg-planes").encode(photo, 60)
    first, second = struct.unpack_from(">II", file)
    ends = [8, 8 + first, 8 + first + second, len(file)]
    decoded = codecs.find("jpeg-planes").decode(file)
    for channel, (start, end) in enumerate(itertools.pairwise(ends)):
        with Image.open(io.BytesIO(file[start:end])) as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(decoded[..., channel], image)


@pytest.mark.parametrize("name", ["jpeg-420", "jxl-e7"])
def test_the_quality_nearest_to_a_rate_is_found(name, photo):
    codec = codecs.find(name)
    pixels = photo.shape[0] * photo.shape[1]
    if codec.integer_qualities:
        sizes = [len(codec.encode(photo, quality)) for quality in range(101)]
        for wanted in (sizes[20] + 3, sizes[70] - 2, 1, 10**9):
            data, quality = codec.encode_to_rate(photo, 8 * wanted / pixels)
            assert sizes[quality] == len(data)
            assert abs(len(data) - wanted) == min(abs(size - wanted) for size in sizes)
    else:
        wanted = len(codec.encode(photo, 3.3))
        data, quality = codec.encode_to_rate(photo, 8 * wanted / pixels)
        assert abs(len(data) - wanted) < 0.02 * wanted
        assert quality == pytest.approx(3.3, abs=0.2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jpeg", "codec 'jpeg' is unknown; allowed: smapcomp"),
        ("jpeg-420:quality=3", "has no options"),
        ("smapcomp:mode", "is not NAME=VALUE"),
        ("smapcomp:mode=none,mode=sent", "or repeated"),
        ("smapcomp:mode=best", "mode 'best' is unknown; allowed: none"),
        ("smapcomp:mod=none", "option 'mod' is unknown; allowed: lossless"),
        ("smapcomp:speed=fast", "speed 'fast' is not a whole number"),
        ("smapcomp:lossless=1", "lossless '1' is not allowed; it is true or false"),
        ("edms-design:residual=jxl", "residual 'jxl' is unknown; allowed: heic, bpg"),
        ("edms-design:mode=sent", "option 'mode' is unknown; allowed: variant"),
    ],
)
def test_a_wrong_name_is_refused_with_the_allowed_ones(text, message):
    with pytest.raises(SmapcompError, match=message):
        codecs.find(text)


def test_smapcomp_codes_as_the_library_does_with_the_same_options(photo):
    codec = codecs.find("smapcomp:speed=9,mode=none")
    assert codec.name == "smapcomp:mode=none,speed=9"
    data = codec.encode(photo, 50)
    assert data == smapcomp.compress(photo, quality=50, mode="none", speed=9)
    np.testing.assert_array_equal(codec.decode(data), smapcomp.decompress(data))
    details = codec.details(photo, data)
    parts = ("compact_bpp", "labels_bpp", "residual_bpp", "header_bpp")
    bpp = 8 * len(data) / (photo.shape[0] * photo.shape[1])
    assert sum(details[part] for part in parts) == pytest.approx(bpp)
    assert details["prediction_psnr"] == metrics.psnr(photo, smapcomp.decompress(data))


def test_smapcomp_codes_to_a_rate(photo):
    data, _ = codecs.find("smapcomp:speed=9").encode_to_rate(photo, 0.8)
    assert 0.98 * 0.8 <= 8 * len(data) / (photo.shape[0] * photo.shape[1]) <= 0.8


def test_the_file_of_the_published_design_has_all_that_decoding_needs(photo):
    codec = installed("edms-design")
    data = codec.encode(photo, 76)
    length, low, high = struct.unpack_from(">Ihh", data)
    stream, residual = data[8 : 8 + length], data[8 + length :]
    facts = smapcomp.info(stream)
    assert (facts["mode"], facts["layers"][0]["coder"]) == ("mapped", "jxl")
    assert [layer["kind"] for layer in facts["layers"]] == ["compact"]
    import pillow_heif

    stretched = np.asarray(pillow_heif.open_heif(residual))
    left = photo.astype(int) - smapcomp.decompress(stream)
    assert (left.min(), left.max()) == (low, high)
    restored = smapcomp.decompress(stream) + (low + stretched * ((high - low) / 255))
    expected = np.clip(np.round(restored), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(codec.decode(data), expected)
    assert metrics.psnr(photo, expected) > 32


def test_the_two_published_designs_differ_in_their_mode(photo):
    data = installed("dsslic-design").encode(photo, 36)
    length, _, _ = struct.unpack_from(">Ihh", data)
    assert smapcomp.info(data[8 : 8 + length])["mode"] == "sent"


@pytest.mark.parametrize(("colours", "pixel_format"), [("420", 1), ("444", 3), ("rgb", 3)])
def test_bpg_runs_the_programs(bpg_programs, photo, colours, pixel_format):
    codec = codecs.find(f"bpg-{colours}")
    assert codec.version() == "BPG Image Encoder version 0.9.8"
    data = codec.encode(photo, 10)
    assert data[4] >> 5 == pixel_format
    assert metrics.psnr(photo, codec.decode(data)) > 30


def test_bpg_without_its_programs_names_the_missing_one(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingCoderError, match="'bpgenc' is not on PATH"):
        codecs.find("bpg-444").version()


def test_grey_decodes_to_rgb():
    grey = np.tile(np.arange(0, 256, 2, dtype=np.uint8), (64, 1))
    data = imagecodecs.jpeg2k_encode(grey, level=60)
    assert codecs.find("jpeg2000").decode(data).shape == (64, 128, 3)


@pytest.mark.parametrize(
    "name", ["jpeg-420", "jpeg-444", "webp-m6", "jpeg2000", "jxl-e7", "avif-444-psnr-s4"]
)
def test_the_reference_figures_are_reproduced(name):
    anchors, picture = SHARED / "anchors" / f"{name}.csv", SHARED / "data/kodak/kodim05.png"
    if not anchors.exists() or not picture.exists():
        pytest.skip("needs anchors and data/kodak in ../shared")
    codec = codecs.find(name)
    rows = [
        row for row in csv.DictReader(anchors.read_text().splitlines()) if row["image"] == "kodim05"
    ]
    assert tuple(float(row["q"]) for row in rows) == codec.qualities
    row = rows[2]
    original = np.asarray(Image.open(picture).convert("RGB"))
    data = codec.encode(original, float(row["q"]))
    decoded = codec.decode(data)
    # The references were coded with several threads, for which AV1 uses tiles.
    assert len(data) == pytest.approx(int(row["bytes"]), rel=0.01)
    assert metrics.psnr(original, decoded) == pytest.approx(float(row["psnr_rgb"]), abs=0.01)
    assert metrics.ms_ssim(original, decoded) == pytest.approx(float(row["ms_ssim_rgb"]), abs=2e-4)
