"""The report's chart, tables and layout, in headless Chromium."""

import dataclasses
import math

import numpy as np
import pytest

from evaluation.analysis.protocols import FAIR
from evaluation.report import ComparedPicture
from tests.helpers import report_case
from tests.helpers.report_case import DISPLAY_NAMES, QUALITIES
from tests.helpers.report_page import choose, table_rows, wait


def test_the_chart_has_every_measured_point(visit):
    page = visit()
    series, points = page.locator("#chart g.series"), page.locator("#chart .point")
    assert points.count() == 3 * len(QUALITIES)
    choose(page, "metrics", "SSIMULACRA2")
    assert points.count() == 2 * len(QUALITIES)  # One codec has none.
    choose(page, "metrics", "MS-SSIM")
    choose(page, "protocols", "paper")
    assert sorted(series.evaluate_all("all => all.map(g => g.dataset.codec)")) == [
        *("bpg-444", "smapcomp")
    ]
    assert page.locator("#chart-title").inner_text() == ("kodim02: MS-SSIM by rate, protocol paper")
    page.locator("#legend button", has_text="BPG 4:4:4").click()
    assert points.count() == len(QUALITIES)


def test_a_protocol_has_its_own_metrics(visit):
    page = visit("#protocol=paper&metric=ssimulacra2")
    assert page.locator("#metrics label").all_inner_texts() == ["PSNR", "MS-SSIM"]
    assert page.locator("#metrics input:checked").get_attribute("value") == "psnr_planes"
    heads = page.locator("#points th[scope=col]").all_inner_texts()
    assert heads[3:7] == ["bits/sample", "PSNR, dB", "MS-SSIM", "MS-SSIM, dB"]
    (first, *_) = table_rows(page, "points")
    (point, *_) = report_case.points(("kodim02",), ("smapcomp",))
    assert first[3:5] == [f"{point.bpp / 3:.4f}", f"{point.psnr_planes:.2f}"]
    choose(page, "protocols", "fair")
    assert page.locator("#metrics input:checked").get_attribute("value") == "ssimulacra2"


def test_the_chart_has_a_note_on_fallback_values(visit, tmp_path):
    given = [
        dataclasses.replace(p, psnr=None) if p.codec == "bpg-444" else p
        for p in report_case.points()
    ]
    report_case.write(tmp_path / "report.html", points=given)
    page = visit(path=tmp_path / "report.html")
    assert page.locator("#chart .point").count() == 3 * len(QUALITIES)
    note = page.locator("#chart .note").inner_text()
    assert note == f"BPG 4:4:4: {FAIR.metrics[0].fallback_note}."
    choose(page, "metrics", "MS-SSIM")
    assert page.locator("#chart .note").count() == 0


def test_points_of_the_chart_have_a_tooltip(visit):
    page = visit("#picture=kodim10")
    page.locator("#chart").scroll_into_view_if_needed()
    page.locator("#chart g[data-codec=bpg-444] .point").nth(1).hover()
    text = page.locator(".tooltip").inner_text().split("\n")
    (point,) = [
        p
        for p in report_case.points()
        if (p.picture, p.codec, p.quality) == ("kodim10", "bpg-444", 40)
    ]
    assert text == [
        "BPG 4:4:4",
        f"quality 40, {point.bytes:,} bytes",
        f"{point.bpp:.4f} bpp",
        f"PSNR {point.psnr:.2f} dB",
        f"MS-SSIM {point.ms_ssim:.4f}, {point.ms_ssim_db:.2f} dB",
        "SSIMULACRA2 –",
    ]
    page.mouse.move(1, 1)
    assert not page.locator(".tooltip").is_visible()


def test_tables_sort_by_a_column_with_missing_values_last(visit):
    page = visit()
    rows = table_rows(page, "points")
    assert len(rows) == 9
    assert [row[0] for row in rows] == [
        label for label in DISPLAY_NAMES.values() for _ in QUALITIES
    ]
    head = page.locator("#points th", has_text="SSIMULACRA2")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    up = [row[7] for row in table_rows(page, "points")]
    assert up == ["−10.0", "−10.0", "10.0", "10.0", "30.0", "30.0", "–", "–", "–"]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    down = [row[7] for row in table_rows(page, "points")]
    assert down == ["30.0", "30.0", "10.0", "10.0", "−10.0", "−10.0", "–", "–", "–"]
    page.locator("#points th button", has_text="Bytes").click()
    sizes = [int(row[2].replace(",", "")) for row in table_rows(page, "points")]
    assert sizes == sorted(p.bytes for p in report_case.points(report_case.PICTURES[:1]))


