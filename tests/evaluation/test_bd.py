"""BD-rates, compared with published examples and closed forms; curves that have none."""

import dataclasses
import math
import re

import numpy as np
import pytest

from evaluation.analysis.bd import build_curve, compare_codecs, compare_with_anchor, values_at
from evaluation.analysis.protocols import FAIR, PAPER
from evaluation.analysis.references import KODAK, MEAN, load_references
from evaluation.measurement.points import Point
from smapcomp.errors import SmapcompError
from tests.helpers.paths import SHARED

PSNR, MS_SSIM, SSIMULACRA2 = FAIR.metrics
REFERENCES = load_references()
README = SHARED / "anchors" / "README.md"

ANCHOR = [(0.1, 25.0), (0.2, 28.0), (0.4, 31.5), (0.8, 35.0), (1.6, 39.0)]


def points(codec: str, pairs, picture: str = "a", **fields) -> list[Point]:
    """Return points of one picture from pairs of rate and PSNR, with rising qualities."""
    return [
        Point(codec, "", "", picture, 10, 10, quality, None, rate, psnr, **fields)
        for quality, (rate, psnr) in enumerate(pairs)
    ]


def against(pairs, anchor=ANCHOR, **options):
    found = [*points("test", pairs), *points("anchor", anchor)]
    return compare_codecs(found, "test", "anchor", FAIR, PSNR, **options)


# Data and BD-rates (by PCHIP) of JCTVC-E137, as in the tests of Netflix's VMAF.
E137 = [
    (
        [(108048.8736, 43.6471), (61279.976, 40.3953), (33905.6656, 37.247), (18883.6928, 34.2911)],
        [
            *[(108061.2784, 43.6768), (61299.9936, 40.4232)],
            *[(33928.7472, 37.2761), (18910.912, 34.3147)],
        ],
        -0.465215420752807,
    ),
    (
        [(40433.8848, 37.5761), (7622.7456, 35.3756), (2394.488, 33.8977), (1017.6184, 32.0603)],
        [(40370.12, 37.5982), (7587.0024, 35.4025), (2390.0944, 33.9194), (1017.0984, 32.0822)],
        -1.8779823450567612,
    ),
]


@pytest.mark.parametrize(("anchor", "test", "expected"), E137)
def test_worked_examples_of_the_common_test_conditions(anchor, test, expected):
    assert against(test, anchor, method="pchip").mean.rate == pytest.approx(expected, abs=1e-9)
    # Akima's method, the default, draws another curve through the same points.
    assert against(test, anchor).mean.rate == pytest.approx(expected, abs=0.02)


def test_edms_published_points_give_the_published_bd_rate():
    found = compare_codecs(
        REFERENCES, "edms-published", "bpg-rgb-published", PAPER, PAPER.metrics[0]
    )
    assert found.mean.rate == pytest.approx(-30.4, abs=0.05)
    assert found.picture_mean is None


@pytest.mark.parametrize("method", ["akima", "pchip"])
def test_constant_factors_and_offsets_give_exact_results(method):
    less = against([(0.9 * rate, psnr) for rate, psnr in ANCHOR], method=method)
    assert less.mean.rate == pytest.approx(-10)
    assert less.mean.quality > 0
    assert less.mean.overlap == 1
    more = against([(rate, psnr + 1) for rate, psnr in ANCHOR], method=method)
    assert more.mean.quality == pytest.approx(1)
    assert more.mean.rate < 0
    assert more.mean.quality_range == (26, 39)
    assert more.mean.rate_range == (0.1, 1.6)
    same = against(ANCHOR, method=method)
    assert (same.mean.rate, same.mean.quality) == (0, 0)
    assert same.warning == ""


def test_codecs_with_other_numbers_of_points_are_compared():
    straight = [(2.0**k, 30.0 + 3 * k) for k in range(7)]
    finer = [(1.25 * 2.0 ** (k / 2), 30.0 + 1.5 * k) for k in range(13)]
    assert against(finer, straight).mean.rate == pytest.approx(25)


