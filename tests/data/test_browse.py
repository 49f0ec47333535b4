"""The contact sheet: what it shows, pixel by pixel, and the errors of its job."""

import numpy as np
import pytest
from PIL import Image

from data import browse
from data.preparation import shards
from data.sources import manifest
from data.sources.registry import open_source
from smapcomp.ade20k import PALETTE
from tests.helpers.jobs import run_job
from tests.helpers.pictures import write_labelled_pictures


def _run(*arguments):
    run_job(browse, *arguments)


def _has_colour(sheet, label):
    return (sheet == PALETTE[label]).all(-1).any()


def _example(name, label):
    image = np.full((40, 60, 3), 200, np.uint8)
    label_map = np.zeros((40, 60), np.uint8)
    label_map[:20] = label
    return {"image": image, "label_map": label_map, "name": name}


MIXED = (200 + PALETTE[13].astype(int) + 1) // 2
"""Colour of label 13 over a grey of 200."""


def test_overlay_is_the_mean_of_picture_and_label_colours_and_leaves_void_unchanged():
    example = _example(b"a", 13)
    mixed = browse.overlay(example["image"], example["label_map"])
    np.testing.assert_array_equal(mixed[:20], np.broadcast_to(MIXED, (20, 60, 3)))
    np.testing.assert_array_equal(mixed[20:], 200)


def test_sheet_shows_pictures_overlays_and_bars_as_long_as_a_class_has_pixels():
    pixels = np.zeros(151, int)
    pixels[[5, 60, 7]] = 300, 100, 50
    histogram = browse.Histogram(pixels, (pixels > 0).astype(int), 1)
    sheet = browse.contact_sheet([_example(b"a", 13)], "title", histogram, 1)
    picture = sheet[2 * browse.LINE + browse.LINE :][:40, browse.GAP :][:, :60]
    np.testing.assert_array_equal(picture, 200)
    overlay = sheet[3 * browse.LINE :][:20, browse.GAP + browse.CELL :][:, :60]
    np.testing.assert_array_equal(overlay, np.broadcast_to(MIXED, (20, 60, 3)))
    for label in (13, 0, 5, 60, 7):
        assert _has_colour(sheet, label)
    lengths = [np.count_nonzero((sheet == PALETTE[n]).all(-1)) for n in (5, 60, 7)]
    assert lengths[0] > 2 * lengths[1] > 2 * lengths[2]
    without = browse.contact_sheet([_example(b"a", 13)], "title", None, 1)
    assert not _has_colour(without, 60)


def test_histogram_of_a_folder_counts_more_pictures_than_the_sheet_shows(tmp_path, capsys):
    write_labelled_pictures(tmp_path / "ade", count=6, label_top=6)
    out = tmp_path / "sheet.png"
    arguments = (f"--source={tmp_path / 'ade'}", "--split=training", f"--out={out}")
    _run(*arguments, "--count=2")
    assert capsys.readouterr().out == f"{out}\n"
    first = np.asarray(Image.open(out))
    with pytest.raises(SystemExit) as caught:
        _run(*arguments)
    assert caught.value.code == 1
    assert capsys.readouterr().err == f"browse: {out}: exists; --overwrite replaces it\n"
    _run(*arguments, "--count=2", "--histogram=0", "--overwrite")
    assert not np.array_equal(
        first, np.asarray(Image.open(out))
    )  # labels of two pictures instead of six
    _run(*arguments, "--count=2", "--seed=4", "--overwrite")
    assert not np.array_equal(first, np.asarray(Image.open(out)))
    _run(f"--source={tmp_path / 'ade/images/training'}", f"--out={out}", "--overwrite")


def test_histogram_of_records_comes_from_their_manifest(tmp_path):
    write_labelled_pictures(tmp_path / "ade", count=4, label_top=6)
    source = open_source(str(tmp_path / "ade"), "training")
    settings = shards.RecordSettings(None, "raw", "annotations")
    folder = tmp_path / "records"
    folder.mkdir()
    (task,) = shards.plan_shards(str(folder), "training", 4, 10)
    result = shards.write_shard(task, source, settings)
    made = shards.build_manifest("ade", "training", settings, source, [result])
    (folder / manifest.FILE).write_text(made.dumps())
    sheets = []
    for name, spec in (("a", folder), ("b", tmp_path / "ade")):
        _run(f"--source={spec}", "--split=training", f"--out={tmp_path / name}.png", "--count=1")
        sheets.append(np.asarray(Image.open(tmp_path / f"{name}.png")))
    # The title names the source, so only what is below it is equal.
    np.testing.assert_array_equal(sheets[0][2 * browse.LINE :], sheets[1][2 * browse.LINE :])


def test_missing_source_ends_in_one_line_that_names_it(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        _run("--source=nowhere", f"--out={tmp_path / 'x.png'}")
    assert caught.value.code == 1
    assert capsys.readouterr().err == "browse: nowhere: no such folder\n"
    assert list(tmp_path.iterdir()) == []
