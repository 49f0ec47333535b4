"""Transforms against Pillow and NumPy, and batches, which seed and step determine."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data import PictureCache
from data.batches import pipeline, transforms


def _example(height, width, seed=0):
    """Return an example in which each label is a function of the pixel at the same position."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return {"image": image, "label_map": image[..., 0] % 151, "name": "x"}


def _labels_match_pixels(example):
    return np.array_equal(example["label_map"], np.asarray(example["image"])[..., 0] % 151)


@pytest.mark.parametrize(("height", "width"), [(300, 512), (97, 640), (120, 131)])
def test_resize_equals_pillows(height, width):
    example = _example(height, width)
    # A gradient with noise has both smooth and sharp areas.
    ramp = np.linspace(0, 200, width)[None, :, None]
    example["image"] = (ramp + example["image"] / 5).astype(np.uint8)
    resized = transforms.resize(example)
    image = Image.fromarray(example["image"]).resize((256, 256), Image.Resampling.BICUBIC)
    difference = np.abs(resized["image"].numpy().astype(int) - np.asarray(image))
    assert difference.max() <= 1
    assert difference.mean() < 0.01
    labels = Image.fromarray(example["label_map"]).resize((256, 256), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(resized["label_map"], labels)


def test_random_crop_is_a_window_of_the_picture_at_any_position():
    example = _example(20, 18)
    positions = set()
    crops = tf.data.Dataset.range(200).map(
        lambda seed: transforms.random_crop(example, 16, [seed, 1])
    )
    for crop in crops.as_numpy_iterator():
        assert _labels_match_pixels(crop)
        windows = [
            (top, left)
            for top in range(5)
            for left in range(3)
            if np.array_equal(crop["image"], example["image"][top : top + 16, left : left + 16])
        ]
        assert len(windows) == 1
        positions.add(windows[0])
    assert len(positions) == 15


def test_crops_larger_than_the_picture_extend_it_by_reflection():
    example = _example(10, 40)
    expected = np.pad(example["image"], [(0, 22), (0, 0), (0, 0)], "symmetric")
    middle = transforms.center_crop(example, 32)
    np.testing.assert_array_equal(middle["image"], expected[:, 4:36])
    assert _labels_match_pixels(middle)
    assert _labels_match_pixels(transforms.random_crop(example, 32, [1, 2]))


def _equals_pillows(got, image):
    size = got.shape[1::-1]
    resized = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    return np.abs(got.numpy().astype(int) - np.asarray(resized)).max() <= 1


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_scaled_crop_is_a_window_resized_as_by_pillow(scale):
    side = round(32 / scale)
    example = _example(side + 1, side + 2)
    positions = set()
    for seed in range(40):
        crop = transforms.random_scaled_crop(example, 32, [seed, 1], (scale, scale))
        windows = [
            (top, left)
            for top in range(2)
            for left in range(3)
            if _equals_pillows(
                crop["image"], example["image"][top : top + side, left : left + side]
            )
        ]
        assert len(windows) == 1
        positions.add(windows[0])
    assert len(positions) == 6


def test_scaled_crops_larger_than_the_picture_extend_it_by_reflection():
    example = _example(40, 30)
    crop = transforms.random_scaled_crop(example, 32, [0, 1], (0.5, 0.5))
    mirrored = [np.pad(example["image"], [(0, 24), (0, 34), (0, 0)], "symmetric")]
    assert _equals_pillows(crop["image"], *mirrored)


def test_random_scales_lie_between_a_half_and_two_and_are_as_often_below_one_as_above():
    columns = np.broadcast_to(np.arange(250, dtype=np.uint8)[None, :, None], (200, 250, 3))
    crops = tf.data.Dataset.range(300).map(
        lambda seed: transforms.random_scaled_crop({"image": columns}, 64, [seed, 0])["image"]
    )
    rows = np.stack([image[32, :, 0] for image in crops.as_numpy_iterator()]).astype(int)
    scales = 48 / (rows[:, 56] - rows[:, 8])
    assert 0.48 < scales.min() < 0.55
    assert 1.8 < scales.max() < 2.1
    assert 120 < np.sum(scales < 1) < 180


def test_image_and_labels_are_scaled_together():
    rng = np.random.default_rng(7)
    label_map = rng.integers(1, 151, (9, 9), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    palette = rng.integers(0, 256, (151, 3), dtype=np.uint8)
    example = {"image": palette[label_map], "label_map": label_map}
    for seed in range(20):
        crop = {k: v.numpy() for k, v in _scaled_and_flipped(example, seed).items()}
        assert len(np.unique(crop["label_map"])) > 3
        difference = np.abs(crop["image"].astype(int) - palette[crop["label_map"]])
        # Bicubic interpolation reaches four pixels to each side when it doubles.
        windows = np.lib.stride_tricks.sliding_window_view(crop["label_map"], (9, 9))
        inside = (windows.min((2, 3)) == windows.max((2, 3))).nonzero()
        assert len(inside[0]) > 100
        assert difference[4:-4, 4:-4][inside].max() <= 1


def _scaled_and_flipped(example, seed):
    return transforms.random_flip(
        transforms.random_scaled_crop(example, 64, [seed, 3], (0.75, 2.0)), [seed, 4]
    )


def test_random_flip_mirrors_half_of_the_examples_with_their_labels():
    example = _example(8, 9)
    flipped = 0
    for seed in range(200):
        out = transforms.random_flip(example, [seed, 0])
        assert _labels_match_pixels(out)
        if np.array_equal(out["image"], example["image"][:, ::-1]):
            flipped += 1
        else:
            np.testing.assert_array_equal(out["image"], example["image"])
    assert 70 < flipped < 130


@pytest.mark.parametrize("degrees", [-10.0, -3.0, 7.5, 45.0])
def test_rotation_equals_pillows(degrees):
    size, side = 64, transforms.rotated_side(64, abs(degrees))
    side += (side - size) % 2  # so that the window is in the middle
    image = np.asarray(Image.fromarray(_example(9, 9)["image"]).resize((side, side)))
    example = {"image": image, "label_map": image[..., 1] % 151}
    for seed in range(100):
        share = float(tf.random.stateless_uniform([], [seed, 0], -1.0, 1.0))
        if 0.5 < share * np.sign(degrees) < 0.9:
            break
    out = transforms.random_rotation(example, size, [seed, 0], abs(degrees))
    low = (side - size) // 2

    def rotated(array, resampling):
        turned = Image.fromarray(array).rotate(share * abs(degrees), resampling)
        return np.asarray(turned)[low : low + size, low : low + size]

    for channel in range(3):  # as floats, which Pillow does not round
        samples = image[..., channel].astype(np.float32)
        expected = rotated(samples, Image.Resampling.BILINEAR)
        assert np.abs(out["image"].numpy()[..., channel] - expected).max() < 0.6
    same = rotated(example["label_map"], Image.Resampling.NEAREST) == out["label_map"].numpy()
    assert same.mean() > 0.99


def test_rotation_turns_image_and_labels_together_and_to_both_sides():
    label_map = np.zeros((99, 99), np.uint8)
    label_map[:, 50:] = 100
    example = {"image": np.repeat(label_map[..., None], 3, -1), "label_map": label_map}
    tops = []
    for seed in range(60):
        out = {
            k: v.numpy()
            for k, v in transforms.random_rotation(example, 64, [seed, 1], 10.0).items()
        }
        sharp = (out["image"][..., 0] == 0) | (out["image"][..., 0] == 100)
        np.testing.assert_array_equal(out["image"][sharp][..., 0], out["label_map"][sharp])
        assert sharp.mean() > 0.95
        tops.append(np.count_nonzero(out["label_map"][0] == 0))
    leaning = np.array(tops) - 32
    # A line through the centre leans by 31.5 tan(10 degrees) = 5.6 pixels at most.
    assert 3 < leaning.max() <= 6
    assert -6 <= leaning.min() < -3
    assert 15 < np.count_nonzero(leaning > 0) < 45


def test_rotation_extends_small_pictures_by_reflection():
    example = {"image": np.full((20, 20, 3), 90, np.uint8), "label_map": np.full((20, 20), 7)}
    example["label_map"] = example["label_map"].astype(np.uint8)
    out = transforms.random_rotation(example, 32, [3, 1], 30.0)
    np.testing.assert_array_equal(out["image"], 90)
    np.testing.assert_array_equal(out["label_map"], 7)


def test_half_of_the_pictures_are_blurred_by_a_gaussian():
    example = _example(20, 22)
    padded = np.pad(example["image"].astype(float), [(2, 2), (2, 2), (0, 0)], "symmetric")
    offsets = np.arange(-2, 3)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.1**2))
    expected = sum(
        weights[i, j] / weights.sum() * padded[i : i + 20, j : j + 22]
        for i in range(5)
        for j in range(5)
    )
    blurred = 0
    for seed in range(100):
        out = transforms.random_blur(example, [seed, 2], 0.5)
        np.testing.assert_array_equal(out["label_map"], example["label_map"])
        image = np.asarray(out["image"])
        if not np.array_equal(image, example["image"]):
            blurred += 1
            assert np.abs(image - expected).max() <= 0.51
    assert 30 < blurred < 70


