"""Measured points, compared with an independent computation from the files."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation import codecs
from evaluation.measurement.measure import measure_at_quality, measure_at_rate, picture_metrics
from smapcomp import metrics
from smapcomp.errors import SmapcompError
from tests.helpers.paths import DEMO_PHOTO


class Recorder(codecs.Codec):
    """A codec that decodes to a picture of the test and records what it decodes."""

    name = display_name = "recorder"
    extension, settings, qualities, quality_range = ".rec", "", (1,), (0, 100)

    def __init__(self, decoded: np.ndarray) -> None:
        self.decoded = decoded
        self.seen = []

    def version(self) -> str:
        return "1"

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        return bytes(int(quality) * 100)

    def decode(self, data: bytes) -> np.ndarray:
        self.seen.append(data)
        return self.decoded


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """Return the file of a crop of 256×208 pixels, large enough for every metric."""
    path = tmp_path_factory.mktemp("pictures") / "photo.png"
    with Image.open(DEMO_PHOTO) as image:
        image.convert("RGB").crop((0, 0, 256, 208)).save(path)
    return path


@pytest.fixture(scope="module")
def photo(file) -> np.ndarray:
    """Return the samples of `file`."""
    with Image.open(file) as image:
        return np.asarray(image)


def test_bytes_and_metrics_are_those_of_the_decoded_file(file, photo):
    point = measure_at_quality(codecs.find("jpeg-420"), file, 40)
    jpeg = io.BytesIO()
    Image.fromarray(photo).save(
        jpeg, "JPEG", quality=40, subsampling="4:2:0", optimize=True, progressive=True
    )
    decoded = np.asarray(Image.open(jpeg)).astype(float)
    error = np.square(photo - decoded)
    height, width, _ = photo.shape
    assert (point.width, point.height, point.picture) == (width, height, "photo")
    assert point.bytes == len(jpeg.getvalue())
    assert point.bpp == pytest.approx(8 * len(jpeg.getvalue()) / (width * height))
    assert point.psnr == pytest.approx(10 * np.log10(255**2 / error.mean()))
    by_plane = [10 * np.log10(255**2 / error[..., c].mean()) for c in range(3)]
    assert point.psnr_planes == pytest.approx(np.mean(by_plane))
    assert point.encode_seconds >= 0
    assert point.decode_seconds >= 0


def test_peak_memory_is_that_of_coding_this_picture(file, photo):
    point = measure_at_quality(codecs.find("jpeg-420"), file, 40)
    if point.peak_memory_mib is None:
        pytest.skip("this system cannot reset the peak memory")
    hungry = Recorder(photo)
    hungry.encode = lambda samples, quality: bytes(np.ones(2**29, np.uint8)[:100])
    assert measure_at_quality(hungry, file, 1).peak_memory_mib > point.peak_memory_mib + 400
    again = measure_at_quality(codecs.find("jpeg-420"), file, 40)
    assert again.peak_memory_mib < point.peak_memory_mib + 100


def test_a_codec_that_decodes_to_another_size_is_an_error(file, photo):
    with pytest.raises(SmapcompError, match=r"recorder decodes .*photo.png to uint8 \(\d+, "):
        measure_at_quality(Recorder(photo[:-1]), file, 1)


def test_the_files_of_a_measurement_at_a_rate_are_kept(file, photo, tmp_path):
    codec = codecs.find("webp-m6")
    point = measure_at_rate(codec, file, 0.6, tmp_path / "new" / "photo-0.6")
    coded, decoded = tmp_path / "new/photo-0.6.webp", tmp_path / "new/photo-0.6.png"
    assert point.bytes == coded.stat().st_size
    np.testing.assert_array_equal(Image.open(coded).convert("RGB"), Image.open(decoded))
    assert metrics.psnr(photo, np.asarray(Image.open(decoded))) == point.psnr
    assert point.settings == "method=6 target_bpp=0.6"
    assert point.bpp == pytest.approx(0.6, rel=0.05)
    assert point.encode_seconds is None


def test_grey_pictures_are_measured_as_rgb(tmp_path, photo):
    Image.fromarray(photo[..., 1]).save(tmp_path / "grey.png")
    point = measure_at_quality(codecs.find("jpeg-444"), tmp_path / "grey.png", 80)
    assert point.psnr == pytest.approx(point.psnr_planes, abs=1e-9)


def test_ssimulacra2_is_100_for_equal_pictures_and_falls_with_quality(file, photo):
    assert picture_metrics(photo, photo)["ssimulacra2"] == pytest.approx(100)
    scores = [
        measure_at_quality(codecs.find("jpeg-444"), file, quality).ssimulacra2
        for quality in (97, 60, 10)
    ]
    # Its authors' scale: 90 is visually lossless, 70 is high and 50 is medium quality.
    assert scores[0] > 85 > scores[1] > 50 > scores[2]


def test_small_pictures_have_no_ms_ssim_and_tiny_ones_no_ssimulacra2(photo):
    found = picture_metrics(photo[:100, :100], photo[:100, :100])
    assert found["ms_ssim"] is None
    assert found["ssimulacra2"] == pytest.approx(100)
    assert picture_metrics(photo[:7, :7], photo[:7, :7])["ssimulacra2"] is None
