"""The full ADE20K distribution: a synthetic copy in its published format, read in every way."""

import json

import numpy as np
import pytest
from PIL import Image

import data
from data import browse, prepare
from data.picture_folder import picture_files
from data.sources.full_ade20k_names import LABELS_OF_FULL_NAMES
from smapcomp.ade20k import CLASS_NAMES
from tests.helpers.full_ade20k import (
    CAR,
    CLOSET,
    DOUBLE_DOOR,
    HOUSING,
    LABELS,
    WALL,
    WINDOW,
    entry,
    index_map,
    write_full_ade20k,
    write_json,
)
from tests.helpers.jobs import run_job
from tests.helpers.pictures import encode_image


@pytest.fixture
def root(tmp_path):
    """The distribution with three pictures for training and one for validation."""
    root = tmp_path / "data/ADE20K_2021_17_01"
    write_full_ade20k(root)
    return root


def _read(root, split="training", **options):
    with data.clear_errors():
        return list(data.load(str(root), split, **options).as_numpy_iterator())


def _error(root, split="training", **options):
    with pytest.raises(data.DataError) as caught:
        _read(root, split, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _expected(indices, height=24, width=40):
    return np.vectorize(LABELS.get)(index_map(indices, height, width)).astype(np.uint8)


def test_pictures_of_all_scenes_are_read_with_the_labels_of_the_same_names(root):
    examples = _read(root)
    assert [e["name"] for e in examples] == [b"ADE_train_0000000%d" % n for n in (1, 2, 3)]
    maps = [[DOUBLE_DOOR, WALL], [WALL, CAR, HOUSING], [0, CLOSET, WINDOW]]
    for example, indices, height in zip(examples, maps, (24, 32, 24), strict=True):
        expected = _expected(indices, height)
        np.testing.assert_array_equal(example["label_map"], expected, strict=True)
    with Image.open(root / "images/ADE/training/urban/street/ADE_train_00000002.jpg") as jpeg:
        np.testing.assert_array_equal(examples[1]["image"], np.asarray(jpeg))
    (validation,) = _read(root, "validation")
    np.testing.assert_array_equal(validation["label_map"], np.full((24, 40), 21))


def test_splits_and_files_beside_the_pictures_are_known(root):
    assert list(data.source_splits(str(root))) == ["training", "validation"]
    assert "split 'test' is unknown; allowed: training, validation" in _error(root, "test")
    assert "no split is chosen" in _error(root, None)
    stray = root / "images/ADE/training/urban/street/ADE_train_9_seg.png"
    stray.write_bytes(b"")
    source = data.open_source(str(root), "training")
    assert source.ignored == ((str(stray), "not read: no picture of its name"),)


def test_labels_are_not_opened_without_need(root):
    for pattern in ("*_seg.png", "*.json"):
        for path in root.rglob(pattern):
            path.unlink()
    assert [sorted(e) for e in _read(root, labels=False)] == [["image", "name"]] * 3
    assert "_seg.png: missing annotation (6 of 6 files of" in _error(root)


def test_notice_says_how_many_classes_became_void(root, caplog):
    _read(root)
    last = caplog.records[-1].getMessage()
    assert last.startswith(f"{root}: 2 classes that the pictures read so far name are none of the")
    assert last.endswith(("'window'", "'housing'"))
    caplog.clear()
    _read(root, "validation")
    assert not caplog.records


def test_every_class_has_a_name_in_the_full_list():
    assert sorted(set(LABELS_OF_FULL_NAMES.values())) == list(range(1, 151))
    assert len(LABELS_OF_FULL_NAMES) == 153  # as many entries as the published mapping has
    first = {n.split(",")[0]: label for n, label in reversed(LABELS_OF_FULL_NAMES.items())}
    others = {45: "chest of drawers", 90: "television receiver", 142: "screen", 64: "blind"}
    for label, name in enumerate(CLASS_NAMES[1:], start=1):
        if label not in others:
            assert first[name] == label or name == "screen", name
    assert LABELS_OF_FULL_NAMES["screen, crt screen"] == CLASS_NAMES.index("crt screen")
    assert LABELS_OF_FULL_NAMES["screen, silver screen, projection screen"] == 131


def test_single_objects_and_old_encodings_of_the_json_files_are_read(root):
    stem = root / "images/ADE/training/urban/street/ADE_train_00000002"
    write_json(stem, entry(0, WALL))  # as MATLAB writes a list of one element
    np.testing.assert_array_equal(
        _read(root)[1]["label_map"], np.where(_expected([WALL, CAR, HOUSING], 32) == 1, 1, 0)
    )
    path = stem.with_name(f"{stem.name}.json")
    path.write_bytes(path.read_bytes().replace(b'"raw_name": "wall"', b'"raw_name": "caf\xe9"'))
    assert _read(root)[1]["label_map"].max() == 1
    write_json(stem, [])
    assert not _read(root)[1]["label_map"].any()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is no annotation of ADE20K (JSONDecodeError: "),
        ("[1]", "is no annotation of ADE20K (TypeError: "),
        ('{"annotation": {}}', "is no annotation of ADE20K (KeyError: 'object')"),
        ('{"annotation": {"object": 3}}', "is no annotation of ADE20K (TypeError: "),
        ('{"annotation": {"object": ["x"]}}', "is no annotation of ADE20K (TypeError: "),
        (
            '{"annotation": {"object": [{"name": "x", "name_ndx": 9999}]}}',
            "has class index 9999, allowed are 0..6655",
        ),
        (
            '{"annotation": {"object": [{"name": "x", "name_ndx": 3}, {"name": "y", "name_ndx": 3}]'
            "}}",
            "names class index 3 both 'x' and 'y'",
        ),
        (
            '{"annotation": {"object": [{"name": "x", "name_ndx": Infinity}]}}',
            "is no annotation of ADE20K (OverflowError: ",
        ),
        ("[" * 100_000, "is no annotation of ADE20K (RecursionError: "),
    ],
)
def test_broken_json_files_are_refused_by_name(root, content, reason):
    path = root / "images/ADE/training/urban/street/ADE_train_00000002.json"
    path.write_text(content)
    assert _error(root).startswith(f"{path}: {reason}")


