"""The report's page as a reader meets it, in headless Chromium and from a file."""

import dataclasses
import io
import math
import shutil

import numpy as np
import pytest
from PIL import Image

from evaluation.analysis.protocols import FAIR
from evaluation.report import ShownPicture
from tests.helpers import report_case
from tests.helpers.report_case import HEIGHT, LABELS, QUALITIES, WIDTH, colour

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"needs one of {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program)
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    report_case.write(path)
    return path


# Nothing may still be scrolling when a pointer arrives.
CONTEXT = {"viewport": {"width": 1000, "height": 900}, "reduced_motion": "reduce"}


@pytest.fixture(scope="module")
def tab(browser):
    """An empty tab. Each visit makes another document of it, at a third of a new tab's cost."""
    context = browser.new_context(**CONTEXT)
    yield context.new_page()
    context.close()


@pytest.fixture
def visit(browser, report, tab):
    """Opens a page; at the end none may have said an error or asked for anything but its file.

    A visit without options ends the one before it.
    """
    contexts, trouble, opened = [], [], []
    notes = {
        "console": lambda message: trouble.append(message.text),
        "pageerror": lambda error: trouble.append(str(error)),
        "request": lambda request: trouble.append(request.url),
    }

    def empty(page):
        page.goto("about:blank")
        page.mouse.move(0, 0)
        page.emulate_media(media="null", color_scheme="light", reduced_motion="reduce")
        return page

    def open_page(view="", path=report, **options):
        if options:
            contexts.append(browser.new_context(**CONTEXT, **options))
            page = contexts[-1].new_page()
        else:
            page = empty(tab)
        if page not in opened:
            for event, note in notes.items():
                page.on(event, note)
        opened.append(page)
        page.goto(f"{path.as_uri()}{view}")
        _wait(page)
        return page

    yield open_page
    for event, note in notes.items():
        if tab in opened:
            tab.remove_listener(event, note)
    empty(tab)
    for context in contexts:
        context.close()
    pages = [text for text in trouble if text.startswith("file://") and "report.html" in text]
    assert [text for text in trouble if text not in pages and not text.startswith("data:")] == []
    assert len(pages) == len(opened)


def _wait(page):
    page.wait_for_selector("#stage[aria-busy=false]")


def _pixels(page):
    """What the stage looks like, uint8 [HEIGHT, WIDTH, 3]."""
    stage = page.locator("#stage")
    stage.scroll_into_view_if_needed()
    # Pixels are whole, wherever the text above puts the stage.
    box = {name: round(value) for name, value in stage.bounding_box().items()}
    png = page.screenshot(clip=box)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def _assert_sides(page, split, left, right):
    """Between the names and the handle, and beside the line, colours are those of the sides."""
    pixels = _pixels(page)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    edge = round(split * WIDTH / 100)
    rows = slice(45, 125)
    for part, wanted in (
        (pixels[rows, 4 : edge - 8], left),
        (pixels[rows, edge + 8 : WIDTH - 4], right),
    ):
        assert part.size == 0 or np.abs(part.astype(int) - wanted).max() <= 1, wanted


def _split(page):
    return float(page.locator("#split").get_attribute("aria-valuenow"))


def _choose(page, group, text):
    page.locator(f"#{group} label", has_text=text).click()
    _wait(page)


