"""Measurement in parallel processes that continues where it stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation import codecs
from evaluation.measurement import harness
from evaluation.measurement.environment import (
    current_environment,
    environment_key,
    read_environments,
)
from evaluation.measurement.measure import measure_at_quality
from evaluation.measurement.points import read_points, write_points
from smapcomp.errors import SmapcompError
from tests.helpers.paths import ROOT


@pytest.fixture
def pictures(tmp_path) -> list[Path]:
    rng = np.random.default_rng(5)
    paths = []
    for name in ("a", "b"):
        small = rng.integers(0, 256, (6, 8, 3), np.uint8)
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(small).resize((64, 48), Image.Resampling.BICUBIC).save(paths[-1])
    return paths


def counted(monkeypatch) -> list:
    """Return the list of tasks that the harness hands to its processes."""
    tasks = []
    inner = harness._measure_tasks

    def measured(name, missing, jobs):
        tasks.extend(missing)
        return inner(name, missing, jobs)

    monkeypatch.setattr(harness, "_measure_tasks", measured)
    return tasks


def test_points_of_all_codecs_pictures_and_qualities_are_in_order(pictures, tmp_path):
    out, before = tmp_path / "out", dict(os.environ)
    wanted = [("jpeg-444", [30, 60]), ("webp-m6", [50])]
    points = harness.measure_qualities(wanted, pictures, out, jobs=2)
    assert [(p.codec, p.picture, p.quality) for p in points] == [
        ("jpeg-444", "a", 30),
        ("jpeg-444", "b", 30),
        ("jpeg-444", "a", 60),
        ("jpeg-444", "b", 60),
        ("webp-m6", "a", 50),
        ("webp-m6", "b", 50),
    ]
    alone = measure_at_quality(codecs.find("jpeg-444"), pictures[1], 60)
    assert (points[3].bytes, points[3].psnr) == (alone.bytes, alone.psnr)
    assert {p.environment for p in points} == {environment_key(current_environment())}
    # Settings of the measuring processes are not inherited by later processes.
    assert os.environ == before
    assert read_environments(out / "environments.json") == {
        environment_key(current_environment()): current_environment()
    }
    assert len(read_points(out / "points.csv")) == len(points)


def test_kept_points_are_not_measured_again(pictures, tmp_path, monkeypatch):
    out = tmp_path / "out"
    tasks = counted(monkeypatch)
    first = harness.measure_qualities([("jpeg-444", [30])], pictures[:1], out, jobs=1)
    again = harness.measure_qualities([("jpeg-444", [30, 70])], pictures, out, jobs=1)
    assert [(t.picture.stem, t.quality) for t in tasks] == [
        ("a", 30),
        ("b", 30),
        ("a", 70),
        ("b", 70),
    ]
    assert again[0].bytes == first[0].bytes


def test_another_version_of_the_codec_is_measured_again(pictures, tmp_path, monkeypatch):
    out = tmp_path / "out"
    harness.measure_qualities([("jpeg-444", [30])], pictures[:1], out, jobs=1)
    text = (out / "points.csv").read_text()
    (out / "points.csv").write_text(text.replace("libjpeg_turbo ", "libjpeg_turbo 0."))
    tasks = counted(monkeypatch)
    harness.measure_qualities([("jpeg-444", [30])], pictures[:1], out, jobs=1)
    assert len(tasks) == 1


def test_an_error_keeps_earlier_points_and_names_the_picture(pictures, tmp_path):
    out = tmp_path / "out"
    pictures[1].write_bytes(b"no picture")
    with pytest.raises(SmapcompError, match=r"jpeg-444, .*b\.png, quality 30: "):
        harness.measure_qualities([("jpeg-444", [30])], pictures, out, jobs=1)
    assert [p.picture for p in read_points(out / "points.csv")] == ["a"]


def test_two_pictures_of_one_name_are_refused_before_any_work(pictures, tmp_path):
    other = tmp_path / "a.webp"
    other.write_bytes(pictures[0].read_bytes())
    with pytest.raises(SmapcompError, match=r"several pictures have one name: a$"):
        harness.measure_qualities(
            [("jpeg-444", [30])], [*pictures, other], tmp_path / "out", jobs=1
        )
    assert not (tmp_path / "out").exists()


def test_a_codec_that_is_not_installed_is_refused_before_any_work(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SmapcompError, match="'bpgenc' is not on PATH"):
        harness.measure_qualities(
            [("jpeg-444", [30]), ("bpg-444", None)], pictures, tmp_path / "out", jobs=1
        )
    assert not (tmp_path / "out").exists()


def test_decoded_pictures_at_rates_are_kept_and_reused(pictures, tmp_path, monkeypatch):
    out = tmp_path / "out"
    tasks = counted(monkeypatch)
    targets = {pictures[0]: (2.0, 3.0), pictures[1]: (2.5,)}
    found = harness.measure_rates(["jpeg-444"], targets, out, jobs=1)
    assert set(found) == {("jpeg-444", "a", 2.0), ("jpeg-444", "a", 3.0), ("jpeg-444", "b", 2.5)}
    point, decoded = found["jpeg-444", "a", 3.0]
    assert point.bytes == decoded.with_suffix(".jpg").stat().st_size
    assert point.bpp == pytest.approx(3.0, rel=0.05)
    assert len(tasks) == 3
    decoded.unlink()  # The points alone do not suffice.
    harness.measure_rates(["jpeg-444"], targets, out, jobs=1)
    assert len(tasks) == 4
    assert decoded.exists()
    assert len(read_points(out / "matched.csv")) == 3


def test_a_file_with_other_columns_is_not_overwritten(pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "points.csv").write_text("mine\n1\n")
    with pytest.raises(SmapcompError, match="other columns"):
        harness.measure_qualities([("jpeg-444", [30])], pictures, out, jobs=1)
    assert (out / "points.csv").read_text() == "mine\n1\n"


def test_points_of_other_codecs_are_kept_in_the_file(pictures, tmp_path):
    out = tmp_path / "out"
    jpeg = harness.measure_qualities([("jpeg-444", [30])], pictures, out, jobs=1)
    write_points(out / "points.csv", jpeg)
    harness.measure_qualities([("webp-m6", [30])], pictures[:1], out, jobs=1)
    assert [p.codec for p in read_points(out / "points.csv")] == ["jpeg-444"] * 2 + ["webp-m6"]


@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_stopped_job_keeps_its_points_and_leaves_no_process(pictures, tmp_path, how, status):
    out = tmp_path / "out"
    for number in range(40):
        (tmp_path / f"more{number}.png").write_bytes(pictures[0].read_bytes())
    arguments = [f"--pictures={tmp_path}", f"--out={out}", "--codec=avif-444-psnr-s4", "--jobs=2"]
    command = [sys.executable, "-m", "evaluation.evaluate", *arguments]
    with open(tmp_path / "log", "w+") as log:
        # In a session of its own, remaining processes are those that the job started.
        process = subprocess.Popen(command, cwd=ROOT, stderr=log, start_new_session=True)
        while not (out / "points.csv").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(how)
        assert process.wait(120) == status
        log.seek(0)
        error = log.read()
    assert "Traceback" not in error
    assert ("interrupted; the same command continues" in error) == (how == signal.SIGINT)
    assert read_points(out / "points.csv")
    for _ in range(1200):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("processes remain")
