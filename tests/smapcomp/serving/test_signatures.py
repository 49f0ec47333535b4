"""The signatures of an exported model return the same bits as the predictors of this process.

The model is called in a process that can import neither smapcomp nor Keras.
"""

import hashlib
import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from smapcomp import export, zoo
from smapcomp.ade20k import CLASS_NAMES, PALETTE
from smapcomp.codec.layers.compact import downsampled
from smapcomp.codec.layers.reconstruction import grey_of
from smapcomp.design import dequantise_compact, pad_picture
from smapcomp.pictures.image_files import read_picture
from smapcomp.predictors.base import Compact
from smapcomp.predictors.engines import load_predictor
from smapcomp.serving.messages import bytes_array
from tests.helpers.jobs import run_job
from tests.helpers.paths import ROOT
from tests.helpers.pngs import decode_png, encode_png

PHOTO = read_picture(ROOT / "docs" / "demo" / "photo.png").samples
PICTURES = [PHOTO[10:57, 20:111], PHOTO[:120, :136], PHOTO[:9, :21], PHOTO[:40, :43, :1]]

# Picture, compact scale, quality of the compact image (-1: lossless), mode.
WINDOWS = [
    (0, 1, 50, "mapped"),
    (1, 2, 7, "matched"),
    (2, 4, 100, "none"),
    (3, 8, 0, "mapped"),
    (1, 8, -1, "mapped"),
    (0, 1, -1, "sent"),
    (1, 1, 33, "sent"),
]


def call_in_isolation(model: Path, calls: list, folder: Path) -> list[dict]:
    """Return the outputs of `(signature, inputs)` pairs, called in another process."""
    (folder / "requests").write_bytes(pickle.dumps(calls))
    script = ROOT / "tests" / "helpers" / "isolated_client.py"
    words = [sys.executable, "-I", script, model, folder / "requests", folder / "results"]
    result = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return pickle.loads((folder / "results").read_bytes())


def to_rgb(samples: np.ndarray) -> np.ndarray:
    return np.repeat(samples, 3, axis=-1) if samples.shape[2] == 1 else samples


def compact_for(picture: int, scale: int, quality: int) -> Compact:
    image = to_rgb(downsampled(pad_picture(PICTURES[picture]), scale))
    return Compact(image, scale, None if quality < 0 else quality)


