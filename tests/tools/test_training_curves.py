"""Curves out of event files: what is drawn is what was written."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from absl import app

from smapcomp.training.tf_trainer.summaries import Summaries
from tests.helpers.jobs import run_job
from tools import training_curves as curves


@pytest.fixture
def workdir(tmp_path):
    """A run that was continued: step 20 was logged twice."""
    for first, steps in ((0.0, (10, 20)), (5.0, (20, 30))):
        summaries = Summaries(str(tmp_path / "run/tensorboard"))
        for step in steps:
            summaries.scalars(step, {"train/psnr": first + step, "train/rate": 1.0})
        summaries.close()
    return tmp_path / "run"


def test_a_curve_has_the_later_value_of_a_step_that_was_run_twice(workdir):
    points = curves.read_curves(str(workdir), ["train/psnr"])["train/psnr"]
    assert points == [(10, 10.0), (20, 25.0), (30, 35.0)]


def test_a_picture_has_a_line_through_the_points_and_the_ends_of_the_axes(
    workdir, tmp_path, capsys
):
    out = tmp_path / "curves.svg"
    run_job(curves, f"--panel=a < b|{workdir}|train/psnr,train/rate", f"--out={out}")
    assert capsys.readouterr().out == f"{out}\n"
    root = ElementTree.fromstring(out.read_text())
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert texts == ["a < b", "35", "1", "10", "30 steps", "train/psnr", "train/rate"]
    psnr, rate = (e.get("points") for e in root.iter() if e.tag.endswith("polyline"))
    places = [tuple(map(float, pair.split(","))) for pair in psnr.split()]
    left, right = curves.LEFT, curves.WIDTH - curves.RIGHT
    top, bottom = curves.TOP, curves.HEIGHT - curves.BOTTOM
    height = {value: bottom - (value - 1) / 34 * (bottom - top) for value in (10, 25, 35)}
    expected = [(left, height[10]), ((left + right) / 2, height[25]), (right, height[35])]
    for place, wanted in zip(places, expected, strict=True):
        assert place == pytest.approx(wanted, abs=0.06)
    assert set(re.findall(r",([\d.]+)", rate)) == {f"{bottom:.1f}"}


def test_runs_and_curves_that_are_not_there_are_named(workdir, tmp_path, capsys):
    out = f"--out={tmp_path / 'curves.svg'}"
    for panel, message in (
        (f"a|{tmp_path}|train/psnr", f"{tmp_path}/tensorboard: has no event files"),
        (f"a|{workdir}|train/x", "no curve 'train/x'; there are train/psnr, train/rate"),
    ):
        with pytest.raises(SystemExit) as caught:
            run_job(curves, f"--panel={panel}", out)
        assert caught.value.code == 1
        assert message in capsys.readouterr().err
    for panel in ("a|b", "a||c", "a|b|1,2,3,4,5"):
        with pytest.raises(app.UsageError, match="--panel="):
            run_job(curves, f"--panel={panel}", out)
    assert not (tmp_path / "curves.svg").exists()
