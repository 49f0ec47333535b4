"""Large pictures, made of tiles and blocks: here small ones, with smaller tiles and blocks."""

import numpy as np
import pytest

import smapcomp
from smapcomp.codec import api as codec
from smapcomp.codec import layered_encoder
from smapcomp.codec.bitstream.container import unpack
from smapcomp.codec.decoder import StreamDecoder
from smapcomp.codec.layers import blocks
from smapcomp.design import Tiling
from smapcomp.pictures.image_files import read_picture
from smapcomp.predictors.tiles import DEFAULT_TILING, choose_tiling
from tests.helpers.paths import ROOT

PHOTO = read_picture(ROOT / "docs" / "demo" / "photo.png").samples
IMAGE = PHOTO[:300, :411].copy()
TILING = Tiling(160, 64)
SETTINGS = {
    "default": {"quality": 40, "speed": 9},
    "papers": {"quality": 30, "speed": 9, "compact_coder": "jxl"},
    "sent": {"quality": 40, "speed": 9, "mode": "sent"},
    "lossless": {"lossless": True, "speed": 9},
}


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(layered_encoder, "choose_tiling", lambda height, width: TILING)
    monkeypatch.setattr(blocks, "MAX_WHOLE", 1 << 14)
    monkeypatch.setattr(blocks, "BLOCK_SIDE", 128)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_tiled_picture_decodes_to_what_the_encoder_predicted(settings):
    data = smapcomp.compress(IMAGE, **settings)
    assert smapcomp.info(data)["tiles"] == [160, 64]
    decoded = smapcomp.decompress(data)
    assert decoded.shape == IMAGE.shape
    if settings.get("lossless"):
        np.testing.assert_array_equal(decoded, IMAGE)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("settings", [SETTINGS["default"], SETTINGS["papers"]])
def test_networks_see_no_more_than_a_tile(settings, monkeypatch):
    predictor = codec.load_predictor("lite")
    run, sides = predictor._run, []

    def spy(role, *inputs):
        sides.extend(inputs[0].shape[1:3])
        return run(role, *inputs)

    monkeypatch.setattr(predictor, "_run", spy)
    smapcomp.compress(IMAGE, **settings)
    assert len(sides) > 10
    assert max(sides) == TILING.side


@pytest.mark.parametrize("settings", [SETTINGS["default"], SETTINGS["papers"]])
def test_no_step_shows_where_tiles_meet(settings):
    """The tiled prediction differs from the whole one, but not in steps along the joints.

    Exact networks round their activations, so what a window does not see changes values by a step
    or nothing: about a quarter of a grey level along a column, where float networks have 0.17.
    """
    predictor = codec.load_predictor("lite")
    image = PHOTO[:304, :504]
    decoder = StreamDecoder(predictor, unpack(smapcomp.compress(image, **settings)))
    compact = decoder.compact()
    _, whole = predictor.predict(compact, "mapped")
    # The overlap of the real ones.
    tiling = Tiling(256, DEFAULT_TILING.overlap)
    _, tiled = predictor.predict(compact, "mapped", tiling=tiling)
    steps = np.abs(np.diff(tiled.astype(float) - whole, axis=1)).mean((0, 2))
    joints = np.concatenate([np.arange(start, start + 128) for start in (128, 256)])
    assert steps[joints].max() < 0.08 * np.abs(np.diff(whole.astype(float), axis=1)).mean()
    assert steps[joints].max() < 0.08 * np.abs(image - whole.astype(float)).mean()


def test_pictures_of_two_megapixels_are_cut():
    assert choose_tiling(1024, 1024) is None
    assert choose_tiling(4096, 4096) == Tiling(1024, 128)
