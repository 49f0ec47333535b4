"""The whole codec, with the bundled weights.

`PAPERS` is the papers' design: CompNet's compact image without loss, and a residual on top.
"""

import dataclasses
import logging

import numpy as np
import pytest
from PIL import Image

import smapcomp
from smapcomp import metrics
from smapcomp.codec import api
from smapcomp.codec.bitstream.container import pack, unpack
from smapcomp.codec.layers.compact import decode_compact
from smapcomp.design import MODES, SCALES, dequantise_compact
from smapcomp.errors import (
    DigestMismatchError,
    LimitError,
    ModelMismatchError,
    PayloadError,
    SmapcompError,
    StreamError,
    TruncatedError,
)
from smapcomp.pictures.image_files import read_picture
from smapcomp.pictures.picture import Picture
from tests.helpers.paths import DEMO_PHOTO

PHOTO = read_picture(DEMO_PHOTO).samples


PAPERS = {"compact_coder": "jxl"}
EXIF = b"MM\0*\0\0\0\x08\0\0\0\0\0\0"
"""A TIFF header and a directory without entries."""


def piece(height: int, width: int, channels: int = 3) -> np.ndarray:
    """The upper left of the photograph."""
    return PHOTO[:height, :width, :channels].copy()


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 3), (1, 1, 1), (7, 9, 3), (8, 8, 3), (16, 16, 1), (17, 64, 3), (65, 33, 1), (1, 90, 3)],
)
def test_every_size_comes_back_near_the_original(shape):
    image = piece(*shape)
    decoded = smapcomp.decompress(smapcomp.compress(image, quality=95))
    assert decoded.shape == image.shape
    assert decoded.dtype == np.uint8
    assert metrics.psnr(image, decoded) > 36


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_decodes_to_what_the_encoder_predicted(mode):
    image = piece(72, 104)
    data = smapcomp.compress(image, quality=50, mode=mode, **PAPERS)
    stages = api.decode_stages(data)
    assert metrics.psnr(image, stages.reconstruction) > metrics.psnr(image, stages.prediction)
    facts = smapcomp.info(data)
    assert facts["mode"] == mode
    assert [layer["kind"] for layer in facts["layers"]] == (
        ["compact", "labels", "residual"] if mode == "sent" else ["compact", "residual"]
    )
    if mode == "none":
        assert stages.label_map is None
    else:
        assert stages.label_map.shape == image.shape[:2]
        assert 1 <= stages.label_map.min() <= stages.label_map.max() <= 150


def test_residual_quality_0_is_the_prediction_and_has_no_residual_layer():
    image = piece(64, 96)
    data = smapcomp.compress(image, quality=0, **PAPERS)
    stages = api.decode_stages(data)
    np.testing.assert_array_equal(stages.reconstruction, stages.prediction)
    assert [layer["kind"] for layer in smapcomp.info(data)["layers"]] == ["compact"]


@pytest.mark.parametrize("settings", [{}, PAPERS], ids=["default", "papers"])
def test_bytes_and_psnr_never_fall_as_quality_rises(settings):
    image = piece(128, 160)
    sizes, psnrs = [], []
    for quality in (0, 10, 25, 50, 75, 100):
        data = smapcomp.compress(image, quality=quality, speed=8, **settings)
        sizes.append(len(data))
        psnrs.append(metrics.psnr(image, smapcomp.decompress(data)))
    assert sizes == sorted(sizes)
    assert psnrs == sorted(psnrs)


def test_bytes_on_file_are_header_and_layers():
    data = smapcomp.compress(piece(40, 48), quality=40)
    facts = smapcomp.info(data)
    layers = sum(layer["bytes"] for layer in facts["layers"])
    assert facts["bytes"] == len(data) == facts["header_bytes"] + layers
    assert facts["bpp"] == pytest.approx(8 * len(data) / (40 * 48))


def test_the_prediction_beats_bicubic_upsampling_of_the_same_compact_image():
    data = smapcomp.compress(PHOTO, quality=0, **PAPERS)
    stream = unpack(data)
    levels = decode_compact(stream.layer("compact"), stream.compact_shape, stream.compact_step)
    compact = Image.fromarray(dequantise_compact(levels, stream.compact_step))
    height, width, _ = PHOTO.shape
    bicubic = np.asarray(compact.resize((width, height), Image.Resampling.BICUBIC))
    prediction = smapcomp.decompress(data)
    assert metrics.psnr(PHOTO, prediction) > metrics.psnr(PHOTO, bicubic) + 0.3


def test_grey_pictures_cost_one_channel():
    colour = piece(96, 128)
    grey = colour[..., 1:2]
    data = smapcomp.compress(grey, quality=60)
    assert smapcomp.info(data)["channels"] == 1
    assert len(data) < len(smapcomp.compress(colour, quality=60))
    np.testing.assert_array_equal(
        smapcomp.decompress(data), smapcomp.decompress(smapcomp.compress(grey[..., 0], quality=60))
    )


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("coder", ["av1", "jxl"])
def test_every_compact_layer_decodes_to_what_the_encoder_saw(coder, scale):
    image = piece(56, 72)
    quality = {} if coder == "jxl" else {"compact_quality": 80}
    data = smapcomp.compress(
        image, compact_coder=coder, compact_scale=scale, residual_quality=60, speed=8, **quality
    )
    facts = smapcomp.info(data)
    assert facts["compact_scale"] == scale
    assert facts["layers"][0]["coder"] == coder
    assert metrics.psnr(image, smapcomp.decompress(data)) > 30


def test_a_lossless_stream_gives_every_sample_back():
    for image in (piece(61, 83), piece(33, 20, 1)):
        data = smapcomp.compress(image, lossless=True, speed=8)
        assert smapcomp.info(data)["lossless"]
        np.testing.assert_array_equal(smapcomp.decompress(data), image)


