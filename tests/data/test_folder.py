"""Folders of pictures and annotations: what examples hold, and the errors of broken files."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

import data


def _write(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def _picture(seed, height=16, width=24):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _labels(seed, height=16, width=24):
    return np.random.default_rng(seed).integers(0, 151, (height, width), dtype=np.uint8)


@pytest.fixture
def root(tmp_path):
    """A folder of three labelled pictures of different sizes; `c` is a JPEG."""
    for seed, (name, width) in enumerate([("b.png", 24), ("a.png", 8), ("c.jpg", 30)]):
        _write(tmp_path / "images/training" / name, _picture(seed, 16, width))
        annotation = tmp_path / "annotations/training" / (name[0] + ".png")
        _write(annotation, _labels(seed, 16, width))
    return tmp_path


def _read(root, **options):
    with data.clear_errors():
        return list(data.load(str(root), "training", **options).as_numpy_iterator())


def _error(root, **options):
    with pytest.raises(data.DataError) as caught:
        _read(root, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_pictures_and_labels_are_unchanged_and_sorted_by_name(root):
    examples = _read(root)
    assert [e["name"] for e in examples] == [b"a", b"b", b"c"]
    np.testing.assert_array_equal(examples[0]["image"], _picture(1, 16, 8))
    np.testing.assert_array_equal(examples[1]["image"], _picture(0))
    with Image.open(root / "images/training/c.jpg") as jpeg:
        np.testing.assert_array_equal(examples[2]["image"], np.asarray(jpeg))
    for example, seed in zip(examples, (1, 0, 2), strict=True):
        labels = _labels(seed, 16, example["image"].shape[1])
        np.testing.assert_array_equal(example["label_map"], labels)


def test_element_spec_has_types_and_shapes(root):
    spec = data.load(str(root), "training").element_spec
    assert (spec["image"].dtype, spec["image"].shape.as_list()) == ("uint8", [None, None, 3])
    assert (spec["label_map"].dtype, spec["label_map"].shape.as_list()) == ("uint8", [None, None])
    assert (spec["name"].dtype, spec["name"].shape.as_list()) == ("string", [])


def test_folder_of_pictures_alone_loads_without_labels(tmp_path):
    _write(tmp_path / "x.png", _picture(1))
    _write(tmp_path / "y.JPG", _picture(2), format="JPEG")
    (tmp_path / "notes.txt").write_text("no picture")
    with data.clear_errors():
        examples = list(data.load(str(tmp_path), None, labels=False).as_numpy_iterator())
    assert [sorted(e) for e in examples] == [["image", "name"]] * 2
    assert [e["name"] for e in examples] == [b"x", b"y"]


def test_annotations_are_not_opened_without_labels(root):
    for path in (root / "annotations/training").iterdir():
        path.unlink()
    assert [sorted(e) for e in _read(root, labels=False)] == [["image", "name"]] * 3


def test_grey_and_transparent_pictures_become_rgb(root):
    grey = _picture(5)[..., 0]
    _write(root / "images/training/a.png", np.repeat(grey[:, :8, None], 4, axis=2))
    _write(root / "images/training/b.png", grey)
    examples = _read(root)
    np.testing.assert_array_equal(examples[0]["image"], np.stack([grey[:, :8]] * 3, axis=-1))
    np.testing.assert_array_equal(examples[1]["image"], np.stack([grey] * 3, axis=-1))


def test_grey_picture_causes_a_notice(root, caplog):
    _write(root / "images/training/b.png", _picture(5)[..., 0])
    _read(root)
    expected = f"{root}/images/training/b.png: is grey; gets three equal channels"
    assert [record.getMessage() for record in caplog.records] == [expected]


def test_each_epoch_of_a_shuffled_stream_has_every_picture_once_in_another_order(root):
    for index in range(20):
        _write(root / f"images/training/n{index:02}.png", _picture(index))
        _write(root / f"annotations/training/n{index:02}.png", _labels(index))

    def names(count, **options):
        stream = data.load(str(root), "training", shuffle_seed=7, **options).take(count)
        return [e["name"] for e in stream.as_numpy_iterator()]

    order = names(69)
    epochs = [order[i : i + 23] for i in (0, 23, 46)]
    assert all(len(set(epoch)) == 23 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != sorted(epochs[2])
    assert names(10, start=30) == order[30:40]


def test_missing_folders_and_splits_are_refused(root, tmp_path):
    assert _error(root / "nowhere") == f"{root}/nowhere: no such folder"
    with pytest.raises(data.DataError, match="split 'test' is unknown; allowed: training"):
        data.load(str(root), "test")
    with pytest.raises(data.DataError, match="no split is chosen; allowed: training"):
        data.load(str(root), None)


def test_folders_without_pictures_or_annotations_are_refused(tmp_path):
    (tmp_path / "images/training").mkdir(parents=True)
    assert "images/training: holds no picture (.jpg, .jpeg, .png)" in _error(tmp_path)
    _write(tmp_path / "images/training/a.png", _picture(1))
    assert "annotations/training: no such folder" in _error(tmp_path)
    with pytest.raises(data.DataError, match="has no images/ and annotations/"):
        data.load(str(tmp_path / "images"), "training", labels=True)
    with pytest.raises(data.DataError, match="has no split 'training'"):
        data.load(str(tmp_path / "images"), "training", labels=False)


def test_picture_without_annotation_is_refused(root):
    (root / "annotations/training/b.png").unlink()
    expected = "annotations/training/b.png: missing annotation (1 of 3 pictures have none)"
    assert _error(root) == f"{root}/{expected}"


def test_annotation_of_another_size_is_refused(root):
    _write(root / "annotations/training/b.png", _labels(1, 16, 23))
    assert _error(root).endswith("b.png: labels are 23x16, the picture is 24x16")


def test_label_above_150_is_refused(root):
    labels = _labels(1)
    labels[3, 4] = 200
    _write(root / "annotations/training/b.png", labels)
    assert _error(root).endswith("b.png: has label 200, allowed are 0..150")


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("palette", "mode P"),
        ("16 bit", "mode I;16B"),
        ("colour", "mode RGB"),
        ("1 bit", "mode 1"),
        ("4 bit", "mode L;4"),
        ("JPEG", "a file of JPEG"),
    ],
)
def test_annotation_that_is_not_an_8_bit_grey_png_is_refused(root, kind, found):
    path = root / "annotations/training/b.png"
    image = Image.fromarray(_labels(1))
    if kind == "palette":
        image.putpalette(bytes(range(256)) * 3)
    elif kind == "16 bit":
        image = Image.fromarray(_labels(1).astype(np.uint16))
    elif kind in ("colour", "1 bit"):
        image = image.convert({"colour": "RGB", "1 bit": "1"}[kind])
    if kind == "4 bit":
        path.write_bytes(_four_bit_png(_labels(1) % 16))
    else:
        image.save(path, "JPEG" if kind == "JPEG" else "PNG")
    assert _error(root).endswith(f"b.png: labels must be an 8-bit grey PNG, got {found}")


def _four_bit_png(array):
    """Return a PNG of 4-bit samples, which Pillow cannot write and reads multiplied by 17."""
    height, width = array.shape
    rows = (array[:, ::2] << 4 | array[:, 1::2]).astype(np.uint8)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 4, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(data)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def test_two_pictures_of_one_annotation_are_refused(root):
    _write(root / "images/training/c.png", _picture(9, 16, 30))
    expected = f"{root}/annotations/training/c.png: is the annotation of two pictures"
    assert _error(root) == expected


def test_pictures_of_more_than_8_bits_are_refused(root):
    path = root / "images/training/b.png"
    _write(path, np.full((16, 24), 40000, np.uint16))
    assert "b.png: has more than 8 bits a sample (I;16B)" in _error(root)
    path.write_bytes(imagecodecs.png_encode(np.full((16, 24, 3), 40000, np.uint16)))
    assert "b.png: has more than 8 bits a sample (RGB;16B)" in _error(root)


@pytest.mark.parametrize("size", [0, 100, 1500])
def test_broken_pictures_are_refused(root, size):
    jpeg = io.BytesIO()
    Image.fromarray(_picture(3, 64, 64)).save(jpeg, "JPEG")
    assert len(jpeg.getvalue()) > 1500
    (root / "images/training/c.jpg").write_bytes(jpeg.getvalue()[:size])
    assert "c.jpg: cannot be read as a picture: " in _error(root)
