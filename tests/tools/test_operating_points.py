"""The table of operating points, and the command that measures it."""

import csv
import json
from importlib import resources
from itertools import pairwise

import numpy as np
import pytest
from absl import flags

from smapcomp import zoo
from smapcomp.codec.layer_settings import choose_settings
from smapcomp.codec.options import CompressOptions
from smapcomp.design import SCALES
from smapcomp.pictures.image_files import read_picture, write_picture
from smapcomp.pictures.picture import Picture
from tests.helpers.paths import DEMO_PHOTO
from tools import operating_points
from tools.operating_points import Point, filled_hull, quality_ladder, upper_hull

TABLE = json.loads(
    resources.files("smapcomp.codec").joinpath("operating_points.json").read_text("utf-8")
)


def test_the_upper_hull_ends_at_the_highest_psnr():
    points = [
        Point(0.1, 25.0, 8, 40, 0),
        Point(0.2, 26.0, 8, 60, 0),  # beaten by a mix of its neighbours
        Point(0.4, 31.0, 2, 60, 0),
        Point(0.5, 30.0, 2, 60, 10),  # beaten by the one before
        Point(1.6, 35.0, 1, 60, 0),
        Point(1.7, 55.0, 1, 60, 95),  # beyond the highest
    ]
    assert upper_hull(points[::-1]) == [points[0], points[2], points[4]]


def test_the_quality_ladder_walks_in_equal_steps_of_psnr_and_does_not_mix_scales():
    points = [
        Point(0.1, 20.0, 8, 40, 0),
        Point(0.2, 24.0, 8, 80, 0),
        Point(0.4, 28.0, 1, 30, 0),
        Point(0.8, 32.0, 1, 70, 0),
    ]
    found = quality_ladder(points, steps=13)
    assert found[0] == [8, 40, 0]
    assert found[2] == [8, 60, 0]
    assert found[4] == [8, 80, 0]
    assert found[5] == [8, 80, 0]
    assert found[7] == [1, 30, 0]
    assert found[10] == [1, 50, 0]
    assert found[12] == [1, 70, 0]


def test_gaps_between_scales_are_filled_with_what_lies_close_below_the_hull():
    hull = [Point(0.1, 20.0, 2, 40, 0), Point(0.3, 30.0, 1, 6, 0), Point(0.5, 32.0, 1, 20, 0)]
    close = Point(0.2, 24.95, 1, 2, 0)
    others = [
        Point(0.19, 24.0, 1, 1, 0),  # too far below
        Point(0.21, 25.45, 2, 50, 0),  # of the scale before
        Point(0.25, 27.45, 1, 4, 10),  # with a residual
        Point(0.25, 24.9, 1, 4, 0),  # no better than the one before
        Point(0.4, 30.95, 1, 12, 0),  # where the scale stays
    ]
    assert filled_hull([*hull, *others, close]) == [hull[0], close, *hull[1:]]


def test_the_table_was_measured_with_the_bundled_weights_on_training_pictures():
    networks = zoo.cached_networks(TABLE["variant"])
    digests = {str(scale): networks.digest(f"finenet_x{scale}").hex() for scale in SCALES}
    assert TABLE["model_digests"] == digests
    assert len(TABLE["pictures"]) >= 6
    assert not [name for name in TABLE["pictures"] if "kodim" in name]


@pytest.mark.parametrize("scale", [None, *SCALES])
def test_every_quality_has_an_operating_point_and_they_rise(scale):
    options = [CompressOptions(quality=quality, compact_scale=scale) for quality in range(101)]
    found = [choose_settings(each) for each in options]
    for a, b in pairwise(found):
        if (a.compact_scale, a.residual_coder) == (b.compact_scale, b.residual_coder):
            rises = a.compact_quality <= b.compact_quality
            assert rises or (a.residual_quality or 0) < (b.residual_quality or 0)
    if scale:
        assert {settings.compact_scale for settings in found} == {scale}


def test_the_command_measures_resumes_and_writes_a_table(tmp_path, monkeypatch):
    photo = read_picture(DEMO_PHOTO).samples
    write_picture(tmp_path / "a.png", Picture(photo[:48, :64]))
    write_picture(tmp_path / "b.png", Picture(photo[100:148, 64:128]))
    monkeypatch.setattr(operating_points, "SCALE_1_QUALITIES", (20, 80))
    monkeypatch.setattr(operating_points, "SCALE_1_RESIDUALS", ((20, 40),))
    monkeypatch.setattr(operating_points, "SMALL_QUALITIES", dict.fromkeys((2, 4, 8), (60,)))
    monkeypatch.setattr(operating_points, "COMPACT_QUALITIES", (60,))
    monkeypatch.setattr(operating_points, "RESIDUAL_QUALITIES", (40,))
    values = flags.FlagValues()
    operating_points.define_flags(values)
    values(["", "--pictures=x", "--work=y", "--speed=10", "--workers=1"])
    work, out = tmp_path / "work.csv", tmp_path / "table.json"
    pictures = [tmp_path / "a.png", tmp_path / "b.png"]
    operating_points.run(pictures[:1], work, out, values)
    before = work.read_text()
    operating_points.run(pictures, work, out, values)
    assert work.read_text().startswith(before)
    with open(work, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (2 + 1 + 3 * 2)
    table = json.loads(out.read_text())
    assert table["pictures"] == ["a.png", "b.png"]
    assert {name: len(points) for name, points in table["points"].items()} == dict.fromkeys(
        ("any", "1", "2", "4", "8"), 101
    )
    assert all(point[0] == 4 for point in table["points"]["4"])
    assert np.isfinite([float(row["psnr"]) for row in rows]).all()