@pytest.mark.parametrize("protocol", ["fair", "paper"])
def test_the_overview_interpolates_and_selects_a_picture(visit, protocol):
    page = visit(f"#protocol={protocol}&rate=0.5")
    rows = table_rows(page, "overview")
    assert [row[0] for row in rows] == ["kodim01", "kodim02", "kodim10"]
    codecs = report_case.CODECS[: 3 if protocol == "fair" else 2]
    wanted = []
    for codec in codecs:
        points = [p for p in report_case.points() if (p.codec, p.picture) == (codec, "kodim01")]
        values = [p.psnr if protocol == "fair" else p.psnr_planes for p in points]
        wanted.append(np.interp(math.log(0.5), [math.log(p.bpp) for p in points], values))
    assert rows[0][1:] == [f"{value:.2f}" for value in wanted]
    assert f"protocol {protocol}" in page.locator("#overview-title").inner_text()
    best = page.locator("#overview tbody tr").first.locator(".best").all_inner_texts()
    assert best == [f"{max(wanted):.2f}"]
    page.locator("#overview tbody button", has_text="kodim01").click()
    assert page.locator("#picture").input_value() == "kodim01"
    assert page.locator("#overview .chosen th").inner_text() == "kodim01"
    # This picture has points, but no reconstructions.
    assert "not among the compared pictures" in page.locator("#left-caption").inner_text()
    assert page.locator("#points-title").inner_text().startswith("kodim01: all")
    # Rates outside the measured range have no value.
    page.locator("#overview-rate").select_option("0.25")
    assert [row[1] for row in table_rows(page, "overview")] != ["–"] * 3
    assert all(len(row) == 1 + len(codecs) for row in table_rows(page, "overview"))


def test_names_are_not_run_as_scripts(visit, tmp_path):
    nasty = "<img src=x onerror=document.title='harm'></script><b>\"'&"
    image = report_case.flat(9)
    picture = ComparedPicture(nasty, image, [report_case.reconstruction(nasty, nasty, 0.5, image)])
    report_case.write(
        tmp_path / "report.html",
        points=report_case.points(pictures=(nasty, "other"), codecs=(nasty,)),
        pictures=[picture],
        protocols={"fair": [nasty]},
        display_names={},
    )

    def assert_unharmed(page):
        assert page.title() == "A small report"
        assert page.locator("img").count() == 3
        assert page.locator("b").count() == 0

    page = visit(path=tmp_path / "report.html")
    assert page.locator("#right-caption h3").inner_text() == nasty
    assert page.locator("#thumbnails button").inner_text().strip() == nasty
    page.locator("#chart").scroll_into_view_if_needed()
    page.locator("#chart .point").first.hover()
    assert page.locator(".tooltip strong").inner_text() == nasty
    page.locator("#overview tbody button", has_text="other").click()
    page.locator("#overview tbody button", has_text="img").click()
    wait(page)
    page.wait_for_url("**#picture=%3Cimg**")
    view = page.evaluate("location.hash")
    assert_unharmed(page)
    page = visit(view, tmp_path / "report.html")
    assert page.locator("#picture").input_value() == nasty
    assert_unharmed(page)


def test_print_has_everything_except_the_slider(visit):
    page = visit()
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("#stage").is_visible()
    assert not page.locator("nav").is_visible()
    for name in ("#chart", "#points", "#overview", "#section-1"):
        assert page.locator(name).is_visible()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#commands code").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_background_contrast_in_both_schemes(visit, scheme):
    page = visit(color_scheme=scheme)
    lightness = page.evaluate(
        """["backgroundColor", "color"].map(name =>
          getComputedStyle(document.body)[name].match(/\\d+/g).map(Number)[1])"""
    )
    assert abs(lightness[0] - lightness[1]) > 180
    assert (lightness[0] > lightness[1]) == (scheme == "light")


def test_a_narrow_screen_needs_no_horizontal_scrolling(browser, report):
    context = browser.new_context(viewport={"width": 360, "height": 720}, is_mobile=True)
    page = context.new_page()
    page.goto(report.as_uri())
    wait(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    context.close()
