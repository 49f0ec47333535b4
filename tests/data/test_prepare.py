"""The job data.prepare: equal bytes in every run, reports of what is left out, no partial files."""

import json
import logging
import os
import time

import numpy as np
import pytest
from absl import app
from PIL import Image

import data
from data import prepare
from data.sources.manifest import FILE, load_manifest
from smapcomp.ade20k import label_counts
from tests.helpers.forked import Forked
from tests.helpers.jobs import run_job
from tests.helpers.pictures import (
    block_labels,
    encode_image,
    smooth_picture,
    write_labelled_pictures,
)


def _run(*arguments, beam=()):
    run_job(prepare, "--workers=2", "--examples_per_shard=4", *arguments, rest=beam)


def _failure(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        _run(*arguments)
    assert caught.value.code == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("prepare: ")
    return last.removeprefix("prepare: ")


def _files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _examples(spec, split="training"):
    with data.clear_errors():
        return list(data.load(str(spec), split).as_numpy_iterator())


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "ade"
    write_labelled_pictures(root)
    write_labelled_pictures(root, "validation", count=3)
    return root


def test_every_split_becomes_records_and_a_manifest_with_their_statistics(root, tmp_path, capsys):
    out = tmp_path / "out"
    logger = logging.getLogger("smapcomp")
    before = logger.level, logger.propagate, list(logger.handlers)
    _run(f"--source={root}", f"--out={out}")
    assert (logger.level, logger.propagate, logger.handlers) == before
    printed = capsys.readouterr()
    assert "read 12 = written 12 + reported 0" in printed.out
    assert "gets three equal channels" not in printed.err
    expected = _examples(root)
    for got, wanted in zip(_examples(out), expected, strict=True):
        for key in ("image", "label_map", "name"):
            np.testing.assert_array_equal(got[key], wanted[key])
    manifest = load_manifest(str(out / "training"))
    assert [len(shard.offsets) for shard in manifest.shards] == [4, 4, 4]
    counts = np.array([label_counts(e["label_map"]) for e in expected])
    assert manifest.statistics.class_pixels == tuple(counts.sum(0))
    assert manifest.statistics.class_pictures == tuple((counts > 0).sum(0))
    assert manifest.statistics.smallest == (24, 29)
    assert manifest.statistics.largest == (35, 40)
    greys = [where.rsplit("/", 1)[1] for where, _ in manifest.notices]
    assert greys == ["p03.jpg", "p07.jpg", "p11.jpg"]
    assert load_manifest(str(out / "validation")).written == 3


def test_threads_processes_and_repeated_runs_write_the_same_bytes(root, tmp_path):
    arguments = (f"--source={root}", "--split=training", "--size=16")
    _run(*arguments, f"--out={tmp_path / 'threads'}")
    expected = _files(tmp_path / "threads")
    processes = ["--runner=DirectRunner", "--direct_running_mode=multi_processing"]
    _run(
        *arguments,
        f"--out={tmp_path / 'processes'}",
        beam=[*processes, "--direct_num_workers=2"],
    )
    assert _files(tmp_path / "processes") == expected
    _run(*arguments, f"--out={tmp_path / 'threads'}")
    assert _files(tmp_path / "threads") == expected
    resized = _examples(tmp_path / "threads")
    assert {e["image"].shape for e in resized} == {(16, 16, 3)}


def test_second_run_rewrites_only_damaged_and_outdated_shards(root, tmp_path):
    out = tmp_path / "out"
    arguments = (f"--source={root}", f"--out={out}", "--split=training")
    _run(*arguments)
    shards = sorted((out / "training").glob("*.tfrecord"))
    before = {path: path.stat().st_ino for path in shards}
    expected = _files(out)
    shards[1].write_bytes(shards[1].read_bytes()[:-1] + b"x")
    _run(*arguments)
    assert [p.stat().st_ino == before[p] for p in shards] == [True, False, True]
    assert _files(out) == expected
    (root / "images/training/p00.jpg").write_bytes(encode_image(smooth_picture(50, 24, 40), "JPEG"))
    _run(*arguments)
    assert [p.stat().st_ino == before[p] for p in shards] == [False, False, True]
    np.testing.assert_array_equal(_examples(out)[0]["image"], _examples(root)[0]["image"])


def test_shards_of_removed_pictures_are_removed_and_other_files_stay(root, tmp_path):
    out = tmp_path / "out"
    arguments = (f"--source={root}", f"--out={out}", "--split=training")
    _run(*arguments)
    (out / "training/notes.txt").write_text("mine")
    for number in range(5):
        (root / f"images/training/p{number:02}.jpg").unlink()
        (root / f"annotations/training/p{number:02}.png").unlink()
    _run(*arguments)
    names = sorted(p.name for p in (out / "training").iterdir())
    shards = [f"training-0000{n}-of-00002.{end}" for n in (0, 1) for end in ("json", "tfrecord")]
    assert names == [FILE, "notes.txt", *shards]
    assert [e["name"] for e in _examples(out)] == [b"p%02d" % n for n in range(5, 12)]


BROKEN = {
    "p00": "cannot be read as a picture: ",
    "p01": "labels must be an 8-bit grey PNG, got mode I;16B",
    "p02": "labels must be an 8-bit grey PNG, got mode P",
    "p03": "has label 200, allowed are 0..150",
    "p04": "missing annotation",
    "p05": "labels are 9x8, the picture is 35x29",
    "p06": "cannot be read as a picture: unknown format",
    "p08": "labels must be an 8-bit grey PNG, got a file of JPEG",
}


def _break(root):
    """Break examples in every way; p07 and p11 stay grey, which only causes a notice."""
    images, annotations = root / "images/training", root / "annotations/training"
    picture = images / "p00.jpg"
    picture.write_bytes(picture.read_bytes()[:-200])
    labels = block_labels(1, 25, 39)
    (annotations / "p01.png").write_bytes(encode_image(labels.astype(np.uint16)))
    palette = Image.fromarray(block_labels(2, 26, 38))
    palette.putpalette(bytes(range(256)) * 3)
    palette.save(annotations / "p02.png")
    (annotations / "p03.png").write_bytes(encode_image(np.full((27, 37), 200, np.uint8)))
    (annotations / "p04.png").unlink()
    (annotations / "p05.png").write_bytes(encode_image(block_labels(3, 8, 9)))
    (images / "p06.jpg").write_bytes(b"")
    (annotations / "p08.png").write_bytes(encode_image(block_labels(4, 32, 32), "JPEG"))
    (images / "notes.txt").write_text("no picture")
    (annotations / "q.png").write_bytes(encode_image(labels))


def test_everything_that_is_left_out_is_reported_with_its_reason(root, tmp_path, capsys):
    _break(root)
    out = tmp_path / "out"
    _run(f"--source={root}", f"--out={out}", "--split=training")
    printed = capsys.readouterr()
    # 12 pictures, a text file, and an annotation without a picture.
    assert "read 14 = written 4 + reported 10 (2 of them no examples)" in printed.out
    manifest = load_manifest(str(out / "training"))
    assert (manifest.read, manifest.written) == (14, 4)
    reported = {os.path.basename(where): reason for where, reason in manifest.reported}
    for name, reason in BROKEN.items():
        assert reason in reported.pop(f"{name}.jpg")
        assert f"{name}.jpg: " in printed.err
    assert reported == {
        "notes.txt": "not read: its extension is none of .jpg, .jpeg, .png",
        "q.png": "not read: no picture of its name",
    }
    assert [e["name"] for e in _examples(out)] == [b"p07", b"p09", b"p10", b"p11"]


def test_strict_run_publishes_nothing_if_an_example_is_at_fault(root, tmp_path, capsys):
    (root / "annotations/training/p04.png").unlink()
    out = tmp_path / "out"
    arguments = (f"--source={root}", f"--out={out}", "--split=training", "--strict")
    message = _failure(capsys, *arguments)
    assert message == f"{out}/training: not published: 1 of 12 examples at fault"
    assert not (out / "training" / FILE).exists()
    with pytest.raises(data.DataError):
        _examples(out)
    (root / "annotations/training/p04.png").write_bytes(encode_image(block_labels(4, 28, 36)))
    _run(*arguments)
    assert len(_examples(out)) == 12


def test_records_of_other_settings_are_replaced_with_overwrite_only(root, tmp_path, capsys):
    out = tmp_path / "out"
    _run(f"--source={root}", f"--out={out}", "--split=validation")
    arguments = (f"--source={root}", f"--out={out}", "--split=validation", "--size=16")
    message = _failure(capsys, *arguments)
    assert message.startswith(f"{out}/validation/{FILE}: prepared with {{'size': None")
    assert message.endswith("--overwrite replaces it")
    assert _examples(out, "validation")[0]["image"].shape == (24, 40, 3)
    _run(*arguments, "--overwrite")
    assert _examples(out, "validation")[0]["image"].shape == (16, 16, 3)


def test_label_maps_of_the_segmenter_are_stored_and_copied_with_the_records(root, tmp_path):
    pictures, out = root / "images/validation", tmp_path / "out"
    _run(f"--source={pictures}", f"--out={out}", "--labels=segmenter")
    from data.preparation.labeller import build_labeller

    label = build_labeller("lite", None)
    examples = _examples(out, None)
    assert len(examples) == 3
    for example in examples:
        np.testing.assert_array_equal(example["label_map"], label(example["image"]))
        assert example["label_map"].shape == example["image"].shape[:2]
        assert example["label_map"].min() >= 1
    assert load_manifest(str(out)).settings["labels"].startswith("segmenter lite ")
    again = tmp_path / "again"
    _run(f"--source={out}", f"--out={again}", "--encoding=file")
    assert load_manifest(str(again)).settings["labels"].startswith("segmenter lite ")
    np.testing.assert_array_equal(_examples(again, None)[2]["label_map"], example["label_map"])


def test_errors_of_source_folder_and_flags_end_in_one_line(root, tmp_path, capsys):
    out = f"--out={tmp_path / 'out'}"
    assert _failure(capsys, "--source=nowhere", out) == "nowhere: no such folder"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no picture (.jpg, .jpeg, .png)" in _failure(capsys, f"--source={empty}", out)
    (tmp_path / "file").write_text("no folder")
    message = _failure(capsys, f"--source={root}", f"--out={tmp_path / 'file'}")
    assert message.startswith(f"{tmp_path}/file/training: cannot be written: ")
    for path in (root / "images/training").iterdir():
        path.write_bytes(b"no picture")
    message = _failure(capsys, f"--source={root}", out, "--split=training")
    assert "none of 12 pictures can be used" in message
    with pytest.raises(app.UsageError, match="--kodak_dir=x is allowed with the source kodak only"):
        _run(f"--source={root}", out, "--kodak_dir=x")
    with pytest.raises(app.UsageError, match="--encoding=raw"):
        _run(f"--source={root}", out, "--size=16", "--encoding=file")


def test_records_are_not_written_over_their_source(root, tmp_path, capsys):
    out = tmp_path / "out"
    _run(f"--source={root}", f"--out={out}", "--split=training")
    before = _files(out)
    message = _failure(capsys, f"--source={out}", f"--out={out}", "--split=training")
    assert message == f"--out={out}: is the source itself"
    assert _files(out) == before


def test_full_disk_ends_in_one_line_and_leaves_no_file(root, tmp_path, capsys, monkeypatch):
    import tensorflow as tf

    class Full(tf.io.TFRecordWriter):
        def write(self, record):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.io, "TFRecordWriter", Full)
    out = tmp_path / "out"
    message = _failure(capsys, f"--source={root}", f"--out={out}", "--split=training")
    assert "training-0000" in message
    assert "cannot be written: No space left on device" in message
    assert list((out / "training").iterdir()) == []