def _caption(page, side):
    """Label, and figures with what stands beside them, by name."""
    caption = page.locator(f"#{side}-caption")
    rows = caption.locator("tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    )
    return caption.locator("h3").inner_text(), {name: rest for name, *rest in rows}


def _table(page, name):
    return page.locator(f"#{name} tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    )


def test_a_page_opens_on_the_first_picture_against_its_original(visit):
    page = visit()
    assert page.title() == "A small report"
    assert _split(page) == 50
    _assert_sides(
        page,
        50,
        colour("kodim02", "original", None),
        colour("kodim02", "smapcomp", 0.25),
    )
    assert _caption(page, "left") == ("Original", {"Pixels": [f"{WIDTH} × {HEIGHT}", ""]})


def test_dragging_moves_the_split(visit):
    page = visit("#picture=kodim02&left=bpg-444&right=jpeg-420")
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 0.5 * WIDTH, box["y"] + 60)
    page.mouse.down()
    for share in (0.6, 0.4, 0.25):
        page.mouse.move(box["x"] + share * WIDTH, box["y"] + 90)
    page.mouse.up()
    page.mouse.move(box["x"] + 0.9 * WIDTH, box["y"] + 90)
    assert _split(page) == 25
    sides = [colour("kodim02", codec, 0.25) for codec in ("bpg-444", "jpeg-420")]
    _assert_sides(page, 25, *sides)
    page.mouse.click(box["x"] + 0.75 * WIDTH, box["y"] + 90)
    assert _split(page) == 75
    _assert_sides(page, 75, *sides)
    text = page.locator("#split").get_attribute("aria-valuetext")
    assert text == "75 % BPG 4:4:4, 25 % JPEG 4:2:0"


def test_a_finger_moves_the_split(visit):
    page = visit(has_touch=True)
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    page.touchscreen.tap(box["x"] + 0.3 * WIDTH, box["y"] + 90)
    assert _split(page) == 30


def test_keys_move_the_split(visit):
    page = visit()
    page.locator("#split").focus()
    before = page.evaluate("scrollY")
    for key, split in [
        ("ArrowRight", 51),
        ("ArrowUp", 52),
        ("ArrowLeft", 51),
        ("ArrowDown", 50),
        ("PageUp", 60),
        ("PageDown", 50),
        ("Home", 0),
        ("ArrowLeft", 0),
        ("End", 100),
        ("PageUp", 100),
    ]:
        page.keyboard.press(key)
        assert _split(page) == split, key
    assert page.evaluate("scrollY") == before


def test_choosing_changes_pictures_and_captions(visit):
    page = visit()
    page.locator("#thumbnails button", has_text="kodim10").click()
    page.locator("#left").select_option("bpg-444")
    page.locator("#right").select_option(label="smapcomp")
    _choose(page, "rates", "0.5")
    _assert_sides(page, 50, colour("kodim10", "bpg-444", 0.5), colour("kodim10", "smapcomp", 0.5))
    assert _caption(page, "left") == (
        "BPG 4:4:4",
        {
            "Bits per pixel": ["0.5200", "+4 % against 0.5"],
            "Bytes": ["2,500", "quality 20"],
            "PSNR, dB": ["32.50", ""],
            "MS-SSIM": ["0.9200", f"{-10 * math.log10(0.08):.2f} dB"],
            "SSIMULACRA2": ["–", ""],
        },
    )
    label, figures = _caption(page, "right")
    assert (label, figures["SSIMULACRA2"]) == ("smapcomp", ["41.0", ""])
    images = page.locator("#stage img").evaluate_all("images => images.map(image => image.alt)")
    assert images == [
        "kodim10, BPG 4:4:4 at 0.5 bits per pixel",
        "kodim10, smapcomp at 0.5 bits per pixel",
    ]


def test_only_what_is_shown_is_decoded(visit):
    page = visit()
    assert page.locator("img").count() == 2 + len(report_case.PICTURES)


def test_a_codec_without_a_file_cannot_be_chosen(visit):
    page = visit("#picture=kodim10&rate=0.5&left=jpeg-420&right=smapcomp")
    options = page.locator("#right option")
    disabled = options.evaluate_all("all => all.filter(o => o.disabled).map(o => o.value)")
    assert disabled == ["jpeg-420"]
    assert "No file of kodim10 near 0.5 bpp." in page.locator("#left-caption").inner_text()
    assert page.locator("#left-layer img").count() == 0
    _choose(page, "rates", "0.25")
    _assert_sides(
        page, 50, colour("kodim10", "jpeg-420", 0.25), colour("kodim10", "smapcomp", 0.25)
    )


def test_a_link_restores_the_view_and_the_address_follows_it(visit):
    page = visit("#picture=kodim10&rate=0.5&left=bpg-444&right=original&zoom=2&split=30&x=60&y=70")
    sides = (colour("kodim10", "bpg-444", 0.5), colour("kodim10", "original", None))
    _assert_sides(page, 30, *sides)
    page.locator("#split").focus()
    page.keyboard.press("PageUp")
    _choose(page, "metrics", "SSIMULACRA2")
    page.wait_for_url("**metric=ssimulacra2")
    view = page.evaluate("location.hash")
    assert view == (
        "#picture=kodim10&rate=0.5&left=bpg-444&right=original&zoom=2&split=40&x=60&y=70"
        "&protocol=fair&metric=ssimulacra2"
    )
    page.evaluate("location.hash = '#picture=kodim02&split=20&metric=psnr'")
    sync_api.expect(page.locator("#chart-title")).to_contain_text("kodim02")
    _wait(page)
    _assert_sides(page, 20, colour("kodim02", "bpg-444", 0.5), colour("kodim02", "original", None))
    page = visit(view)
    _assert_sides(page, 40, *sides)


def test_views_that_do_not_exist_are_not_followed(visit):
    page = visit("#picture=x&rate=7&left=__proto__&right=&zoom=3&split=-1&__proto__=1&metric=")
    assert _split(page) == 50
    _assert_sides(
        page, 50, colour("kodim02", "original", None), colour("kodim02", "smapcomp", 0.25)
    )


def test_zooming_shows_whole_pixels_and_dragging_moves_them(visit, tmp_path):
    # Each pixel says where it is.
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    original = np.stack([columns % 256, rows, columns // 256], axis=2).astype(np.uint8)
    shown = [report_case.shown("map", "smapcomp", 0.5, original)]
    report_case.write(tmp_path / "report.html", pictures=[ShownPicture("map", original, shown)])
    view = "#zoom=4&split=0&x=50&y=50"
    page = visit(view, tmp_path / "report.html")

    def seen(pixels, row, column):
        red, green, blue = pixels[row, column].astype(int)
        return green, red + 256 * blue

    pixels = _pixels(page)
    # Of lossless WebP: the picture's own values, each of 4x4 pixels.
    assert seen(pixels, 100, 161) == (100, 160)
    assert seen(pixels, 103, 163) == (100, 160)
    assert seen(pixels, 104, 164) == (101, 161)
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 120)
    page.mouse.up()
    assert seen(_pixels(page), 100, 161) == (95, 170)
    # No further than to the corner.
    for _ in range(4):
        page.mouse.move(box["x"] + 60, box["y"] + 10)
        page.mouse.down()
        page.mouse.move(box["x"] + 310, box["y"] + 190, steps=3)
        page.mouse.up()
    assert seen(_pixels(page), 45, 9) == (11, 2)
    page.locator("#split").focus()
    page.keyboard.press("Shift+ArrowRight")
    assert _split(page) == 0
    moved = seen(_pixels(page), 45, 9)
    assert moved[0] == 11
    assert moved[1] > 2
    _choose(page, "zooms", "1×")
    assert seen(_pixels(page), 100, 161) == (100, 161)


def test_sides_are_swapped_while_a_key_or_button_is_held(visit):
    page = visit("#left=original&right=smapcomp&split=40")
    sides = (colour("kodim02", "original", None), colour("kodim02", "smapcomp", 0.25))
    page.keyboard.down("f")
    _assert_sides(page, 40, *sides[::-1])
    assert page.locator("#left-tag").inner_text() == "smapcomp"
    page.keyboard.up("f")
    _assert_sides(page, 40, *sides)
    page.locator("#flip").hover()
    page.mouse.down()
    _assert_sides(page, 40, *sides[::-1])
    page.mouse.up()
    _assert_sides(page, 40, *sides)


def test_avif_looks_in_the_browser_as_it_was_measured(visit, tmp_path):
    photo = report_case.photo()
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=25)
    coded = np.asarray(Image.open(buffer))
    picture = ShownPicture("photo", photo, [report_case.shown("photo", "smapcomp", 0.5, coded)])
    report_case.write(tmp_path / "report.html", pictures=[picture], points=[])
    page = visit(path=tmp_path / "report.html")
    for side, wanted, floor in (("left", photo, 44), ("right", coded, 46)):
        values = page.locator(f"#{side}-layer img").evaluate(
            """image => {
              const canvas = document.createElement("canvas");
              [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
              const context = canvas.getContext("2d");
              context.drawImage(image, 0, 0);
              return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
            }"""
        )
        seen = np.array(values).reshape(*wanted.shape[:2], 4)[:, :, :3]
        assert 10 * math.log10(255**2 / np.mean((seen - wanted) ** 2.0)) > floor - 0.3


def test_the_chart_has_every_point_that_was_measured(visit):
    page = visit()
    series, points = page.locator("#chart g.series"), page.locator("#chart .point")
    assert points.count() == 3 * len(QUALITIES)
    _choose(page, "metrics", "SSIMULACRA2")
    assert points.count() == 2 * len(QUALITIES)  # without the codec that has none
    _choose(page, "metrics", "MS-SSIM")
    _choose(page, "protocols", "paper")
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
    (first, *_) = _table(page, "points")
    (point, *_) = report_case.points(("kodim02",), ("smapcomp",))
    assert first[3:5] == [f"{point.bpp / 3:.4f}", f"{point.psnr_planes:.2f}"]
    _choose(page, "protocols", "fair")
    assert page.locator("#metrics input:checked").get_attribute("value") == "ssimulacra2"


def test_the_chart_says_where_values_are_counted_in_another_way(visit, tmp_path):
    given = [
        dataclasses.replace(p, psnr=None) if p.codec == "bpg-444" else p
        for p in report_case.points()
    ]
    report_case.write(tmp_path / "report.html", points=given)
    page = visit(path=tmp_path / "report.html")
    assert page.locator("#chart .point").count() == 3 * len(QUALITIES)
    note = page.locator("#chart .note").inner_text()
    assert note == f"BPG 4:4:4: {FAIR.metrics[0].stand_in_note}."
    _choose(page, "metrics", "MS-SSIM")
    assert page.locator("#chart .note").count() == 0


def test_points_of_the_chart_tell_their_figures(visit):
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


def test_tables_sort_by_a_column_with_what_is_missing_last(visit):
    page = visit()
    rows = _table(page, "points")
    assert len(rows) == 9
    assert [row[0] for row in rows] == [label for label in LABELS.values() for _ in QUALITIES]
    head = page.locator("#points th", has_text="SSIMULACRA2")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    up = [row[7] for row in _table(page, "points")]
    assert up == ["−10.0", "−10.0", "10.0", "10.0", "30.0", "30.0", "–", "–", "–"]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    down = [row[7] for row in _table(page, "points")]
    assert down == ["30.0", "30.0", "10.0", "10.0", "−10.0", "−10.0", "–", "–", "–"]
    page.locator("#points th button", has_text="Bytes").click()
    sizes = [int(row[2].replace(",", "")) for row in _table(page, "points")]
    assert sizes == sorted(p.bytes for p in report_case.points(report_case.PICTURES[:1]))


@pytest.mark.parametrize("protocol", ["fair", "paper"])
def test_the_overview_interpolates_and_chooses_a_picture(visit, protocol):
    page = visit(f"#protocol={protocol}&rate=0.5")
    rows = _table(page, "overview")
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
    # It has no pictures, but figures.
    assert "not among the pictures" in page.locator("#left-caption").inner_text()
    assert page.locator("#points-title").inner_text().startswith("kodim01: all")
    # Rates outside what was measured have no value.
    page.locator("#overview-rate").select_option("0.25")
    assert [row[1] for row in _table(page, "overview")] != ["–"] * 3
    assert all(len(row) == 1 + len(codecs) for row in _table(page, "overview"))


def test_names_do_no_harm(visit, tmp_path):
    nasty = "<img src=x onerror=document.title='harm'></script><b>\"'&"
    image = report_case.flat(9)
    picture = ShownPicture(nasty, image, [report_case.shown(nasty, nasty, 0.5, image)])
    report_case.write(
        tmp_path / "report.html",
        points=report_case.points(pictures=(nasty, "other"), codecs=(nasty,)),
        pictures=[picture],
        protocols={"fair": [nasty]},
        labels={},
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
    _wait(page)
    page.wait_for_url("**#picture=%3Cimg**")
    view = page.evaluate("location.hash")
    assert_unharmed(page)
    page = visit(view, tmp_path / "report.html")
    assert page.locator("#picture").input_value() == nasty
    assert_unharmed(page)


def test_paper_gets_everything_but_the_slider(visit):
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
def test_ink_and_paper_are_far_apart_in_both_schemes(visit, scheme):
    page = visit(color_scheme=scheme)
    lightness = page.evaluate(
        """["backgroundColor", "color"].map(name =>
          getComputedStyle(document.body)[name].match(/\\d+/g).map(Number)[1])"""
    )
    assert abs(lightness[0] - lightness[1]) > 180
    assert (lightness[0] > lightness[1]) == (scheme == "light")


def test_nothing_sticks_out_on_a_phone(browser, report):
    context = browser.new_context(viewport={"width": 360, "height": 720}, is_mobile=True)
    page = context.new_page()
    page.goto(report.as_uri())
    _wait(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    context.close()
