"""The papers' visual comparisons."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from evaluation import figures
from evaluation.measurement.points import Point
from smapcomp.errors import SmapcompError
from tests.helpers.paths import ROOT


def picture(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_the_crop_is_where_the_codecs_differ_most():
    original = picture(0, 200, 240)
    one, other = original.copy(), original.copy()
    one[10:60, 20:70] //= 2  # Both have the same error here.
    other[10:60, 20:70] //= 2
    other[120:152, 160:192] //= 2  # Only one has an error here.
    assert figures.choose_crop(original, [one, other], 32) == (120, 160)


def test_the_crop_is_the_best_of_all_windows():
    original, one, other = (picture(seed, 50, 41) for seed in range(3))
    spreads = {}
    for top in range(0, 50 - 20 + 1, 8):
        for left in range(0, 41 - 20 + 1, 8):
            window = np.s_[top : top + 20, left : left + 20]
            errors = [
                np.square(original[window].astype(int) - p[window]).sum() for p in (one, other)
            ]
            spreads[top, left] = max(errors) - min(errors)
    assert figures.choose_crop(original, [one, other], 20) == max(spreads, key=spreads.get)


def test_crops_are_magnified_twice_without_smoothing():
    original = picture(1, 160, 200)
    point = Point("x", "", "", "p", 200, 160, 1, 10, 0.1234, 30.456, ms_ssim=0.98765)
    decoded = [picture(seed, 160, 200) for seed in range(2, 7)]
    sheet = figures.draw_comparison(
        "p", original, [(f"codec {i}", point, d) for i, d in enumerate(decoded)]
    )
    top, left = figures.choose_crop(original, decoded, figures.CROP)
    side = figures.CROP
    for source in (original, *decoded):
        crop = source[top : top + side, left : left + side]
        corner = crop[:4, :4].repeat(2, 0).repeat(2, 1)
        windows = np.lib.stride_tricks.sliding_window_view(sheet, corner.shape)[:, :, 0]
        ((y, x),) = np.argwhere((windows == corner).all(axis=(2, 3, 4)))
        found = sheet[y : y + 2 * side, x : x + 2 * side]
        np.testing.assert_array_equal(found[::2, ::2], crop)
        np.testing.assert_array_equal(found[1::2, 1::2], crop)
    assert figures.caption(figures.published_points()["kodim09"]) == "0.396 bpp / 33.37 dB / 0.9740"
    assert figures.caption(point) == "0.123 bpp / 30.46 dB / 0.9877"


def test_any_picture_has_a_figure_at_the_published_or_the_given_rate(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(figures, "CODECS", {"jpeg-420": "JPEG", "bpg-444": "BPG", "webp-m6": "W"})
    monkeypatch.setenv("PATH", str(tmp_path))
    y, x = np.mgrid[:160, :200]
    smooth = np.stack([x, y, 255 - x], axis=2).astype(np.uint8)
    paths = [tmp_path / "kodim09.png", tmp_path / "my photo.png"]
    for path in paths:
        Image.fromarray(smooth).save(path)
    file, other = figures.write_figures(paths, tmp_path / "out", 1, 0.6)
    assert file == tmp_path / "out" / "kodim09.png"
    assert other == tmp_path / "out" / "my photo.png"
    assert "bpg-444 is left out: program 'bpgenc' is not on PATH" in capsys.readouterr().err
    with Image.open(file) as sheet:
        assert sheet.width > 2 * figures.CROP * figures.ZOOM
    assert (tmp_path / "out/coded/webp-m6/kodim09-0.396.webp").exists()
    assert (tmp_path / "out/coded/webp-m6/my photo-0.6.webp").exists()


def test_a_picture_smaller_than_a_crop_is_refused(tmp_path):
    Image.new("RGB", (400, 143)).save(tmp_path / "flat.png")
    with pytest.raises(SmapcompError, match=r"flat\.png: 400x143 pixels; a side has at least 144"):
        figures.write_figures([tmp_path / "flat.png"], tmp_path / "out", 1)


def test_a_folder_without_pictures_is_refused_by_name_in_one_line(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    command = ["-m", "evaluation.figures", f"--pictures={tmp_path}", f"--out={tmp_path / 'out'}"]
    result = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"figures: --pictures={tmp_path}: no pictures; looked for")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