@pytest.mark.parametrize("transform", ["crop", "scaled crop", "flip", "rotation", "blur"])
def test_equal_seeds_give_equal_transforms(transform):
    example = _example(64, 64)

    def draw(seed):
        if transform == "crop":
            return transforms.random_crop(example, 16, seed)["image"]
        if transform == "scaled crop":
            return transforms.random_scaled_crop(example, 16, seed)["image"]
        if transform == "rotation":
            return transforms.random_rotation(example, 16, seed, 10.0)["image"]
        if transform == "blur":
            return transforms.random_blur(example, seed, 0.5)["image"]
        return transforms.random_flip(example, seed)["image"]

    draws = [np.asarray(draw([seed, 5])).tobytes() for seed in range(20)]
    assert draws == [np.asarray(draw([seed, 5])).tobytes() for seed in range(20)]
    assert len(set(draws)) > 1


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    for split, count in (("training", 7), ("validation", 3)):
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True)
        for index in range(count):
            example = _example(30 + index, 50 - index, seed=index)
            Image.fromarray(example["image"]).save(root / f"images/{split}/{index}.png")
            Image.fromarray(example["label_map"]).save(root / f"annotations/{split}/{index}.png")
    return str(root)


def _take(dataset, count):
    return list(dataset.take(count).as_numpy_iterator())


