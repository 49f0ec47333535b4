"""Coded pictures: what the job writes, and that picture and compact image are cropped together."""

import io
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import data
from data import code_compact
from data.batches import coded_pipeline
from data.coded.settings import CompactCodingSettings
from data.sources.manifest import load_manifest
from tests.helpers.jobs import run_job
from tests.helpers.pictures import write_labelled_pictures

SIZE = 32
PICTURES = 5


def _code(*arguments):
    run_job(code_compact, "--workers=2", "--examples_per_shard=4", *arguments)


def _files(folder):
    return {
        p.name: (p.read_bytes(), (p.stat().st_ino, p.stat().st_mtime_ns)) for p in folder.iterdir()
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of pictures of random samples, in which a window can be found by its content."""
    root = tmp_path_factory.mktemp("pictures")
    for split in ("training", "validation"):
        write_labelled_pictures(root, split, PICTURES, ".png")
    rng = np.random.default_rng(2)
    for number in range(PICTURES):
        image = rng.integers(0, 256, (67, 83, 3), dtype=np.uint8)
        labels = Image.fromarray(image[..., 0] % 151)
        Image.fromarray(image).save(root / f"images/training/p{number:02}.png")
        labels.save(root / f"annotations/training/p{number:02}.png")
    small = np.zeros((15, 40, 3), np.uint8)
    Image.fromarray(small).save(root / "images/validation/p04.png")
    Image.fromarray(small[..., 0]).save(root / "annotations/validation/p04.png")
    return root


@pytest.fixture(scope="module")
def coded(root, tmp_path_factory):
    """A function that returns the folder of the records of a scale."""
    folders = {}

    def folder(scale):
        if scale not in folders:
            folders[scale] = tmp_path_factory.mktemp(f"x{scale}")
            passes = "--passes=2" if scale == 2 else "--passes=1"
            split = "--split=training"
            _code(f"--source={root}", split, f"--scale={scale}", passes, f"--out={folders[scale]}")
        return folders[scale]

    return folder


def _examples(folder, split="training"):
    return list(data.load(str(folder), split).as_numpy_iterator())


def test_compact_image_is_the_whole_picture_down_sampled_and_coded_by_pillow(root, coded):
    examples = _examples(coded(2))
    assert [e["name"].decode() for e in examples] == 2 * [f"p{n:02}" for n in range(PICTURES)]
    for example in examples:
        original = Image.open(root / f"images/training/{example['name'].decode()}.png")
        original = original.crop((0, 0, 80, 64))
        np.testing.assert_array_equal(example["image"], original)
        np.testing.assert_array_equal(example["label_map"], np.asarray(original)[..., 0] % 151)
        file = io.BytesIO()
        small = original.resize((40, 32), Image.Resampling.LANCZOS)
        options = {"subsampling": "4:4:4", "speed": 4, "advanced": {"tune": "psnr"}}
        small.save(file, "AVIF", quality=int(example["quality"]), max_threads=1, **options)
        np.testing.assert_array_equal(example["compact"], Image.open(file).convert("RGB"))
    first, second = ([e["quality"] for e in examples[n:][:PICTURES]] for n in (0, PICTURES))
    assert (np.array(first) != second).any()


def test_qualities_are_uniform_over_the_range_and_depend_on_the_seed():
    settings = CompactCodingSettings(8, qualities=(20, 29))
    drawn = [settings.quality(f"p{n}", 0) for n in range(2000)]
    assert np.bincount(drawn, minlength=30)[20:].min() > 150
    assert (min(drawn), max(drawn)) == (20, 29)
    assert CompactCodingSettings(1).qualities == (4, 97)
    other = CompactCodingSettings(8, seed=1, qualities=(20, 29))
    assert drawn != [other.quality(f"p{n}", 0) for n in range(2000)]
    with pytest.raises(ValueError, match=r"qualities must be 0 <= lowest <= highest.*\(9, 5\)"):
        CompactCodingSettings(8, qualities=(9, 5))


def test_resumed_run_writes_missing_shards_only_and_ends_with_the_same_bytes(root, coded, tmp_path):
    arguments = [f"--source={root}", "--split=training", "--scale=2", "--passes=2"]
    _code(*arguments, f"--out={tmp_path}")
    folder = tmp_path / "training"
    whole = _files(folder)
    assert {n: d for n, (d, _) in whole.items()} == {
        n: d for n, (d, _) in _files(coded(2) / "training").items()
    }
    (folder / "manifest.json").unlink()
    lost = folder / "training-00001-of-00003.tfrecord"
    lost.unlink()
    _code(*arguments, f"--out={tmp_path}")
    again = _files(folder)
    assert {n: d for n, (d, _) in again.items()} == {n: d for n, (d, _) in whole.items()}
    kept = [name for name in whole if name.endswith("tfrecord") and again[name] == whole[name]]
    assert sorted(kept) == [f"training-0000{n}-of-00003.tfrecord" for n in (0, 2)]


def test_too_small_pictures_are_reported_and_both_encodings_hold_the_same_samples(
    root, tmp_path, capsys
):
    for encoding in ("raw", "file"):
        options = ["--split=validation", "--scale=8", f"--encoding={encoding}"]
        _code(f"--source={root}", *options, f"--out={tmp_path / encoding}")
    assert "p04.png: has a side under 16 pixels" in capsys.readouterr().err
    assert load_manifest(str(tmp_path / "raw/validation")).written == 4
    raw, file = (_examples(tmp_path / encoding, "validation") for encoding in ("raw", "file"))
    for one, other in zip(raw, file, strict=True):
        assert one["compact"].shape == (one["image"].shape[0] // 8, one["image"].shape[1] // 8, 3)
        for key in ("image", "label_map", "compact", "quality"):
            np.testing.assert_array_equal(one[key], other[key])


def _pixels(signal):
    return np.round((signal + 1) * 127.5).astype(np.uint8)


def _orientations(x):
    """Yield the eight orientations of a square picture."""
    for down, right, swap in itertools.product((1, -1), (1, -1), (False, True)):
        y = x[::down, ::right]
        yield y.swapaxes(0, 1) if swap else y


def _find_crop(crop, examples):
    """Return the example, the position and the orientation of a crop."""
    for example in examples:
        for top, left in itertools.product(range(0, 33, 16), range(0, 49, 16)):
            window = example["image"][top : top + SIZE, left : left + SIZE]
            for number, turned in enumerate(_orientations(window)):
                if np.array_equal(turned, crop):
                    return example, top, left, number
    raise AssertionError("the crop is not a window of any picture")


@pytest.mark.parametrize("scale", [1, 2, 8])
def test_compact_image_of_a_crop_is_cut_from_the_coded_whole_at_the_same_position(coded, scale):
    examples = _examples(coded(scale))
    batches = coded_pipeline.training_batches(
        str(coded(scale)), batch_size=8, size=SIZE, scale=scale, seed=3
    )
    positions, orientations = set(), set()
    for batch in batches.take(5).as_numpy_iterator():
        assert batch["compact"].shape == (8, SIZE // scale, SIZE // scale, 3)
        for image, label_map, compact, level in zip(
            *(batch[key] for key in ("image", "label_map", "compact", "level")), strict=True
        ):
            image, compact = _pixels(image), _pixels(compact)
            example, top, left, orientation = _find_crop(image, examples)
            np.testing.assert_array_equal(label_map, image[..., 0] % 151)
            rows, columns = (slice(n // scale, (n + SIZE) // scale) for n in (top, left))
            matching = [
                e
                for e in examples  # once for each pass
                if e["name"] == example["name"]
                and np.array_equal(
                    list(_orientations(e["compact"][rows, columns]))[orientation], compact
                )
            ]
            assert level in [pytest.approx(1 - e["quality"] / 100) for e in matching]
            positions.add((top, left))
            orientations.add(orientation)
    assert orientations == set(range(8))
    assert len(positions) > 8


def test_batches_depend_on_seed_and_step_only_not_on_the_number_of_hosts(coded):
    def batches(seed=1, **options):
        options = {"batch_size": 4, "size": SIZE, "scale": 2, "seed": seed} | options
        return coded_pipeline.training_batches(str(coded(2)), **options).as_numpy_iterator()

    run = list(itertools.islice(batches(), 4))
    later = next(batches(start_step=3))
    for key, array in run[3].items():
        np.testing.assert_array_equal(later[key], array)
    assert not np.array_equal(next(batches(seed=2))["image"], run[0]["image"])
    parts = [
        next(batches(start_step=3, context=tf.distribute.InputContext(2, host, 2)))
        for host in (0, 1)
    ]
    for key, array in run[3].items():
        np.testing.assert_array_equal(np.concatenate([part[key] for part in parts]), array)


def test_validation_has_the_aligned_middle_of_each_picture_once(coded):
    (batch,) = coded_pipeline.validation_batches(
        str(coded(8)), "training", batch_size=8, size=SIZE, scale=8
    ).as_numpy_iterator()
    examples = _examples(coded(8))
    for index, example in enumerate(examples):
        np.testing.assert_array_equal(
            _pixels(batch["image"][index]), example["image"][16:48, 16:48]
        )
        np.testing.assert_array_equal(
            _pixels(batch["compact"][index]), example["compact"][2:6, 2:6]
        )


def test_records_without_compact_images_of_the_scale_are_refused(root, coded):
    for spec, message in (
        (root, "has no compact images; data.code_compact --scale=4 makes them"),
        (coded(2), "has compact images of scale 2; data.code_compact --scale=4 makes them"),
    ):
        with pytest.raises(data.DataError, match=message):
            coded_pipeline.training_batches(str(spec), batch_size=1, size=SIZE, scale=4)
    with pytest.raises(ValueError, match="size must be a multiple of 16, got 24"):
        coded_pipeline.training_batches(str(coded(2)), batch_size=1, size=24, scale=2)
