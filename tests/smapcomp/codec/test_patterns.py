"""Synthetic patterns, which networks that were trained on photographs could destroy."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw

import smapcomp
from smapcomp import metrics
from tests.helpers.paths import ROOT

TRIALS = ROOT / "tests" / "trials"
HEIGHT, WIDTH = 96, 160
Y, X = np.mgrid[:HEIGHT, :WIDTH]
BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) * 16 + 8
QUALITIES = (0, 10, 25, 40, 55, 70, 85, 100)
VISUALLY_LOSSLESS = 42.0
"""PSNR in dB above which differences are invisible; more quality need not raise it."""


def grey(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)


def text() -> np.ndarray:
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    for row in range(0, HEIGHT, 12):
        ImageDraw.Draw(image).text((2, row), "The quick brown fox jumps over", fill=(row, 0, 120))
    return np.asarray(image)


def noise(channels: int) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, channels), dtype=np.uint8)
    return values.repeat(3 // channels, 2)


PATTERNS = {
    "checkerboard": grey((X + Y) % 2 * 255),
    "coarse checkerboard": grey((X // 2 + Y // 2) % 2 * 255),
    "stripes": grey(X % 2 * 255),
    "stripes of three": grey(Y // 3 % 2 * 255),
    "colour noise": noise(3),
    "grey noise": noise(1),
    "zone plate": grey(127.5 + 127.5 * np.cos((X**2 + Y**2) / 200)),
    "ordered dither": grey(255 * (BAYER[Y % 4, X % 4] < X * 255 / WIDTH)),
    "random dither": grey(255 * (np.random.default_rng(1).random(X.shape) * WIDTH < X)),
    "flat colour": np.full((HEIGHT, WIDTH, 3), (200, 90, 30), np.uint8),
    "gradient": grey(X * 255 / WIDTH),
    "text": text(),
}


@pytest.fixture(scope="module")
def coded() -> dict[str, list[tuple[int, float, float]]]:
    """Bytes, PSNR and PSNR of the compact stage, for each pattern and quality."""
    found = {}
    for name, picture in PATTERNS.items():
        found[name] = []
        for quality in QUALITIES:
            data = smapcomp.compress(picture, quality=quality, speed=9)
            full, compact = (
                metrics.psnr(picture, smapcomp.decompress(data, stage=stage))
                for stage in ("full", "compact")
            )
            found[name].append((len(data), full, compact))
    return found


@pytest.mark.parametrize("name", PATTERNS)
def test_the_networks_never_make_a_picture_worse(coded, name):
    for _, full, compact in coded[name]:
        assert full >= compact - 0.05


@pytest.mark.parametrize("name", PATTERNS)
def test_more_quality_is_never_a_worse_picture(coded, name):
    values = [min(full, VISUALLY_LOSSLESS) for _, full, _ in coded[name]]
    assert all(after >= before - 0.05 for before, after in pairwise(values))


@pytest.mark.parametrize("name", PATTERNS)
def test_the_highest_quality_is_visually_lossless(coded, name):
    assert coded[name][-1][1] >= VISUALLY_LOSSLESS


@pytest.mark.parametrize("name", ["flat colour", "stripes", "checkerboard", "ordered dither"])
def test_a_picture_of_few_colours_costs_no_more_than_its_lossless_form(coded, name):
    lossless = len(smapcomp.compress(PATTERNS[name], lossless=True))
    assert all(size <= lossless for size, _, _ in coded[name])


@pytest.mark.parametrize("name", ["checkerboard", "grey noise", "zone plate"])
@pytest.mark.parametrize("options", [{"compact_coder": "jxl"}, {"compact_scale": 2}])
def test_every_design_decodes_to_what_the_encoder_saw(name, options):
    data = smapcomp.compress(PATTERNS[name], quality=40, speed=9, **options)
    picture = smapcomp.decompress(data)  # raises if a digest differs
    compact = smapcomp.decompress(data, stage="compact")
    assert metrics.psnr(PATTERNS[name], picture) >= metrics.psnr(PATTERNS[name], compact) - 0.05


@pytest.mark.parametrize(
    ("name", "limit"), [("dithered_1bit.png", 40.0), ("noise_rgb.png", 40.0), ("text.png", 60.0)]
)
def test_pictures_that_were_destroyed_at_the_highest_quality_are_not(name, limit):
    picture = np.asarray(Image.open(TRIALS / name).convert("RGB"))
    decoded = smapcomp.decompress(smapcomp.compress(picture, quality=100))
    assert metrics.psnr(picture, decoded) >= limit


@pytest.mark.parametrize(("name", "limit"), [("text.png", 2000), ("flat.png", 100)])
def test_lossless_files_of_graphics_are_small(name, limit):
    picture = np.asarray(Image.open(TRIALS / name).convert("RGB"))
    data = smapcomp.compress(picture, lossless=True)
    assert len(data) <= limit
    np.testing.assert_array_equal(smapcomp.decompress(data), picture)


def psnr(picture: np.ndarray, data: bytes, stage: str = "full") -> float:
    """PSNR of the visible pixels of a picture of 1 to 4 channels."""
    decoded = smapcomp.decompress(data, stage=stage)
    colours = picture.shape[2] - (picture.shape[2] in (2, 4))
    visible = picture[..., -1] > 0 if colours < picture.shape[2] else None
    return metrics.psnr(picture[..., :colours], decoded[..., :colours], visible)


SMOOTH = np.stack([X * 255 // WIDTH, Y * 255 // HEIGHT, 255 - X * 255 // WIDTH], -1)
ALPHA = np.where((X // 16 + Y // 16) % 2, 255, 0)
OTHERS = {
    "smooth colours": SMOOTH,
    "smooth, alpha in squares": np.dstack([SMOOTH, ALPHA]),
    "smooth grey, alpha": np.dstack([SMOOTH[..., 0], np.where(Y > 30, 255, 0)]),
    "smooth and noisy, alpha": np.dstack([np.where(X[..., None] > 70, noise(3), SMOOTH), ALPHA]),
    "column of noise": noise(3).reshape(-1, 3)[:300, None],
    "row of noise": noise(1).reshape(-1, 3)[None, :301, :1],
}


@pytest.mark.parametrize("name", OTHERS)
def test_smooth_transparent_and_narrow_pictures_get_no_worse_either(name):
    picture = OTHERS[name].astype(np.uint8)
    before = 0.0
    for quality in (0, 2, 5, 10, 13, 18, 25, 40, 70):
        data = smapcomp.compress(picture, quality=quality, speed=9)
        full = psnr(picture, data)
        assert full >= psnr(picture, data, "compact") - 0.05
        assert min(full, VISUALLY_LOSSLESS) >= min(before, VISUALLY_LOSSLESS) - 0.05
        before = full


@pytest.mark.parametrize("name", ["flat colour", "checkerboard", "ordered dither", "gradient"])
def test_a_graphic_that_is_small_without_loss_meets_every_target(name):
    picture = np.tile(PATTERNS[name], (2, 2, 1))
    size = len(smapcomp.compress(picture, lossless=True))
    for target in ({"target_bytes": size + 20}, {"target_bytes": 10**6}, {"target_bpp": 5.0}):
        data = smapcomp.compress(picture, speed=10, **target)
        assert len(data) <= size + 20
        np.testing.assert_array_equal(smapcomp.decompress(data), picture)


@pytest.mark.parametrize("name", ["smooth, alpha in squares", "smooth grey, alpha"])
def test_a_smooth_picture_with_alpha_costs_no_more_than_its_lossless_form(name):
    picture = OTHERS[name].astype(np.uint8)
    limit = len(smapcomp.compress(picture, lossless=True))
    for options in ({"quality": 30}, {"quality": 100}, {"target_psnr": 60.0}):
        assert len(smapcomp.compress(picture, speed=9, **options)) <= limit + 64


def test_flat_pictures_meet_targets_of_distortion():
    picture = np.tile(PATTERNS["flat colour"], (2, 2, 1))
    for target in ({"target_psnr": 20.0}, {"target_psnr": 90.0}, {"target_ms_ssim": 0.9}):
        data = smapcomp.compress(picture, speed=10, **target)
        np.testing.assert_array_equal(smapcomp.decompress(data), picture)


def test_a_size_that_no_quality_needs_gives_the_lossless_form():
    y, x = np.mgrid[:96, :160]
    waves = [127 + 120 * np.sin(x / 30 + y / 50), 127 + 120 * np.cos(y / 40), 127 + x - y]
    picture = np.clip(np.stack(waves, -1), 0, 255).astype(np.uint8)
    data = smapcomp.compress(picture, target_bytes=10**5, speed=10)
    np.testing.assert_array_equal(smapcomp.decompress(data), picture)


def test_a_target_is_met_where_networks_do_harm():
    picture = PATTERNS["grey noise"]
    data = smapcomp.compress(picture, target_psnr=30.0, speed=9)
    assert 30.0 <= metrics.psnr(picture, smapcomp.decompress(data)) <= 30.1
    data = smapcomp.compress(picture, target_bytes=5000, speed=9)
    assert 4900 <= len(data) <= 5000


def test_a_row_of_40000_pixels_is_coded():
    picture = np.asarray(Image.open(TRIALS / "strip_40000x1.png").convert("RGB"))
    decoded = smapcomp.decompress(smapcomp.compress(picture, quality=70, speed=9))
    assert decoded.shape == picture.shape
    assert metrics.psnr(picture, decoded) > 25
    exact = smapcomp.decompress(smapcomp.compress(picture, lossless=True))
    np.testing.assert_array_equal(exact, picture)


def test_colours_that_nobody_sees_take_no_bits_and_do_not_count():
    rng = np.random.default_rng(0)
    picture = np.zeros((64, 96, 4), np.uint8)
    picture[..., :3] = rng.integers(0, 256, (64, 96, 3))
    picture[:, :32, :3] = np.linspace(0, 200, 32)[None, :, None]
    picture[:, :32, 3] = 255
    hidden = picture.copy()
    hidden[:, 32:, :3] = 0
    data = smapcomp.compress(picture, quality=60)
    assert len(data) <= 1.1 * len(smapcomp.compress(hidden, quality=60)) + 30
    decoded = smapcomp.decompress(smapcomp.compress(picture, target_psnr=35.0, speed=9))
    visible = picture[..., 3] > 0
    assert metrics.psnr(picture[..., :3], decoded[..., :3], visible) >= 35
    exact = smapcomp.decompress(smapcomp.compress(picture, lossless=True))
    np.testing.assert_array_equal(exact, picture)