@pytest.mark.parametrize("fit", ["crop", "resize"])
def test_batches_have_the_shapes_and_ranges_that_networks_take(root, fit):
    options = {"batch_size": 4, "size": 24, "fit": fit}
    dataset = pipeline.training_batches(root, **options)
    assert dataset.element_spec == {
        "image": tf.TensorSpec([4, 24, 24, 3], tf.float32),
        "label_map": tf.TensorSpec([4, 24, 24], tf.int32),
    }
    (batch,) = _take(dataset, 1)
    assert batch["image"].min() >= -1
    assert batch["image"].max() <= 1
    assert batch["image"].std() > 0.2
    if fit == "crop":
        pixels = np.rint((batch["image"][..., 0] + 1) * 127.5).astype(int)
        np.testing.assert_array_equal(batch["label_map"], pixels % 151)


@pytest.mark.parametrize(
    "how",
    [
        {"fit": "crop"},
        {"fit": "resize"},
        {"fit": "crop", "scales": (0.5, 2.0)},
        {"fit": "crop", "scales": (0.5, 2.0), "rotation": 10.0, "blur": 0.5},
        {"fit": "resize", "rotation": 10.0, "blur": 0.5},
    ],
)
def test_stream_from_a_step_equals_the_rest_of_the_whole_stream(root, how):
    options = {"batch_size": 4, "size": 24, "seed": 3, **how}
    whole = _take(pipeline.training_batches(root, **options), 6)
    rest = _take(pipeline.training_batches(root, **options, start_step=4), 2)
    for key in ("image", "label_map"):
        np.testing.assert_array_equal([b[key] for b in whole[4:]], [b[key] for b in rest])
    other = _take(pipeline.training_batches(root, **(options | {"seed": 4})), 1)
    assert not np.array_equal(other[0]["image"], whole[0]["image"])


def _contexts(hosts, replicas):
    """Return the contexts that tf.distribute passes on each host."""
    return [tf.distribute.InputContext(hosts, host, replicas) for host in range(hosts)]