def test_alpha_and_metadata_come_back_as_they_were():
    rng = np.random.default_rng(0)
    colour = piece(40, 48)
    alpha = rng.integers(256, size=(40, 48), dtype=np.uint8)
    for samples in (colour, colour[..., :1]):
        picture = Picture(samples, alpha, icc=None, exif=EXIF, xmp=b"<x:xmpmeta/>")
        data = smapcomp.compress(picture, speed=8)
        facts = smapcomp.info(data)
        assert facts["alpha"]
        assert facts["metadata"] == ["exif", "xmp"]
        decoded = smapcomp.decode(data)
        np.testing.assert_array_equal(decoded.alpha, alpha)
        assert (decoded.icc, decoded.exif, decoded.xmp) == (None, picture.exif, picture.xmp)
        array = smapcomp.decompress(data)
        np.testing.assert_array_equal(array[..., -1], alpha)
        assert array.shape[2] == samples.shape[2] + 1


def test_every_stage_can_be_had_alone():
    image = piece(64, 96)
    data = smapcomp.compress(image, quality=50, **PAPERS)
    stages = api.decode_stages(data)
    for stage, expected in (
        ("compact", stages.compact),
        ("prediction", stages.prediction),
        ("full", stages.reconstruction),
    ):
        np.testing.assert_array_equal(smapcomp.decompress(data, stage=stage), expected)
    with pytest.raises(SmapcompError, match="stage 'half' is unknown"):
        smapcomp.decompress(data, stage="half")


def test_a_stream_cut_off_behind_its_compact_layer_gives_the_prediction(caplog):
    image = piece(64, 96)
    # Another test of the same process may have raised the level.
    caplog.set_level(logging.WARNING, "smapcomp")
    for mode in ("mapped", "sent"):
        data = smapcomp.compress(image, quality=50, mode=mode, **PAPERS)
        facts = smapcomp.info(data)
        end = facts["header_bytes"] + facts["layers"][0]["bytes"]
        with pytest.raises(TruncatedError):
            smapcomp.decompress(data[:end])
        with pytest.raises(TruncatedError):
            smapcomp.decompress(data[: end - 1], allow_partial=True)
        caplog.clear()
        partial = smapcomp.decompress(data[:end], allow_partial=True)
        lost = "labels, residual" if mode == "sent" else "residual"
        assert caplog.messages == [f"the stream is cut off; without {lost}"]
        prediction = smapcomp.decompress(data, stage="prediction")
        if mode == "mapped":
            np.testing.assert_array_equal(partial, prediction)
        else:
            assert metrics.psnr(prediction, partial) > 30


def test_decoding_that_takes_too_long_is_given_up():
    data = smapcomp.compress(piece(32, 32), quality=10)
    with pytest.raises(LimitError, match="longer than 1e-09 seconds"):
        smapcomp.decompress(data, max_seconds=1e-9)


def test_pillow_images_and_arrays_give_the_same_stream():
    image = piece(32, 40)
    assert smapcomp.compress(Image.fromarray(image)) == smapcomp.compress(image)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quality": 101}, "quality 101"),
        ({"quality": 4.5}, "quality 4.5"),
        ({"mode": "best"}, "mode 'best'"),
        ({"variant": "huge"}, "variant 'huge'"),
        ({"compact_coder": "png"}, "compact_coder 'png'"),
        ({"residual_coder": "jpeg"}, "residual_coder 'jpeg'"),
        ({"compact_scale": 3}, "compact_scale 3"),
        ({"compact_quality": -1}, "compact_quality -1"),
        ({"residual_quality": 101}, "residual_quality 101"),
        ({"speed": 11}, "speed 11"),
        ({"compact_coder": "jxl", "compact_quality": 50}, "compact_quality 50 with the lossless"),
        ({"lossless": True, "residual_coder": "av1"}, "residual_coder 'av1' with lossless"),
        ({"lossless": True, "target_psnr": 40.0}, "target_psnr with lossless"),
        ({"target_psnr": 40.0, "target_bpp": 1.0}, "together"),
        ({"target_ms_ssim": 1.5}, "target_ms_ssim 1.5"),
        ({"target_bytes": 0}, "target_bytes 0"),
        ({"variant": "paper"}, "no weights for variant 'paper'"),
        ({"weights_dir": "nowhere"}, "nowhere"),
        ({"max_pixels": 100}, "100"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(SmapcompError, match=message):
        smapcomp.compress(piece(16, 16), **arguments)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 5), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros(8, np.uint8),
        Image.new("F", (8, 8)),
    ],
)
def test_wrong_pictures_are_refused(image):
    with pytest.raises(SmapcompError):
        smapcomp.compress(image)


def changed(data: bytes, **changes) -> bytes:
    return pack(dataclasses.replace(unpack(data), **changes))


def test_streams_of_other_weights_arithmetic_or_size_are_refused():
    data = smapcomp.compress(piece(40, 40), quality=20, **PAPERS)
    with pytest.raises(ModelMismatchError, match="0000000000000001"):
        smapcomp.decompress(changed(data, model_digest=bytes(7) + b"\1"))
    with pytest.raises(DigestMismatchError, match="prediction"):
        smapcomp.decompress(changed(data, prediction_digest=bytes(8)))
    with pytest.raises(LimitError):
        smapcomp.decompress(data, max_pixels=1000)
    with pytest.raises(PayloadError):
        smapcomp.decompress(changed(data, width=4000, height=4000))
    with pytest.raises(StreamError):
        smapcomp.decompress(changed(data, channels=1))
