"""All sources give the same tensors for the same pictures, and errors that tell what is wrong."""

import hashlib
import http.server
import json
import shutil
import socket
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import data
from data.preparation import shards
from data.sources import kodak, records, scene_parse
from data.sources.manifest import FILE
from smapcomp.ade20k import CLASS_NAMES, INSTANCE_LABELS
from tests.helpers.pictures import (
    block_labels,
    encode_image,
    smooth_picture,
    write_labelled_pictures,
)


def _examples(spec, split="training", **options):
    with data.clear_errors():
        return list(data.load(str(spec), split, **options).as_numpy_iterator())


def _error(spec, split="training", **options):
    with pytest.raises(data.DataError) as caught:
        _examples(spec, split, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _require_same(got, expected, names=True):
    assert len(got) == len(expected) > 0
    for one, other in zip(got, expected, strict=True):
        assert one.keys() == other.keys()
        for key in one.keys() - (set() if names else {"name"}):
            np.testing.assert_array_equal(one[key], other[key], strict=True)


def _by_content(examples):
    """Sort examples by their pictures, since TFDS has an order of its own and no names."""
    return sorted(examples, key=lambda e: (e["image"].shape, e["image"].tobytes()))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of twelve labelled pictures in each split."""
    root = tmp_path_factory.mktemp("ade")
    write_labelled_pictures(root)
    write_labelled_pictures(root, "validation")
    return root


@pytest.fixture(scope="module")
def expected(root):
    """The training examples as Pillow reads them."""
    found = []
    for path in sorted((root / "images/training").iterdir()):
        label_map = root / "annotations/training" / f"{path.stem}.png"
        with Image.open(path) as image, Image.open(label_map) as labels:
            found.append(
                {
                    "image": np.asarray(image.convert("RGB")),
                    "label_map": np.asarray(labels),
                    "name": path.stem.encode(),
                }
            )
    return found


def _records(source_root, folder, encoding, split="training", size=None):
    """Write records without a Beam pipeline."""
    source = data.open_source(str(source_root), split)
    folder.mkdir()
    settings = shards.RecordSettings(size, encoding, "annotations" if source.labelled else "none")
    tasks = shards.plan_shards(str(folder), split or "pictures", len(source), 5)
    results = [shards.write_shard(task, source, settings) for task in tasks]
    made = shards.build_manifest(str(source_root), split, settings, source, results)
    (folder / FILE).write_text(made.dumps())
    return folder


def test_folder_gives_what_pillow_reads(root, expected):
    assert len(expected) == 12
    _require_same(_examples(root), expected)


@pytest.mark.parametrize("encoding", records.ENCODINGS)
def test_records_give_what_their_source_gave(root, expected, tmp_path, encoding):
    folder = _records(root, tmp_path / "records", encoding)
    assert len(list(folder.glob("*.tfrecord"))) == 3
    _require_same(_examples(folder), expected)
    without = [{k: v for k, v in e.items() if k != "label_map"} for e in expected]
    _require_same(_examples(folder, labels=False), without)


def test_records_keep_files_except_those_that_tensorflow_cannot_read(tmp_path):
    rgb = encode_image(smooth_picture(1, 32, 48), "JPEG", quality=90)
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "rgb.jpg").write_bytes(rgb)
    (folder / "webp.png").write_bytes(encode_image(smooth_picture(2, 32, 48), "WEBP"))
    prepared = _records(folder, tmp_path / "records", "file", split=None)
    _require_same(_examples(prepared, None), _examples(folder, None))
    source = data.open_source(str(prepared))
    files = {source.name(i): source.image_file(i) for i in range(2)}
    assert files["rgb"] == rgb
    assert files["webp"].startswith(b"\x89PNG")


def test_folder_of_pictures_alone_gives_them_without_labels(root, expected):
    without = [{k: v for k, v in e.items() if k != "label_map"} for e in expected]
    _require_same(_examples(root / "images/training", None), without)


@pytest.fixture
def tfds_dir(root, tmp_path, monkeypatch):
    """A folder for TFDS, whose builder reads the pictures of `root` instead of a download."""
    import tensorflow_datasets as tfds

    challenge = tmp_path / "challenge"
    shutil.copytree(root / "images", challenge / "images")
    shutil.copytree(root / "annotations", challenge / "annotations_instance")
    folders = {"images": str(challenge), "annotations": str(challenge)}
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda *_: folders)
    monkeypatch.setattr(scene_parse, "_require_answer", lambda *_: None)
    return tmp_path / "tfds"


def test_tfds_gives_the_same_pictures_and_labels(tfds_dir, expected):
    found = _examples(f"tfds:scene_parse150:{tfds_dir}")
    _require_same(_by_content(found), _by_content(expected), names=False)
    assert [e["name"] for e in found] == [b"scene_parse150-training-%05d" % i for i in range(12)]
    assert len(_examples(f"tfds:scene_parse150:{tfds_dir}", "validation", labels=False)) == 12


def test_records_prepared_from_tfds_give_the_same(tfds_dir, expected, tmp_path):
    folder = _records(f"tfds:scene_parse150:{tfds_dir}", tmp_path / "records", "file")
    _require_same(_by_content(_examples(folder)), _by_content(expected), names=False)


def test_tfds_instances_become_the_labels_of_the_same_names(root, tfds_dir, tmp_path):
    folder = tmp_path / "challenge/annotations_instance/training"
    kinds = {}
    for number, path in enumerate(sorted(folder.iterdir())):
        with Image.open(path) as labels:
            width, height = labels.size
        red = block_labels(number, height, width, 101)
        instances = np.stack([red, block_labels(99, height, width), np.zeros_like(red)], -1)
        path.write_bytes(encode_image(instances))
        kinds[height, width] = red
    for example in _examples(f"tfds:scene_parse150:{tfds_dir}"):
        red = kinds[example["label_map"].shape]
        np.testing.assert_array_equal(example["label_map"], INSTANCE_LABELS[red])
    # These are from the list of 100 kinds that the challenge published.
    for kind, name in {1: "bed", 4: "person", 9: "car", 40: "book", 82: "animal"}.items():
        assert CLASS_NAMES[INSTANCE_LABELS[kind]] == name
    assert INSTANCE_LABELS[0] == 0
    assert CLASS_NAMES[INSTANCE_LABELS[100]] == "flag"


def test_tfds_without_data_or_network_is_an_error_of_one_line(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def offline(*_):
        raise ConnectionError("Failed to establish a new connection\nwith a long story")

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", offline)
    monkeypatch.setattr(scene_parse, "_require_answer", lambda *_: None)
    message = _error(f"tfds:scene_parse150:{tmp_path}")
    assert "cannot be prepared: Failed to establish a new connection" in message
    assert "data set 'voc' of TFDS is unknown; allowed: scene_parse150" in _error("tfds:voc")
    message = _error("tfds:scene_parse150", "test")
    assert message.endswith("split 'test' is unknown; allowed: training, validation")


def test_tfds_gives_up_when_the_server_cannot_be_reached(tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setattr(scene_parse, "URL", f"http://127.0.0.1:{port}/images.tar")
    message = _error(f"tfds:scene_parse150:{tmp_path}")
    assert message.startswith(f"tfds:scene_parse150: not in {tmp_path}/scene_parse150/1.0.0 and")
    assert "cannot be downloaded: 127.0.0.1: [Errno 111] Connection refused" in message
    assert list(tmp_path.iterdir()) == []


def test_tfds_gives_up_when_the_server_does_not_answer():
    with socket.socket() as silent:  # accepts connections and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/images.tar"
        start = time.monotonic()
        with pytest.raises(data.DataError, match=r"problem: 127\.0\.0\.1: (no answer|timed out)"):
            scene_parse._require_answer(url, "problem", seconds=0.5)
        assert time.monotonic() - start < 5


def test_tfds_goes_on_when_the_server_answers_or_the_archives_are_there(tmp_path):
    handler = http.server.SimpleHTTPRequestHandler
    server = http.server.HTTPServer(("127.0.0.1", 0), lambda *a: handler(*a, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/missing.tar"
    scene_parse._require_answer(url, "problem")  # it answers 404
    server.shutdown()
    server.server_close()
    folder = tmp_path / "downloads"
    folder.mkdir()
    for name in ("scenep.csail.mit.edu_Challe_images", "scenep.csail.mit.edu_Challe_annotations"):
        assert not scene_parse._is_downloaded(str(tmp_path))
        (folder / f"{name}.tar").write_bytes(b"")
    assert scene_parse._is_downloaded(str(tmp_path))


@pytest.fixture
def kodak_pictures(tmp_path, monkeypatch):
    """A folder of 24 pictures, with their SHA-256 sums in place of the published ones."""
    folder = tmp_path / "published"
    folder.mkdir()
    for number, name in enumerate(kodak.NAMES):
        (folder / name).write_bytes(encode_image(smooth_picture(number, 16, 24)))
    sums = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in kodak.NAMES]
    monkeypatch.setattr(kodak, "SHA256", tuple(sums))
    return folder


def test_kodak_gives_what_a_folder_of_its_pictures_gives(kodak_pictures):
    found = _examples(f"kodak:{kodak_pictures}", None)
    assert [e["name"] for e in found] == [name[:-4].encode() for name in kodak.NAMES]
    _require_same(found, _examples(kodak_pictures, None))


def test_kodak_is_downloaded_checked_and_then_read_from_the_cache(
    kodak_pictures, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    handler = type(
        "Handler",
        (http.server.SimpleHTTPRequestHandler,),
        {
            "__init__": lambda self, *args: http.server.SimpleHTTPRequestHandler.__init__(
                self, *args, directory=str(kodak_pictures)
            ),
            "log_message": lambda *_: None,
        },
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        monkeypatch.setattr(kodak.download, "__defaults__", (url,))
        good = (kodak_pictures / "kodim07.png").read_bytes()
        (kodak_pictures / "kodim07.png").write_bytes(good + b"changed")
        assert "kodim07.png: its SHA-256 is " in _error("kodak", None)
        cache = tmp_path / "cache/smapcomp/kodak"
        assert sorted(p.name for p in cache.iterdir()) == list(kodak.NAMES[:6])
        (kodak_pictures / "kodim07.png").write_bytes(good)
        found = _examples("kodak", None)
        server.shutdown()
    _require_same(found, _examples(kodak_pictures, None))
    _require_same(_examples("kodak", None), found)  # without a server
    (cache / "kodim24.png").unlink()
    message = _error("kodak", None)
    assert "kodim24.png: cannot be downloaded" in message
    assert message.endswith("--kodak_dir takes a folder of kodim01.png to kodim24.png")


def test_kodak_is_refused_for_training_and_with_labels(kodak_pictures):
    spec = f"kodak:{kodak_pictures}"
    assert _error(spec, None, shuffle_seed=1).endswith("for evaluation, never for training")
    assert _error(spec, None, labels=True).endswith("the Kodak pictures have no labels")
    assert _error(spec, "training").endswith("have no split 'training'")
    (kodak_pictures / "kodim03.png").unlink()
    assert "kodim03.png: missing; the set is kodim01.png to kodim24.png" in _error(spec, None)


def test_shuffled_records_have_the_order_of_the_shuffled_folder(root, tmp_path):
    folder = _records(root, tmp_path / "records", "raw")

    def names(spec, **options):
        stream = data.load(str(spec), "training", shuffle_seed=5, **options).take(30)
        return [e["name"] for e in stream.as_numpy_iterator()]

    assert names(folder) == names(root)
    assert names(folder, start=7) == names(root, start=7)


def test_element_spec_of_resized_records_has_their_size(root, tmp_path):
    folder = _records(root, tmp_path / "records", "raw", size=16)
    spec = data.load(str(folder), "training").element_spec
    assert spec["image"].shape.as_list() == [16, 16, 3]
    assert spec["label_map"].shape.as_list() == [16, 16]


def test_damaged_and_missing_shards_are_refused(root, tmp_path):
    folder = _records(root, tmp_path / "records", "raw")
    shard = sorted(folder.glob("*.tfrecord"))[1]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-5])
    wrong = f"{len(whole) - 5} bytes; the manifest says {len(whole)} bytes"
    assert _error(folder) == f"{shard}: {wrong}"
    shard.unlink()
    assert f"{shard}: missing; the manifest says" in _error(folder)
    shard.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    assert _error(folder).startswith("damaged record: ")
    shard.write_bytes(whole[:-5])
    with pytest.raises(data.DataError, match=r"ends within the record at byte"):
        records.record_offsets(str(shard))


def test_manifests_of_another_format_are_refused(root, tmp_path):
    folder = _records(root, tmp_path / "records", "raw")
    facts = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(facts | {"format": "smapcomp records 2"}))
    assert "format 'smapcomp records 2' is not 'smapcomp records 1'" in _error(folder)
    (folder / FILE).write_text("{}")
    assert _error(folder).endswith("is not a manifest of data.prepare (KeyError('format'))")


def test_splits_and_labels_that_records_lack_are_refused(root, tmp_path):
    folder = _records(root, tmp_path / "records", "raw")
    assert _error(folder, "validation").endswith("holds split 'training', not 'validation'")
    plain = _records(root / "images/training", tmp_path / "plain", "raw", split=None)
    assert _error(plain, None, labels=True) == f"{plain}: was prepared without labels"
    both = tmp_path / "both"
    both.mkdir()
    folder.rename(both / "training")
    assert len(_examples(both)) == 12
    assert _error(both, None) == f"{both}: no split is chosen; allowed: training"
    assert _error(both, "test") == f"{both}: split 'test' is unknown; allowed: training"


def test_source_splits_lists_the_splits_of_every_kind_of_source(root, tmp_path):
    assert data.source_splits(str(root)) == ["training", "validation"]
    assert data.source_splits("kodak") == [None]
    assert data.source_splits("tfds:scene_parse150") == list(scene_parse.SPLITS)
    folder = tmp_path / "records"
    folder.mkdir()
    _records(root, folder / "validation", "raw", split="validation")
    assert data.source_splits(str(folder)) == ["validation"]
    assert data.source_splits(str(root / "images/training")) == [None]
    with pytest.raises(data.DataError, match="nowhere: no such folder"):
        data.source_splits("nowhere")


def test_equal_examples_give_equal_records_with_names_in_utf_8(tmp_path):
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    labels = rng.integers(0, 151, (9, 7), dtype=np.uint8)
    example = {"name": "näme".encode(), "image": image, "label_map": labels}
    for encoding in records.ENCODINGS:
        first, second = (records.encode_record(example, encoding, b"no picture") for _ in range(2))
        assert first == second
        features = tf.train.Example.FromString(first).features.feature
        assert features["name"].bytes_list.value[0].decode() == "näme"