def test_broken_segmentations_are_refused_by_name(root):
    path = root / "images/ADE/training/urban/street/ADE_train_00000002_seg.png"
    path.write_bytes(encode_image(np.zeros((32, 40), np.uint8)))
    assert _error(root) == f"{path}: labels must be an 8-bit RGB PNG, got mode L"
    path.write_bytes(encode_image(np.zeros((31, 40, 3), np.uint8)))
    assert _error(root) == f"{path}: labels are 40x31, the picture is 40x32"
    path.write_bytes(b"")
    assert _error(root).startswith(f"{path}: cannot be read as a picture")


@pytest.mark.parametrize("encoding", ["raw", "file"])
def test_prepared_records_have_the_same_examples_and_the_notices(root, tmp_path, encoding, capsys):
    out = tmp_path / "records"
    run_job(prepare, f"--source={root}", f"--out={out}", f"--encoding={encoding}", "--workers=2")
    for split in ("training", "validation"):
        for one, other in zip(_read(out, split), _read(root, split), strict=True):
            for key in other:
                np.testing.assert_array_equal(one[key], other[key])
    notices = json.loads((out / "training/manifest.json").read_text())["notices"]
    void = [reason for _, reason in notices]
    assert sorted(void) == [
        "1 class that is none of the 150 is void: 'housing'",
        "1 class that is none of the 150 is void: 'window'",
    ]
    assert "read 3 = written 3 + reported 0" in capsys.readouterr().out


def test_changed_json_file_makes_records_out_of_date(root):
    stamp = data.open_source(str(root), "training").stamp(1)
    write_json(root / "images/ADE/training/urban/street/ADE_train_00000002", entry(0, WALL))
    assert data.open_source(str(root), "training").stamp(1) != stamp


def test_contact_sheet_is_drawn(root, tmp_path):
    out = tmp_path / "sheet.png"
    run_job(browse, f"--source={root}", "--split=validation", f"--out={out}")
    assert out.stat().st_size > 0


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("images", ""),
        ("images/ADE", ""),
        ("images/ADE/training", " with the split 'training'"),
        ("images/ADE/training/urban/alley/narrow", " with the split 'training'"),
        ("images/ADE/validation/misc", " with the split 'validation'"),
    ],
)
def test_folder_inside_the_distribution_is_refused_and_the_right_one_named(root, folder, split):
    expected = f"{root / folder}: lies inside a data set; the source is {root}{split}"
    assert _error(root / folder, None) == expected
    assert _error(root / folder, "training") == expected
    assert _error(root / folder, None, labels=False) == expected


def test_folder_above_the_distribution_is_refused_and_the_right_one_named(root):
    for above in (root.parent, root.parent.parent):
        expected = f"{above}: is no data set, but holds one; the source is {root}"
        assert _error(above) == expected
        assert _error(above, None) == expected


def test_annotations_beside_the_pictures_are_no_pictures(root):
    folder = root / "images/ADE/training/urban/street"
    (folder / "other_seg.png").write_bytes(b"")  # a picture whose name only looks alike
    names = [path.name for path in picture_files(str(folder))]
    assert names == ["ADE_train_00000002.jpg", "other_seg.png"]


def test_release_of_2016_is_refused_by_name_with_the_way_to_go(tmp_path):
    scene = tmp_path / "images/training/a/abbey"
    scene.mkdir(parents=True)
    for name in ("ADE_train_00000970.jpg", "ADE_train_00000970_seg.png"):
        (scene / name).write_bytes(b"")
    message = _error(tmp_path)
    assert message.startswith(f"{tmp_path}: is the full ADE20K of 2016, which is not read; allowed")
    assert message.endswith("ADEChallengeData2016.zip")
