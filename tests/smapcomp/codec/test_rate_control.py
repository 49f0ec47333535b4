"""Targets of size and distortion: tolerances, search effort, and targets that cannot be met."""

import re

import numpy as np
import pytest

import smapcomp
from smapcomp import metrics
from smapcomp.codec.layer_settings import LayerSettings
from smapcomp.codec.options import Target
from smapcomp.codec.rate_control import search_settings
from smapcomp.errors import SmapcompError
from smapcomp.pictures.image_files import read_picture
from smapcomp.predictors.engines import load_predictor
from tests.helpers.paths import ROOT

IMAGE = read_picture(ROOT / "docs" / "demo" / "photo.png").samples[:192, :256].copy()
QUICK = {"speed": 9}
PAPERS = {"compact_coder": "jxl", **QUICK}


@pytest.mark.parametrize("settings", [QUICK, PAPERS], ids=["default", "papers"])
@pytest.mark.parametrize("wanted", [4000, 15_000])
def test_bytes_are_met_within_two_percent_and_never_exceeded(wanted, settings):
    data = smapcomp.compress(IMAGE, target_bytes=wanted, **settings)
    assert 0.98 * wanted <= len(data) <= wanted


def test_bits_per_pixel_are_met_within_two_percent():
    data = smapcomp.compress(IMAGE, target_bpp=1.1, **QUICK)
    assert 0.98 * 1.1 <= metrics.bits_per_pixel(len(data), 256, 192) <= 1.1


@pytest.mark.parametrize("settings", [QUICK, PAPERS], ids=["default", "papers"])
@pytest.mark.parametrize("wanted", [30.0, 38.5])
def test_psnr_is_met_within_a_tenth_of_a_decibel(wanted, settings):
    data = smapcomp.compress(IMAGE, target_psnr=wanted, **settings)
    assert wanted <= metrics.psnr(IMAGE, smapcomp.decompress(data)) <= wanted + 0.1


def test_ms_ssim_is_met_within_a_thousandth():
    data = smapcomp.compress(IMAGE, target_ms_ssim=0.975, **QUICK)
    assert 0.975 <= metrics.ms_ssim(IMAGE, smapcomp.decompress(data)) <= 0.976


@pytest.mark.parametrize(
    ("target", "unit"),
    [
        ({"target_bytes": 20}, "bytes"),
        ({"target_bytes": 10**9}, "bytes"),
        ({"target_psnr": 5.0}, "psnr"),
        ({"target_psnr": 90.0}, "psnr"),
    ],
)
def test_what_is_out_of_reach_is_said_with_what_is_not(target, unit):
    with pytest.raises(SmapcompError, match=f"target_{unit} .* out of reach") as caught:
        smapcomp.compress(IMAGE[:64, :64], **target, **PAPERS)
    low, high = map(float, re.search(r"can have ([\d.]+) to ([\d.]+)$", str(caught.value)).groups())
    middle = round((low * high) ** 0.5) if unit == "bytes" else (low + high) / 2
    data = smapcomp.compress(IMAGE[:64, :64], **{f"target_{unit}": middle}, **PAPERS)
    if unit == "bytes":
        assert len(data) <= middle


def test_ms_ssim_of_a_picture_too_small_for_it_is_refused():
    with pytest.raises(SmapcompError, match="64x64 pixels; both sides must have at least 161"):
        smapcomp.compress(IMAGE[:64, :64], target_ms_ssim=0.9)


def test_networks_run_once_where_only_the_residual_changes(monkeypatch):
    predictor = load_predictor("lite", None)
    calls = []
    predict = predictor.predict
    monkeypatch.setattr(predictor, "predict", lambda *a, **k: calls.append(1) or predict(*a, **k))
    smapcomp.compress(IMAGE, target_psnr=35.0, **PAPERS)
    assert len(calls) == 1


def test_bytes_of_a_picture_without_residual_take_the_networks_twice_at_most(monkeypatch):
    predictor = load_predictor("lite", None)
    calls = []
    predict = predictor.predict
    monkeypatch.setattr(predictor, "predict", lambda *a, **k: calls.append(1) or predict(*a, **k))
    smapcomp.compress(IMAGE, target_bytes=9000, compact_scale=1, residual_coder="none", **QUICK)
    # Twice if the strengths, which only the networks tell, take the last bytes.
    assert len(calls) <= 2


class _Curve:
    """Encoder whose stream length is a function of quality and fine step."""

    def __init__(self, size):
        self.pixels = np.zeros((10, 10, 3), np.uint8)
        self.size = size
        self.tried = 0

    def encode(self, settings: LayerSettings, strict: bool) -> bytes:
        return bytes(self.bytes_without_networks(settings))

    def bytes_without_networks(self, settings: LayerSettings) -> int:
        self.tried += 1
        return self.size(settings.compact_quality, settings.compact_gain)


@pytest.mark.parametrize(
    "size",
    [
        lambda quality, gain: int(1000 * 1.05**quality * (1 - gain / 256)),
        lambda quality, gain: 1000 + 900 * quality - 8 * gain,
        lambda quality, gain: 1000 * (1 + quality // 25) - 10 * gain,
        lambda quality, gain: int(1000 + quality**3 / 5 - gain * (1 + quality) / 2),
    ],
    ids=["exponential", "linear", "stairs", "cubic"],
)
def test_few_trials_find_the_target_on_any_rising_curve(size):
    for wanted in np.geomspace(1200, 3900, 9).astype(int):
        curve = _Curve(size)
        found = search_settings(
            curve,
            Target("bytes", int(wanted)),
            lambda quality: LayerSettings("av1", 1, quality, "none", None),
        )
        assert 0.98 * wanted <= len(curve.encode(found, strict=True)) <= wanted
        assert curve.tried < 30


def test_between_two_qualities_without_values_the_lower_one_is_used():
    curve = _Curve(lambda quality, gain: 100 + quality if quality < 50 else 9000 + quality - gain)
    found = search_settings(
        curve,
        Target("bytes", 5000),
        lambda quality: LayerSettings("av1", 1, quality, "none", None),
    )
    assert len(curve.encode(found, strict=True)) == 149
