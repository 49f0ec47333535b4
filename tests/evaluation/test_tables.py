"""Markdown tables, and which points go into them."""

import dataclasses

import pytest

from evaluation.analysis.codec_names import display_name
from evaluation.analysis.protocols import FAIR, PAPER
from evaluation.analysis.references import KODAK, load_references
from evaluation.analysis.selection import describe_pictures, group_by_quality, select
from evaluation.analysis.tables import bd_table, equal_rates_table, mean_table, time_table
from evaluation.measurement.points import Point
from smapcomp.errors import SmapcompError

REFERENCES = load_references()
ANCHOR = [(0.1, 25.0), (0.2, 28.0), (0.4, 31.5), (0.8, 35.0), (1.6, 39.0)]


def points(codec: str, pairs, picture: str = "a", **fields) -> list[Point]:
    return [
        Point(codec, "", "", picture, 1000, 500, quality, None, rate, psnr, **fields)
        for quality, (rate, psnr) in enumerate(pairs)
    ]


def rows_of(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len({len(row) for row in rows}) == 1
    return rows


def test_a_mean_table_has_means_median_times_and_maximum_memory():
    found = [
        Point(
            "smapcomp", "", "", name, 100, 100, quality, 1, bpp, psnr,
            psnr_planes=psnr + 1, ms_ssim=ms_ssim, encode_seconds=seconds, decode_seconds=1.0,
            peak_memory_mib=memory, compact_bpp=bpp / 2, residual_bpp=0.0,
        )
        for quality, shift in ((20, 0.0), (10, -5.0))
        for name, bpp, psnr, ms_ssim, seconds, memory in (
            ("a", 0.3, 30 + shift, 0.85, 1.0, 700.0),
            ("b", 0.6, 33 + shift, 0.95, 2.0, 900.0),
            ("c", 0.9, 36 + shift, 0.9, 9.0, 800.0),
        )
    ]  # fmt: skip
    found[3:] = [dataclasses.replace(p, bpp=p.bpp / 2) for p in found[3:]]
    table = mean_table(found, "smapcomp", FAIR)
    assert table.startswith(
        "**smapcomp: means over 3 pictures. Protocol fair: bits per pixel of the whole file; "
    )
    heads, _, low, high = rows_of(table)
    assert dict(zip(heads, high, strict=True)) == {
        "quality": "20",
        "bpp": "0.600",
        "PSNR, dB": "33.00",
        "MS-SSIM": "0.9000",
        "MS-SSIM, dB": "10.00",
        "compact": "0.300",
        "residual": "0.000",
        "encode, s": "2.00",
        "decode, s": "1.00",
        "memory, MiB": "900",
    }
    assert low[:3] == ["10", "0.300", "28.00"]
    paper = mean_table(found, "smapcomp", PAPER)
    assert "Protocol paper: bits per sample" in paper
    heads, _, _, high = rows_of(paper)
    assert heads[:3] == ["quality", "bits/sample", "PSNR, dB"]
    assert high[:3] == ["20", "0.200", "34.00"]
    assert high[heads.index("compact")] == "0.100"
    partly = mean_table(found[:-1], "smapcomp", FAIR)
    assert len(rows_of(partly)) == 3
    assert "Left out, not measured on all pictures: quality 10." in partly
    with pytest.raises(SmapcompError, match="no points of any of the codecs webp-m6"):
        mean_table(found, "webp-m6", FAIR)


def test_a_bd_table_has_every_codec_and_a_sentence_on_the_result():
    found = [
        p
        for name in "ab"
        for p in (
            *points("bpg-444", ANCHOR, name, ssimulacra2=None),
            *points("smapcomp", [(0.9 * rate, psnr) for rate, psnr in ANCHOR], name),
            *points("webp-m6", [(1.5 * rate, psnr) for rate, psnr in ANCHOR], name),
            *points("jpeg-420", ANCHOR[:3], name),
        )
    ]
    table = bd_table(found, FAIR)
    assert table.startswith("**BD-rate against BPG 4:4:4, 2 pictures. Protocol fair: ")
    assert rows_of(table) == [
        ["codec", "PSNR", "per-picture mean", "dB"],
        ["---", "---:", "---:", "---:"],
        ["smapcomp", "−10.0 %", "−10.0 ± 0.0 %", "25.0–39.0"],
        ["WebP", "+50.0 %", "+50.0 ± 0.0 %", "25.0–39.0"],
        ["JPEG 4:2:0", "– ¹", "–", "–"],
    ]
    assert "¹ JPEG 4:2:0: 3 points, at least 4 are needed.\n" in table
    assert "Not measured with both codecs: MS-SSIM, SSIMULACRA2." in table
    assert (
        "smapcomp saves bits: 10.0 % by PSNR (per-picture mean −10.0 ± 0.0 %, BD-PSNR +0." in table
    )
    against_webp = bd_table(found, FAIR, anchor="webp-m6", codecs=["bpg-444", "smapcomp"])
    assert [row[0] for row in rows_of(against_webp)[2:]] == ["BPG 4:4:4", "smapcomp"]
    losing = bd_table(
        [dataclasses.replace(p, bpp=3 * p.bpp) if p.codec == "smapcomp" else p for p in found], FAIR
    )
    assert "smapcomp needs more bits: 170.0 % by PSNR" in losing


def test_the_bd_table_of_the_references_has_footnotes_on_differences():
    table = bd_table(REFERENCES, FAIR)
    rows = {row[0].rstrip(" ¹²³"): row[1:] for row in rows_of(table)[2:]}
    assert "24 Kodak pictures" in table.splitlines()[0]
    assert rows["EDMS as published"][0].startswith("+49.")
    assert rows["EDMS as published"][1] == "–"
    assert "¹ the published PSNR is the mean of the channels' PSNR" in table
    assert "only 47 % of the joint range of PSNR" in table
    assert float(rows["JPEG 2000"][0].split()[0]) > 60
    assert float(rows["JPEG 2000"][1].split()[0]) < 42
    paper = bd_table(REFERENCES, PAPER)
    assert ["EDMS as published", "−30.4 %", "–", "31.8–43.3"] in rows_of(paper)
    assert "only the PSNR of the mean squared error" in paper


def test_the_table_at_equal_rates_agrees_with_another_program():
    """The expected values were interpolated at rates of three decimals."""
    rates = (0.082, 0.131, 0.257, 0.465, 0.887, 1.310)
    own = [
        Point("smapcomp", "", "", name, 768, 512, step, None, rate, 30.0 + step)
        for name in KODAK
        for step, rate in enumerate(rates)
    ]
    table = equal_rates_table([*own, *REFERENCES], FAIR)
    assert table.startswith(
        "**PSNR, dB, at the mean rates of smapcomp, 24 Kodak pictures. Protocol"
    )
    heads, _, *rows = rows_of(table)
    assert heads[:2] == ["bpp", "smapcomp"]
    assert [row[:2] for row in rows] == [
        [f"{rate:.3f}", f"{30 + step}.00"] for step, rate in enumerate(rates)
    ]
    expected = {
        "BPG 4:4:4": (26.74, 28.10, 30.40, 32.97, 36.46, 38.91),
        "AVIF 4:4:4, tuned for PSNR": (None, 27.92, 30.31, 32.94, 36.44, 38.84),
        "WebP": (None, None, 28.68, 31.14, 34.57, 36.96),
        "JPEG 2000": (None, 25.33, 27.84, 30.59, 34.42, 37.26),
        "JPEG 4:2:0": (None, None, 26.48, 29.20, 32.30, 34.50),
    }
    for name, values in expected.items():
        found = [row[heads.index(name)] for row in rows]
        for cell, value in zip(found, values, strict=True):
            if value is None:
                assert cell == "–"
            else:
                assert float(cell) == pytest.approx(value, abs=0.03)


def test_the_table_at_equal_rates_needs_the_codec_of_the_rates():
    with pytest.raises(SmapcompError, match="codec 'smapcomp' has no points"):
        equal_rates_table(REFERENCES, FAIR)


def test_the_time_table_has_codecs_sizes_and_times_per_megapixel():
    small = points("webp-m6", ANCHOR[:3], encode_seconds=1.0, decode_seconds=0.5)
    small[1] = dataclasses.replace(small[1], encode_seconds=4.0, environment="e1")
    small[2] = dataclasses.replace(small[2], encode_seconds=2.0, peak_memory_mib=55.4)
    large = dataclasses.replace(small[0], picture="b", width=2000, peak_memory_mib=70.0)
    table = time_table([large, *small, *points("bpg-444", ANCHOR)])
    assert table.startswith("**Processor time and peak memory, 2 pictures.**")
    heads, _, *rows = rows_of(table)
    assert heads[1:3] == ["megapixels", "points"]
    assert rows == [
        ["WebP", "0.50", "3", "2.00", "0.50", "4.00", "1.00", "–"],
        ["WebP", "1.00", "1", "1.00", "0.50", "1.00", "0.50", "70"],
    ]
    assert "Environment: e1." in table
    with pytest.raises(SmapcompError, match="no point has times"):
        time_table(points("bpg-444", ANCHOR))


def test_a_selection_has_common_pictures_and_notes_on_the_others():
    found = [
        *points("smapcomp", ANCHOR, "kodim01"),
        *points("smapcomp", ANCHOR, "kodim02"),
        *points("bpg-444", ANCHOR, "kodim01"),
        *(p for p in REFERENCES if p.codec == "edms-published"),
    ]
    chosen = select(found, FAIR)
    assert chosen.codecs == ("smapcomp", "bpg-444")
    assert chosen.pictures == ("kodim01",)
    assert chosen.title == "1 Kodak picture"
    assert {p.picture for p in chosen.points} == {"kodim01"}
    assert chosen.notes == (
        "Left out, not measured with BPG 4:4:4: 1 Kodak picture.",
        "Left out, only means over the 24 Kodak pictures are known: EDMS as published.",
    )
    assert select(REFERENCES, PAPER).codecs == ("bpg-rgb", "edms-published", "bpg-rgb-published")
    with pytest.raises(SmapcompError, match="no picture is measured with all of smapcomp, bpg-444"):
        select([*points("smapcomp", ANCHOR, "a"), *points("bpg-444", ANCHOR, "b")], FAIR)


def test_pictures_are_counted_and_kodak_is_named():
    assert describe_pictures(KODAK) == "24 Kodak pictures"
    assert describe_pictures(["kodim01", "other"]) == "2 pictures"


def test_points_at_rates_are_grouped_by_their_settings():
    at = [
        dataclasses.replace(p, quality=None, settings=f"target_bpp={p.bpp:g}")
        for p in points("x", ANCHOR)
    ]
    assert list(group_by_quality(at)) == [f"target_bpp={rate:g}" for rate, _ in ANCHOR]


def test_display_names_of_codecs_and_published_figures():
    assert display_name("bpg-444") == "BPG 4:4:4"
    assert display_name("smapcomp:mode=none") == "smapcomp (mode=none)"
    assert display_name("edms-published") == "EDMS as published"
    assert display_name("something else") == "something else"
