"""Measured points and their files."""

import json
import math

import pytest

from evaluation.measurement.points import Point, ms_ssim_db, read_points, write_points
from smapcomp.errors import SmapcompError

POINT = Point("jpeg-420", "libjpeg 3", "a,b", "kodim01", 768, 512, 40, 49152, 1.0, 30.25)


def test_rates_are_those_of_the_file_per_pixel_and_per_sample():
    assert 8 * POINT.bytes / (768 * 512) == POINT.bpp
    assert POINT.bits_per_sample == pytest.approx(8 * POINT.bytes / (768 * 512 * 3))


def test_ms_ssim_gains_10_db_for_each_further_nine():
    assert ms_ssim_db(0.9) == pytest.approx(10)
    assert ms_ssim_db(0.999) == pytest.approx(30)
    assert ms_ssim_db(1.0) == math.inf


@pytest.mark.parametrize("name", ["points.csv", "points.json"])
def test_points_are_read_as_written(tmp_path, name):
    exact = Point("x", "", "", 'odd "name", yes', 1, 1, None, None, 0.5, math.inf, ms_ssim=1.0)
    write_points(tmp_path / name, [POINT, exact])
    if name.endswith(".csv"):
        assert read_points(tmp_path / name) == [POINT, exact]
    else:
        first, second = json.loads((tmp_path / name).read_text())
        assert first["bytes"] == 49152
        assert first["ssimulacra2"] is None
        assert second["picture"] == 'odd "name", yes'
        assert second["psnr"] is None  # JSON has no infinity.


def test_a_file_of_other_content_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SmapcompError, match="other columns"):
        read_points(tmp_path / "other.csv")
    write_points(tmp_path / "points.csv", [POINT])
    text = (tmp_path / "points.csv").read_text().replace("30.25", "thirty")
    (tmp_path / "points.csv").write_text(text)
    with pytest.raises(SmapcompError, match=r"line 2 cannot be read.*thirty"):
        read_points(tmp_path / "points.csv")