def test_killed_run_is_resumed_and_ends_with_the_same_bytes(root, tmp_path):
    write_labelled_pictures(root, count=60)
    arguments = [f"--source={root}", "--split=training", "--examples_per_shard=2"]
    _run(*arguments, f"--out={tmp_path / 'whole'}")
    out = tmp_path / "killed"
    process = Forked("data.prepare", *arguments, f"--out={out}", "--workers=1")
    while process.status is None and not list(out.glob("training/*-00003-of-*.json")):
        time.sleep(0.01)
    process.kill()
    process.end(60)
    assert not (out / "training" / FILE).exists()
    (out / "training/training-00009-of-00030.tfrecord.0a0b.tmp").write_bytes(b"half")
    done = {p: p.stat().st_ino for p in (out / "training").glob("*.tfrecord")}
    assert done
    _run(*arguments, f"--out={out}")
    assert _files(out) == _files(tmp_path / "whole")
    # The result of the newest shard may not have been written yet.
    assert sum(p.stat().st_ino == inode for p, inode in done.items()) >= len(done) - 1


def test_manifest_is_json_with_a_line_for_each_shard(root, tmp_path):
    out = tmp_path / "out"
    _run(f"--source={root}", f"--out={out}", "--split=training")
    text = (out / "training" / FILE).read_text()
    assert len(json.loads(text)["shards"]) == 3
    assert sum('"sha256": ' in line for line in text.splitlines()) == 3