def table_of_the_readme():
    text = README.read_text("utf-8")
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3 or "%" not in cells[2]:
            continue
        yield (
            cells[0],
            [float(n.replace("−", "-")) for n in re.findall(r"([+−][\d.]+) %", cells[2])],
        )


def test_the_table_of_the_anchors_is_reproduced():
    """The table uses PCHIP, and MS-SSIM that is averaged before its conversion to dB."""
    if not README.is_file():
        pytest.skip("needs ../shared/anchors")
    expected = {}
    for names, numbers in table_of_the_readme():
        for index, name in enumerate(names.split(", ")):
            if names == "jpeg-420, jpeg-444":
                expected[name] = numbers[index], numbers[index + 2]
            elif names != "bpg-444":
                expected[name] = numbers[2 * index], numbers[2 * index + 1]
    assert len(expected) == 11
    for codec, pair in expected.items():
        for metric, figure in zip((PSNR, MS_SSIM), pair, strict=True):
            found = compare_codecs(REFERENCES, codec, "bpg-444", FAIR, metric, "pchip")
            assert found.mean.rate == pytest.approx(figure, abs=0.1), (codec, metric.key)


@pytest.mark.parametrize(
    ("codec", "psnr", "ms_ssim"),
    [
        ("bpg-rgb", 15.8, 9.1),
        ("avif-444-psnr-s4", 1.7, 0.1),
        ("heic-444", 20.1, 4.5),
        ("webp-m6", 43.9, 29.0),
        ("jpeg2000", 61.7, 65.9),
        ("jpeg-420", 138.5, 78.0),
    ],
)
def test_bd_rates_of_reference_codecs_by_another_program(codec, psnr, ms_ssim):
    """The expected values were computed by PCHIP when the points were measured."""
    for metric, figure in ((PSNR, psnr), (MS_SSIM, ms_ssim)):
        assert compare_codecs(REFERENCES, codec, "bpg-444", FAIR, metric, "pchip").mean.rate == (
            pytest.approx(figure, abs=0.1)
        )
        assert compare_codecs(REFERENCES, codec, "bpg-444", FAIR, metric).mean.rate == (
            pytest.approx(figure, abs=0.2)
        )


def test_the_mean_curve_has_means_of_rate_and_quality_at_equal_settings():
    a, b = points("x", ANCHOR, "a"), points("x", [(3 * r, q - 2) for r, q in ANCHOR], "b")
    found = build_curve([*a, *b], "x", MEAN, FAIR, PSNR)
    assert found.pictures == ("a", "b")
    assert found.rates == pytest.approx([2 * rate for rate, _ in ANCHOR])
    assert found.values == pytest.approx([psnr - 1 for _, psnr in ANCHOR])
    assert build_curve([*a, *b], "x", "b", FAIR, PSNR).values == tuple(q - 2 for _, q in ANCHOR)
    half = build_curve([*a, *b[:4]], "x", MEAN, FAIR, PSNR)
    assert half.rates == found.rates[:4]
    assert half.note == "quality 4 left out, not measured on 1 of 2 pictures"


def test_ms_ssim_becomes_db_after_averaging_and_rates_become_bits_per_sample():
    pair = [
        Point("x", "", "", name, 10, 10, 1, None, 0.3, None, psnr_planes=30.0, ms_ssim=value)
        for name, value in (("a", 0.85), ("b", 0.95))
    ]
    found = build_curve(pair, "x", MEAN, PAPER, MS_SSIM)
    assert found.values == pytest.approx([10])
    assert found.rates == pytest.approx([0.1])