def labels_to_send(picture: int, mode: str, stride: int) -> np.ndarray | None:
    """Return random labels in mode "sent", except for picture 0, whose labels are computed."""
    if mode != "sent" or picture == 0:
        return None
    height, width = pad_picture(PICTURES[picture]).shape[:2]
    rng = np.random.default_rng(7)
    return rng.integers(151, size=(height // stride, width // stride), dtype=np.uint8)


def window_inputs(stride: int) -> dict[str, np.ndarray]:
    pictures, scales, qualities, modes = zip(*WINDOWS, strict=True)
    labels = [labels_to_send(p, mode, stride) for p, mode in zip(pictures, modes, strict=True)]
    compacts = [compact_for(*window[:3]).image for window in WINDOWS]
    return {
        "compact_bytes": bytes_array(*map(encode_png, compacts)),
        "label_grid_bytes": bytes_array(*(b"" if x is None else encode_png(x) for x in labels)),
        "scale": np.array(scales, np.int32),
        "quality": np.array(qualities, np.int32),
        "mode": bytes_array(*(mode.encode() for mode in modes)),
    }


def parse_floats(data: bytes) -> np.ndarray:
    return tf.io.parse_tensor(data, tf.float32).numpy()


def encode_jpeg(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "JPEG", quality=80, subsampling=2)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Model of the bundled weights: folder, outputs, dense input, and the reference predictor."""
    folder = tmp_path_factory.mktemp("real")
    out = folder / "smapcomp" / "1"
    run_job(export, f"--out={out}")
    dense = np.stack([compact_for(1, 8, -1).image, compact_for(1, 8, -1).image[::-1]])
    alpha = np.concatenate([PICTURES[0], PICTURES[0][..., :1]], axis=-1)
    calls = [
        ("analyze", {"picture_bytes": bytes_array(*map(encode_png, PICTURES))}),
        ("segment", {"picture_bytes": bytes_array(encode_png(PICTURES[3]), encode_png(alpha))}),
        ("predict", window_inputs(8)),
        ("predict_values", window_inputs(8)),
        (
            "predict_tensors",
            {
                "compact": dense,
                "scale": np.array([8, 8], np.int32),
                "quality": np.array([-1, 40], np.int32),
                "mode": bytes_array(b"mapped", b"none"),
            },
        ),
        (
            "compact",
            {"picture_bytes": bytes_array(encode_jpeg(PHOTO[:24, :88]), encode_png(PICTURES[2]))},
        ),
        (
            "upsample",
            {
                "compact_bytes": bytes_array(encode_png(dense[0]), encode_png(PICTURES[1])),
                "scale": np.array([8, 1], np.int32),
            },
        ),
        ("describe", {"role": bytes_array(b"finenet_x1", b"finenet")}),
    ]
    found = call_in_isolation(out, calls, folder)
    outputs = {name: result for (name, _), result in zip(calls, found, strict=True)}
    return out, outputs, dense, load_predictor("lite", None, "tensorflow")


def test_analyze_gives_what_the_encoder_computes_for_pictures_of_any_size(real):
    _, outputs, _, predictor = real
    found = outputs["analyze"]
    for index, picture in enumerate(PICTURES):
        height, width, channels = picture.shape
        levels = predictor.compact_levels(to_rgb(pad_picture(picture)), grey=channels == 1)
        compact = dequantise_compact(levels, predictor.variant.step)
        grid, prediction = predictor.predict(Compact(to_rgb(compact), 8, None), "mapped")
        prediction = prediction[:height, :width]
        prediction = grey_of(prediction)[..., 0] if channels == 1 else prediction
        compact = compact[..., 0] if channels == 1 else compact
        np.testing.assert_array_equal(decode_png(found["compact_bytes"][index]), compact)
        np.testing.assert_array_equal(decode_png(found["label_grid_bytes"][index]), grid)
        np.testing.assert_array_equal(decode_png(found["prediction_bytes"][index]), prediction)
        label_map = grid.repeat(8, 0).repeat(8, 1)[:height, :width]
        np.testing.assert_array_equal(decode_png(found["label_map_bytes"][index]), label_map)
        assert (found["height"][index], found["width"][index]) == (height, width)
        for name, samples in (
            ("compact", compact),
            ("label_grid", grid),
            ("prediction", prediction),
        ):
            expected = bytes(tf.fingerprint(samples.reshape(1, -1)).numpy()[0]).hex()
            assert found[f"{name}_fingerprint"][index].decode() == expected


def test_segment_gives_the_label_map_of_the_picture_and_ignores_alpha(real):
    _, outputs, _, predictor = real
    found = outputs["segment"]
    for index, picture in enumerate((PICTURES[3], PICTURES[0])):
        grid = predictor.source_labels(to_rgb(pad_picture(picture)))
        np.testing.assert_array_equal(decode_png(found["label_grid_bytes"][index]), grid)
        label_map = grid.repeat(8, 0).repeat(8, 1)[: picture.shape[0], : picture.shape[1]]
        np.testing.assert_array_equal(decode_png(found["label_map_bytes"][index]), label_map)


def test_predict_gives_the_decoders_prediction_at_every_scale_quality_and_mode(real):
    _, outputs, _, predictor = real
    for index, (picture, scale, quality, mode) in enumerate(WINDOWS):
        compact = compact_for(picture, scale, quality)
        labels = labels_to_send(picture, mode, 8)
        grid, values = predictor.predict_window(compact, mode, labels, unrounded=True)
        _, prediction = predictor.predict(compact, mode, labels)
        exact = parse_floats(outputs["predict_values"]["values_bytes"][index])
        np.testing.assert_array_equal(exact, values)
        found = outputs["predict"]
        np.testing.assert_array_equal(decode_png(found["prediction_bytes"][index]), prediction)
        grid = np.zeros_like(decode_png(found["label_grid_bytes"][index])) if grid is None else grid
        for name in ("predict", "predict_values"):
            np.testing.assert_array_equal(
                decode_png(outputs[name]["label_grid_bytes"][index]), grid
            )


def test_predict_tensors_gives_what_predict_gives_for_each_picture(real):
    _, outputs, dense, predictor = real
    found = outputs["predict_tensors"]
    for index, (quality, mode) in enumerate([(None, "mapped"), (40, "none")]):
        grid, prediction = predictor.predict(Compact(dense[index], 8, quality), mode)
        np.testing.assert_array_equal(found["prediction"][index], prediction)
        expected = np.zeros((prediction.shape[0] // 8, prediction.shape[1] // 8)) if index else grid
        np.testing.assert_array_equal(found["label_grid"][index], expected)


def test_compact_and_upsample_give_exact_values_and_jpeg_is_decoded_as_pillow_does(real):
    _, outputs, dense, predictor = real
    decoded = np.asarray(Image.open(io.BytesIO(encode_jpeg(PHOTO[:24, :88]))))
    for index, picture in enumerate((decoded, pad_picture(PICTURES[2]))):
        found = parse_floats(outputs["compact"]["values_bytes"][index])
        np.testing.assert_array_equal(found, predictor.run_compnet(picture))
    for index, (image, scale) in enumerate([(dense[0], 8), (PICTURES[1], 1)]):
        found = parse_floats(outputs["upsample"]["values_bytes"][index])
        np.testing.assert_array_equal(found, predictor.upsample(image, scale))


def test_describe_gives_the_model_digest_of_the_stream_header(real):
    out, outputs, _, predictor = real
    found = outputs["describe"]
    roles = ("finenet_x1", "finenet")
    expected = [predictor.networks.digest(role).hex().encode() for role in roles]
    assert found["digest"].tolist() == expected
    assert found["variant"].tolist() == [b"lite", b"lite"]
    assert found["precision"].tolist() == [b"float32", b"float32"]
    facts = json.loads((out / "assets" / "model.json").read_text())
    assert facts["digests"]["finenet_x1"] == expected[0].decode()
    assert set(facts["digests"]) == {"finenet", *zoo.LOSSY_FINENETS}


def test_analyze_is_the_default_signature(light_model):
    signatures = tf.saved_model.load(light_model.folder / "1").signatures
    picture = tf.constant(bytes_array(encode_png(PICTURES[2])))
    default, named = (
        signatures[name](picture_bytes=picture) for name in ("serving_default", "analyze")
    )
    assert default.keys() == named.keys()
    for name, value in named.items():
        np.testing.assert_array_equal(default[name], value)


def test_class_names_and_palette_are_assets(light_model):
    assets = light_model.folder / "1" / "assets"
    assert (assets / "classes.txt").read_text().splitlines() == list(CLASS_NAMES)
    palette = np.loadtxt(assets / "palette.txt", dtype=np.uint8)
    np.testing.assert_array_equal(palette, PALETTE)


def test_a_bfloat16_model_has_digests_of_its_own(light_model, tmp_path):
    from smapcomp.serving.saved_model import write_model

    facts = write_model(tmp_path / "1", light_model.networks, "bfloat16")
    for role, digest in facts["digests"].items():
        own = light_model.networks.digest(role)
        assert digest == hashlib.sha256(b"bfloat16\0" + own).digest()[:8].hex()


def test_a_version_is_replaced_only_with_overwrite_and_never_partially_written(
    light_model, tmp_path, monkeypatch, capsys
):
    from smapcomp.serving import saved_model

    def failed(words: list, message: str) -> None:
        with pytest.raises(SystemExit):
            run_job(export, *words)
        assert message in capsys.readouterr().err

    monkeypatch.setattr(saved_model, "build_signatures", lambda *_: pytest.fail("must not start"))
    failed([f"--out={light_model.folder / '1'}"], "this version exists; --overwrite replaces it")
    failed([f"--out={tmp_path / 'lite'}"], "the last folder is the version")
    failed([f"--out={tmp_path / '0'}"], "the last folder is the version")
    (tmp_path / "7").write_text("")
    failed([f"--out={tmp_path / '7'}"], "exists and is not a folder")
    failed([f"--out={tmp_path / '1'}", "--variant=paper"], "no weights for variant 'paper'")
    monkeypatch.undo()

    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "old").write_text("")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    # The contents of the model do not matter here.
    small = tf.function(lambda role: {"length": tf.strings.length(role)}).get_concrete_function(
        tf.TensorSpec((None,), tf.string)
    )
    signatures = tf.Module(), {"serving_default": small}
    monkeypatch.setattr(saved_model, "build_signatures", lambda *_: signatures)
    with monkeypatch.context() as patch:
        patch.setattr(saved_model, "write_warmup", full_disk)
        with pytest.raises(ValueError, match="No space left on device"):
            saved_model.write_model(tmp_path / "2", light_model.networks, "float32", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "7"]
    assert (tmp_path / "2" / "old").exists()
    saved_model.write_model(tmp_path / "2", light_model.networks, "float32", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "7"]
    assert (tmp_path / "2" / "saved_model.pb").exists()
    assert not (tmp_path / "2" / "old").exists()
