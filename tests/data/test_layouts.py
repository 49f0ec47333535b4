"""Folders inside and above a data set: the error names the folder that was meant."""

import os

import numpy as np
import pytest

import data
from data import browse, prepare
from tests.helpers.jobs import run_job
from tests.helpers.pictures import encode_image, write_labelled_pictures


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "downloads/ADEChallengeData2016"
    write_labelled_pictures(root, count=2)
    write_labelled_pictures(root, "validation", count=2)
    return root


def _error(folder, split, **options):
    with pytest.raises(data.DataError) as caught:
        data.load(str(folder), split, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_folders_below_images_and_annotations_are_recognised(root):
    inside = "lies inside a data set; the source is"
    images, training = root / "images", root / "images/training"
    for split in (None, "training"):
        assert _error(images, split) == f"{images}: {inside} {root}"
    expected = f"{training}: {inside} {root} with the split 'training'"
    assert _error(training, "training") == expected
    assert _error(training, None, labels=True) == expected
    labels = root / "annotations/validation"
    expected = f"{labels}: {inside} {root} with the split 'validation'"
    assert _error(labels, None) == expected
    assert _error(labels, None, labels=False) == expected


def test_relative_folders_are_named_as_relative_ones(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    assert _error("ADEChallengeData2016/images/", None).endswith("source is ADEChallengeData2016")
    monkeypatch.chdir(root / "images")
    assert _error(".", None).endswith("the source is ..")


def test_pictures_of_a_split_may_be_read_without_labels_but_not_silently(root, caplog):
    folder = root / "images/training"
    assert len(list(data.load(str(folder), None))) == 2
    (notice,) = [r.getMessage() for r in caplog.records if "without labels" in r.getMessage()]
    expected = f"{folder}: is read as pictures without labels; "
    assert notice == f"{expected}{root} with the split 'training' has labels"
    caplog.clear()
    assert len(list(data.load(str(folder), None, labels=False))) == 2
    assert not [r for r in caplog.records if "without labels" in r.getMessage()]


def test_folder_above_a_data_set_is_recognised(root, tmp_path):
    for above in (root.parent, tmp_path):
        expected = f"{above}: is no data set, but holds one; the source is {root}"
        assert _error(above, "training") == expected
        assert _error(above, None) == expected


def test_folders_of_pictures_that_only_look_alike_are_read(tmp_path):
    folder = tmp_path / "annotations/images"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(encode_image(np.zeros((16, 16, 3), np.uint8)))
    (example,) = data.load(str(folder), None)
    assert example["name"] == b"a"


def test_unreadable_folders_beside_a_data_set_do_no_harm(root, tmp_path):
    locked = tmp_path / "aaa"
    locked.mkdir()
    os.chmod(locked, 0)
    try:
        assert _error(tmp_path, None).endswith(f"the source is {root}")
    finally:
        os.chmod(locked, 0o700)


@pytest.mark.parametrize("job", [browse, prepare])
def test_jobs_end_in_one_line_that_names_the_right_folder(root, tmp_path, capsys, job):
    with pytest.raises(SystemExit) as caught:
        run_job(job, f"--source={root}/images", f"--out={tmp_path / 'out.png'}")
    assert caught.value.code == 1
    name = job.__name__.split(".")[-1]
    expected = f"{name}: {root}/images: lies inside a data set; the source is {root}\n"
    assert capsys.readouterr().err == expected