def test_pictures_have_their_own_bd_rates_with_mean_and_standard_error():
    factors = {"a": 0.8, "b": 1.1, "c": 1.2}
    found = compare_codecs(
        [
            p
            for name, factor in factors.items()
            for p in (
                *points("anchor", ANCHOR, name),
                *points("test", [(factor * rate, psnr) for rate, psnr in ANCHOR], name),
            )
        ],
        "test",
        "anchor",
        FAIR,
        PSNR,
    )
    assert {n: d.rate for n, d in found.by_picture.items()} == pytest.approx(
        {"a": -20, "b": 10, "c": 20}
    )
    assert found.picture_mean == pytest.approx(10 / 3)
    assert found.picture_error == pytest.approx(np.std([-20, 10, 20], ddof=1) / math.sqrt(3))


def test_only_common_pictures_count_and_a_warning_says_so():
    found = compare_codecs(
        [
            *points("anchor", ANCHOR, "a"),
            *points("anchor", [(9 * rate, psnr) for rate, psnr in ANCHOR], "b"),
            *points("test", ANCHOR, "a"),
        ],
        "test",
        "anchor",
        FAIR,
        PSNR,
    )
    assert found.mean.rate == 0
    assert found.pictures == ("a",)
    assert found.warning == "compared on the common pictures only, 1 picture"


def test_a_small_overlap_gives_a_warning_and_no_overlap_gives_no_bd_rate():
    small = against([(rate, psnr + 10) for rate, psnr in ANCHOR])
    assert small.mean.rate is not None
    assert small.mean.overlap == pytest.approx(4 / 24)
    assert small.warning == "only 17 % of the joint range of PSNR of the two curves is compared"
    none = against([(rate, psnr + 20) for rate, psnr in ANCHOR])
    assert none.mean.rate is None
    assert none.mean.quality == pytest.approx(20)
    assert none.warning == "the curves have no quality in common"
    nowhere = against([(100 * rate, psnr + 20) for rate, psnr in ANCHOR])
    assert (nowhere.mean.rate, nowhere.mean.quality) == (None, None)
    assert "no rate in common" in nowhere.warning


@pytest.mark.parametrize(
    ("pairs", "warning"),
    [
        (ANCHOR[:3], "test: 3 points, at least 4 are needed"),
        ([], "no such points"),
        ([*ANCHOR[:2], (0.3, 27.0), *ANCHOR[2:]], "test: PSNR does not rise between rates 0.2 and"),
        ([*ANCHOR[:4], (1.0, 35.0)], "test: PSNR does not rise between rates 0.8 and 1"),
        ([*ANCHOR, (1.6, 40.0)], "test: two values of PSNR at one rate, 1.6"),
        ([*ANCHOR[:2], (0.3, None), (0.4, 31.5)], "test: 3 points, at least 4 are needed"),
        ([(rate, None) for rate, _ in ANCHOR], "test: PSNR was not measured"),
    ],
)
def test_unusable_curves_give_no_bd_rate_and_a_reason(pairs, warning):
    if not pairs:
        found = compare_codecs(points("anchor", ANCHOR), "test", "anchor", FAIR, PSNR)
        warning = "test and anchor not measured on a common picture"
    else:
        found = against(pairs)
    assert (found.mean.rate, found.mean.quality) == (None, None)
    assert found.picture_mean is None
    assert found.warning.startswith(warning)


def test_equal_points_count_once_and_contradictory_ones_give_no_curve():
    doubled = [*points("x", ANCHOR), *points("x", ANCHOR)]
    slower = [dataclasses.replace(p, encode_seconds=9.0) for p in points("x", ANCHOR)]
    assert build_curve([*doubled, *slower], "x", MEAN, FAIR, PSNR) == build_curve(
        points("x", ANCHOR), "x", MEAN, FAIR, PSNR
    )
    # Two qualities that give the same file are one point of the curve.
    same_file = [*points("x", ANCHOR), dataclasses.replace(points("x", ANCHOR)[2], quality=2.5)]
    assert len(build_curve(same_file, "x", MEAN, FAIR, PSNR).rates) == len(ANCHOR)
    other = [*points("x", ANCHOR), dataclasses.replace(points("x", ANCHOR)[2], bpp=0.41)]
    assert build_curve(other, "x", MEAN, FAIR, PSNR).problem == "a has two results at quality 2"


