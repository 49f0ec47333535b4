"""The command `evaluation.evaluate`, from flags to tables, plots and report."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from PIL import Image

from evaluation import evaluate
from evaluation.analysis.protocols import FAIR
from evaluation.measurement.points import Point, read_points
from evaluation.results import choose_anchor
from smapcomp.errors import SmapcompError
from tests.helpers.jobs import run_job
from tests.helpers.paths import ROOT


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder with three pictures of edges and noise, large enough for MS-SSIM."""
    rng = np.random.default_rng(1)
    (tmp_path / "pictures").mkdir()
    for name in "abc":
        small = rng.integers(0, 256, (12, 16, 3), np.uint8)
        image = Image.fromarray(small).resize((224, 168), Image.Resampling.BICUBIC)
        noise = rng.integers(0, 24, (168, 224, 3), np.uint8)
        Image.fromarray(np.asarray(image) // 2 + 40 + noise).save(tmp_path / f"pictures/{name}.png")
    return tmp_path


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "evaluation.evaluate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("webp-m6", ("webp-m6", None)),
        ("jxl-e7@10,0.6", ("jxl-e7", [10.0, 0.6])),
        ("smapcomp:speed=9,mode=none@20,50", ("smapcomp:mode=none,speed=9", [20.0, 50.0])),
    ],
)
def test_a_codec_flag_has_options_and_qualities(text, expected):
    assert evaluate.parse_codec(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("webp-m6@101", r"'webp-m6@101': quality '101' is not a whole number, 0\.\.100"),
        ("webp-m6@20.5", r"quality '20\.5' is not a whole number"),
        ("jxl-e7@30", r"quality '30' is not a number, 0\.05\.\.25"),
        ("jpeg2000@high", "quality 'high' is not a number"),
        ("webp@20", "codec 'webp' is unknown"),
    ],
)
def test_a_wrong_quality_is_refused_with_the_allowed_range(text, message):
    with pytest.raises(SmapcompError, match=message):
        evaluate.parse_codec(text)


def test_the_protocols_anchor_is_used_if_it_was_measured():
    def points(*names):
        return [Point(name, "", "", "a", 1, 1, 1, 1, 1.0, 30.0) for name in names]

    assert choose_anchor(points("jpeg-420", "bpg-444", "webp-m6"), FAIR, None) == "bpg-444"
    assert choose_anchor(points("jpeg-420", "webp-m6"), FAIR, None) == "webp-m6"
    assert choose_anchor(points("jpeg-420", "webp-m6"), FAIR, "jpeg-420") == "jpeg-420"
    with pytest.raises(SmapcompError, match="anchor 'bpg-444' has no points; these have: webp-m6"):
        choose_anchor(points("webp-m6"), FAIR, "bpg-444")


def test_the_pictures_of_the_report_are_spread_over_all():
    assert evaluate.evenly_spread(list("abcdefgh"), 3) == ["a", "c", "f"]
    assert evaluate.evenly_spread(list("ab"), 3) == ["a", "b"]


def test_one_command_measures_and_reports(folder, capsys):
    out = folder / "out"
    arguments = [
        f"--pictures={folder / 'pictures'}",
        f"--out={out}",
        "--codec=webp-m6@5,30,60,90",
        "--codec=jpeg-444@15,40,70,90",
        "--codec=bpg-444",
        "--rate=1.5",
        "--jobs=2",
    ]
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert "bpg-444 is not measured: program 'bpgenc' is not on PATH" in result.stderr
    points = read_points(out / "points.csv")
    assert len(points) == 2 * 4 * 3
    assert len(json.loads((out / "points.json").read_text())) == len(points)
    tables = (out / "fair.md").read_text()
    assert result.stdout.strip() == tables.strip()
    assert tables.count("Protocol fair: bits per pixel") == tables.count("**BD-rate") >= 1
    assert "3 pictures" in tables
    # JPEG needs more bits for a higher error, so its BD-rate against WebP is positive.
    (row,) = (line for line in tables.splitlines() if line.startswith("| JPEG 4:4:4 | +"))
    assert "%" in row
    assert {path.name for path in (out / "plots").glob("*.svg")} >= {
        "fair-psnr.svg",
        "fair-ms-ssim-db.svg",
        "fair-ssimulacra2.svg",
        "fair-bd-rate.svg",
    }
    page = (out / "fair.html").read_text()
    assert page.count("data:image/") >= 3 * 3  # the original and two codecs for each picture
    times = (out / "points.csv").stat().st_mtime_ns
    run_job(evaluate, *arguments)
    assert capsys.readouterr().out == result.stdout
    assert (out / "points.csv").stat().st_mtime_ns == times


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pictures=docs/demo", "--codec=gif"], "evaluate: codec 'gif' is unknown"),
        (["--pictures=docs/demo", "--protocol=best"], "should be one of <fair|paper>"),
        (["--pictures=docs/demo", "--rate=much"], "--rate=much: is not a number above 0"),
    ],
)
def test_wrong_flags_end_in_one_clear_line(arguments, message, tmp_path):
    result = run(*arguments, f"--out={tmp_path / 'out'}")
    assert result.returncode == 1
    assert message in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("folder", "message"), [("nowhere", "no such folder"), ("tests", "no pictures; looked for")]
)
def test_a_folder_without_pictures_is_named(folder, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        run_job(evaluate, f"--pictures={folder}", f"--out={tmp_path / 'out'}")
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"evaluate: --pictures={folder}: {message}")
    assert not (tmp_path / "out").exists()


def test_time_is_measured_on_several_sizes(folder, monkeypatch):
    monkeypatch.setattr("evaluation.measurement.sizes.SIZES", ((64, 32), (128, 64)))
    values = flags.FlagValues()
    evaluate.define_flags(values)
    text = evaluate.evaluate(
        [folder / "pictures/a.png"],
        FAIR,
        [("jpeg-444", [15, 40, 70, 90]), ("webp-m6", [5, 30, 60, 90])],
        folder / "out",
        anchor=None,
        rates=[],
        report_pictures=8,
        jobs=1,
        times=True,
    )
    (table,) = (part for part in text.split("**") if part.startswith("Processor time"))
    rest = text[text.index(table) :]
    assert rest.count("| JPEG 4:4:4 | 0.00 |") == 1
    assert rest.count("| JPEG 4:4:4 | 0.01 |") == 1
    assert (folder / "out/plots/time.svg").exists()