@pytest.mark.parametrize(("hosts", "replicas"), [(1, 2), (2, 2), (2, 4), (3, 6)])
def test_parts_of_all_replicas_are_the_batch_of_one_process(root, hosts, replicas):
    options = {"batch_size": 12, "size": 16, "fit": "crop", "seed": 3, "start_step": 2}
    expected = _take(pipeline.training_batches(root, **options), 3)
    each = replicas // hosts
    parts = [
        _take(pipeline.training_batches(root, **options, context=context), 3 * each)
        for context in _contexts(hosts, replicas)
    ]
    for step, batch in enumerate(expected):
        of_step = [p for host in parts for p in host[step * each : (step + 1) * each]]
        assert {len(p["image"]) for p in of_step} == {12 // replicas}
        for key in batch:
            np.testing.assert_array_equal(np.concatenate([p[key] for p in of_step]), batch[key])


@pytest.mark.parametrize(("hosts", "replicas"), [(1, 2), (2, 2), (2, 4)])
def test_replicas_together_validate_each_picture_once(root, hosts, replicas):
    options = {"batch_size": 4, "size": 16, "fit": "crop"}
    whole = _take(pipeline.validation_batches(root, "training", **options), -1)
    expected = sorted(p.tobytes() for b in whole for p in b["image"])
    assert len(expected) == 7
    found = []
    for context in _contexts(hosts, replicas):
        for batch in _take(
            pipeline.validation_batches(root, "training", **options, context=context), -1
        ):
            assert len(batch["image"]) <= 4 // replicas
            found += [p.tobytes() for p in batch["image"]]
    assert sorted(found) == expected


def test_distribution_strategy_gets_the_same_batches(root):
    options = {"batch_size": 4, "size": 16, "fit": "crop", "seed": 1}
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    dataset = strategy.distribute_datasets_from_function(
        lambda context: pipeline.training_batches(root, **options, context=context)
    )
    batch = next(iter(dataset))
    (expected,) = _take(pipeline.training_batches(root, **options), 1)
    np.testing.assert_array_equal(batch["image"], expected["image"])


def test_cached_files_are_read_once_and_batches_stay_the_same(root, tmp_path):
    options = {"batch_size": 4, "size": 24, "fit": "crop", "scales": (0.5, 2.0), "seed": 3}
    expected = _take(pipeline.training_batches(root, **options), 6)
    copy = shutil.copytree(root, tmp_path / "copy")
    cache = PictureCache(10**6)
    stream = pipeline.training_batches(str(copy), **options, cache=cache)
    _take(stream, 2)  # eight examples, among them each of the seven pictures
    assert cache.used == sum((30 + i) * (50 - i) * 4 for i in range(7))
    for kind in ("images", "annotations"):
        for path in (copy / kind / "training").iterdir():
            path.write_bytes(b"no picture any more")
    for got, wanted in zip(_take(stream, 6), expected, strict=True):
        for key in ("image", "label_map"):
            np.testing.assert_array_equal(got[key], wanted[key])


def test_full_cache_keeps_its_limit_and_batches_stay_the_same(root):
    options = {"batch_size": 2, "size": 24, "fit": "crop"}
    cache = PictureCache(15_000)
    expected = _take(pipeline.training_batches(root, **options), 8)
    for got, wanted in zip(
        _take(pipeline.training_batches(root, **options, cache=cache), 8), expected, strict=True
    ):
        np.testing.assert_array_equal(got["image"], wanted["image"])
    assert 10_000 < cache.used <= 15_000
    expected = _take(pipeline.validation_batches(root, **options), -1)
    cached = pipeline.validation_batches(root, **options, cache=cache)
    for got, wanted in zip(_take(cached, -1), expected, strict=True):
        np.testing.assert_array_equal(got["image"], wanted["image"])


def test_validation_batches_have_the_middle_of_each_picture_once(root):
    options = {"batch_size": 2, "size": 24, "fit": "crop"}
    batches = _take(pipeline.validation_batches(root, **options), -1)
    assert [b["image"].shape[0] for b in batches] == [2, 1]
    images = np.concatenate([b["image"] for b in batches])
    expected = [transforms.center_crop(_example(30 + i, 50 - i, i), 24)["image"] for i in range(3)]
    np.testing.assert_array_equal(np.rint((images + 1) * 127.5), expected)


def test_batches_without_labels_have_images_only(root):
    (batch,) = _take(pipeline.training_batches(root, batch_size=2, size=16, labels=False), 1)
    assert list(batch) == ["image"]


def test_options_out_of_range_are_refused(root):
    with pytest.raises(ValueError, match="multiple of 8 from 8 up, got 20"):
        pipeline.training_batches(root, batch_size=1, size=20)
    with pytest.raises(ValueError, match="got 'stretch'"):
        pipeline.training_batches(root, batch_size=1, fit="stretch")
    for bad in ({"scales": (0.5, 2.0)}, {"scales": (2.0, 0.5), "fit": "crop"}):
        with pytest.raises(ValueError, match=r"scales must be 0 < low <= high and fit 'crop', got"):
            pipeline.training_batches(root, batch_size=1, **bad)
    for bad in ({"rotation": 46.0}, {"blur": 1.5}):
        with pytest.raises(ValueError, match=r"rotation must be 0\.\.45 degrees and blur a share"):
            pipeline.training_batches(root, batch_size=1, **bad)
    (context,) = _contexts(1, 2)
    with pytest.raises(ValueError, match="multiple of 2 replicas, got 3"):
        pipeline.training_batches(root, batch_size=3, context=context)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        pipeline.validation_batches(root, batch_size=0)