def test_an_exact_copy_is_left_out_of_a_curve():
    found = build_curve(points("x", [*ANCHOR, (9.0, math.inf)]), "x", MEAN, FAIR, PSNR)
    assert found.rates == tuple(rate for rate, _ in ANCHOR)
    assert found.note == "quality 5 left out, a picture was restored exactly"


def test_a_picture_without_a_bd_rate_is_named_and_the_others_count():
    broken = [(0.1, 25.0), (0.2, 24.0), (0.4, 31.5), (0.8, 35.0), (1.6, 39.0)]
    found = compare_codecs(
        [
            *points("anchor", ANCHOR, "a"),
            *points("anchor", ANCHOR, "b"),
            *points("test", ANCHOR, "a"),
            *points("test", broken, "b"),
        ],
        "test",
        "anchor",
        FAIR,
        PSNR,
    )
    assert found.rates == [0]
    assert found.picture_error is None
    assert found.warning.startswith(
        "no BD-rate for 1 of 2 pictures, such as b: test: PSNR does not"
    )


def test_a_published_mean_is_compared_with_all_of_kodak_and_nothing_else():
    bpg = [p for p in REFERENCES if p.codec in ("bpg-444", "edms-published")]
    whole = compare_codecs(bpg, "edms-published", "bpg-444", FAIR, PSNR)
    assert whole.mean.rate == pytest.approx(50, abs=1)  # docs/spec.md, section 5
    assert whole.by_picture == {}
    assert whole.pictures == KODAK
    more = [*bpg, *points("bpg-444", ANCHOR, "another")]
    assert compare_codecs(more, "edms-published", "bpg-444", FAIR, PSNR).mean == whole.mean
    fewer = [p for p in bpg if p.picture != "kodim05"]
    found = compare_codecs(fewer, "edms-published", "bpg-444", FAIR, PSNR)
    assert found.mean.rate is None
    assert "BPG 4:4:4 not measured on all 24 Kodak pictures" in found.warning


def test_the_six_points_of_the_supplement_are_not_a_curve():
    found = compare_codecs(REFERENCES, "edms-published-figures", "bpg-444", FAIR, PSNR)
    assert found.mean.rate is None
    assert "1 points, at least 4 are needed" in found.warning


def test_quality_at_a_rate_is_interpolated_within_the_measured_range():
    straight = build_curve(
        points("x", [(2.0**k, 30 + 3.0 * k) for k in range(5)]), "x", "a", FAIR, PSNR
    )
    assert values_at(straight, [1, 2**1.5, 16]) == pytest.approx([30, 34.5, 42])
    assert values_at(straight, [0.999, 16.001]) == [None, None]
    assert values_at(build_curve(points("x", ANCHOR[:2]), "x", "a", FAIR, PSNR), [0.15]) == [None]


def test_comparisons_are_of_the_pictures_that_all_codecs_have():
    found = [
        *points("bpg-444", ANCHOR, "a"),
        *points("bpg-444", ANCHOR, "b"),
        *points("webp-m6", [(1.5 * rate, psnr) for rate, psnr in ANCHOR], "a"),
        *points("webp-m6", ANCHOR, "b"),
        *points("jpeg-420", [(2 * rate, psnr) for rate, psnr in ANCHOR], "a"),
    ]
    by_codec = compare_with_anchor(found, FAIR)
    assert list(by_codec) == ["webp-m6", "jpeg-420"]
    assert by_codec["webp-m6"]["psnr"].mean.rate == pytest.approx(50)
    assert by_codec["jpeg-420"]["psnr"].mean.rate == pytest.approx(100)
    assert by_codec["webp-m6"]["ssimulacra2"].warning.endswith("SSIMULACRA2 was not measured")
    with pytest.raises(SmapcompError, match="anchor 'heic-444' has no points"):
        compare_with_anchor(found, FAIR, anchor="heic-444")
    with pytest.raises(SmapcompError, match="nothing to compare with the anchor 'bpg-444'"):
        compare_with_anchor(found[:5], FAIR)
