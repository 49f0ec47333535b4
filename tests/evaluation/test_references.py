"""The committed reference points."""

import csv
import re

import pytest

from evaluation.analysis.protocols import FAIR, PAPER
from evaluation.analysis.references import KODAK, MEAN, load_references, with_references
from evaluation.measurement.points import Point
from tests.helpers.paths import ROOT

ANCHORS = ROOT.parent / "shared" / "anchors"
POINTS = load_references()
MEASURED_COLUMNS = ["codec", "image", "q", "bytes", "bpp", "psnr_rgb", "ms_ssim_rgb"]


def of(codec: str) -> list[Point]:
    return [point for point in POINTS if point.codec == codec]


def test_every_measured_anchor_is_among_the_references():
    if not ANCHORS.is_dir():
        pytest.skip("needs ../shared/anchors")
    found = {(p.codec, p.picture, p.quality): p for p in POINTS if p.bytes is not None}
    rows = []
    for path in sorted(ANCHORS.glob("*.csv")):
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            # Files of published figures name their source instead of a picture.
            if "source" not in reader.fieldnames:
                assert reader.fieldnames == MEASURED_COLUMNS, path
                rows += reader
    assert len(rows) == len(found) > 1900
    for row in rows:
        point = found[row["codec"], row["image"], float(row["q"])]
        assert point.bytes == int(row["bytes"])
        assert point.bpp == pytest.approx(float(row["bpp"]), abs=1e-5)
        assert point.psnr == float(row["psnr_rgb"])
        assert point.ms_ssim == float(row["ms_ssim_rgb"])


def test_measured_points_have_true_sizes_and_bits_per_pixel():
    for point in POINTS:
        if point.bytes is not None:
            assert {point.width, point.height} == {768, 512}
            assert point.bpp == pytest.approx(8 * point.bytes / (768 * 512), rel=1e-5)
            assert point.version
            assert "measured for this project, 2026-11" in point.settings
    portrait = {p.picture for p in POINTS if p.height > p.width}
    assert portrait == {f"kodim{number:02}" for number in (4, 9, 10, 17, 18, 19)}


def test_every_measured_codec_has_all_of_kodak_at_every_quality():
    codecs = {p.codec for p in POINTS if p.bytes is not None}
    assert len(codecs) == 12
    for codec in codecs:
        steps = {p.quality for p in of(codec)}
        assert 6 <= len(steps) <= 7
        have = [(p.picture, p.quality) for p in of(codec)]
        assert sorted(have) == sorted((name, step) for name in KODAK for step in steps)


def test_published_points_agree_with_the_specification():
    text = (ROOT / "docs" / "spec.md").read_text("utf-8")
    table = {
        line.split("|")[1].strip(): [float(cell) for cell in line.split("|")[2:-1]]
        for line in text.splitlines()
        if line.startswith(("| Residual's q", "| published,", "| PSNR, dB", "| MS-SSIM |"))
    }
    points = of("edms-published")
    assert [p.quality for p in points] == table["Residual's q"]
    assert [p.psnr_planes for p in points] == table["PSNR, dB"]
    assert [p.ms_ssim for p in points] == table["MS-SSIM"]
    assert [PAPER.rate(p) for p in points] == pytest.approx(table["published, bits/sample"])
    # The papers average over channels; that is not the PSNR of the mean squared error.
    assert {p.psnr for p in points} == {None}
    assert {p.picture for p in points} == {MEAN}

    (anchor,) = re.findall(r"The papers' anchor is BPG .*?: (.*?), re-counted", text)
    assert [(p.bpp, p.psnr_planes) for p in of("bpg-rgb-published")] == [
        tuple(map(float, part.split("/"))) for part in anchor.split(", ")
    ]
    (figures,) = re.findall(r"bits/pixel/PSNR/MS-SSIM at q 32: (.*?)\.\n\*", text, re.DOTALL)
    for name, bpp, psnr, ms_ssim in re.findall(r"(kodim\d+)\s+(\S+?)/(\S+?)/(\.\d+)", figures):
        (point,) = (p for p in of("edms-published-figures") if p.picture == name)
        values = [point.bpp, point.psnr_planes, point.ms_ssim]
        assert values == [float(bpp), float(psnr), float(ms_ssim)]
    assert len(of("edms-published-figures")) == 6


def test_published_psnr_is_the_fallback_in_protocol_fair():
    (psnr, _, ssimulacra2), point = FAIR.metrics, of("edms-published")[0]
    assert psnr.value(point) == 31.81
    assert psnr.uses_fallback(point)
    assert not psnr.uses_fallback(of("bpg-444")[0])
    assert ssimulacra2.value(point) is None
    assert not ssimulacra2.uses_fallback(point)


def test_references_are_added_for_other_codecs_on_the_same_pictures():
    own = Point("bpg-444", "", "", "kodim01", 768, 512, 32, 1, 1.0, 30.0)
    joined = with_references([own])
    assert [p for p in joined if p.codec == "bpg-444"] == [own]
    assert {p.picture for p in joined} == {"kodim01"}
    assert {"bpg-rgb", "jpeg-420"} <= {p.codec for p in joined}
    # A mean over all Kodak pictures is not comparable with one picture.
    assert "edms-published" not in {p.codec for p in joined}
    all_of_it = with_references([p for p in POINTS if p.codec == "webp-m6"])
    assert {"edms-published", "bpg-rgb-published"} <= {p.codec for p in all_of_it}
    assert len(all_of_it) == len(POINTS)
