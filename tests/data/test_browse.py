"""The contact sheet: what is on it, pixel by pixel, and what a user is told when there is none."""

import numpy as np
import pytest
from PIL import Image

from data import browse
from data.preparation import shards
from data.sources import manifest
from data.sources.registry import open_source
from smapcomp.ade20k import PALETTE
from tests.helpers.jobs import run_job
from tests.helpers.pictures import write_pairs


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


def test_labels_lie_half_over_the_picture_and_void_leaves_it_as_it_is():
    example = _example(b"a", 13)
    mixed = browse.overlay(example["image"], example["label_map"])
    np.testing.assert_array_equal(mixed[:20], np.broadcast_to(MIXED, (20, 60, 3)))
    np.testing.assert_array_equal(mixed[20:], 200)


def test_a_sheet_shows_picture_overlay_names_and_bars_by_the_number_of_pixels():
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


def test_a_source_becomes_a_sheet_whose_histogram_is_of_all_its_pictures(tmp_path, capsys):
    write_pairs(tmp_path / "ade", count=6, label_top=6)
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
    assert not np.array_equal(first, np.asarray(Image.open(out)))  # labels of two, not of six
    _run(*arguments, "--count=2", "--seed=4", "--overwrite")
    assert not np.array_equal(first, np.asarray(Image.open(out)))
    _run(f"--source={tmp_path / 'ade/images/training'}", f"--out={out}", "--overwrite")


def test_records_have_the_histogram_of_their_manifest(tmp_path):
    write_pairs(tmp_path / "ade", count=4, label_top=6)
    source = open_source(str(tmp_path / "ade"), "training")
    settings = shards.Settings(None, "raw", "annotations")
    folder = tmp_path / "records"
    folder.mkdir()
    (task,) = shards.plan(str(folder), "training", 4, 10)
    result = shards.write_shard(task, source, settings)
    made = shards.manifest_of("ade", "training", settings, source, [result])
    (folder / manifest.FILE).write_text(made.dumps())
    sheets = []
    for name, spec in (("a", folder), ("b", tmp_path / "ade")):
        _run(f"--source={spec}", "--split=training", f"--out={tmp_path / name}.png", "--count=1")
        sheets.append(np.asarray(Image.open(tmp_path / f"{name}.png")))
    # Below the title, which names the source.
    np.testing.assert_array_equal(sheets[0][2 * browse.LINE :], sheets[1][2 * browse.LINE :])


def test_sources_that_are_not_there_are_named(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        _run("--source=nowhere", f"--out={tmp_path / 'x.png'}")
    assert caught.value.code == 1
    assert capsys.readouterr().err == "browse: nowhere: no such folder\n"
    assert list(tmp_path.iterdir()) == []
