"""The report's slider between two codecs, in headless Chromium."""

import io
import math

import numpy as np
from PIL import Image

from evaluation.report import ComparedPicture
from tests.helpers import report_case
from tests.helpers.report_case import HEIGHT, WIDTH, colour
from tests.helpers.report_page import assert_sides, caption, choose, pixels, split_position, wait


def test_a_page_opens_on_the_first_picture_against_its_original(visit):
    page = visit()
    assert page.title() == "A small report"
    assert split_position(page) == 50
    assert_sides(
        page,
        50,
        colour("kodim02", "original", None),
        colour("kodim02", "smapcomp", 0.25),
    )
    assert caption(page, "left") == ("Original", {"Pixels": [f"{WIDTH} × {HEIGHT}", ""]})


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
    assert split_position(page) == 25
    sides = [colour("kodim02", codec, 0.25) for codec in ("bpg-444", "jpeg-420")]
    assert_sides(page, 25, *sides)
    page.mouse.click(box["x"] + 0.75 * WIDTH, box["y"] + 90)
    assert split_position(page) == 75
    assert_sides(page, 75, *sides)
    text = page.locator("#split").get_attribute("aria-valuetext")
    assert text == "75 % BPG 4:4:4, 25 % JPEG 4:2:0"


def test_a_finger_moves_the_split(visit):
    page = visit(has_touch=True)
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    page.touchscreen.tap(box["x"] + 0.3 * WIDTH, box["y"] + 90)
    assert split_position(page) == 30


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
        assert split_position(page) == split, key
    assert page.evaluate("scrollY") == before


def test_a_selection_changes_pictures_and_captions(visit):
    page = visit()
    page.locator("#thumbnails button", has_text="kodim10").click()
    page.locator("#left").select_option("bpg-444")
    page.locator("#right").select_option(label="smapcomp")
    choose(page, "rates", "0.5")
    assert_sides(page, 50, colour("kodim10", "bpg-444", 0.5), colour("kodim10", "smapcomp", 0.5))
    assert caption(page, "left") == (
        "BPG 4:4:4",
        {
            "Bits per pixel": ["0.5200", "+4 % compared with 0.5"],
            "Bytes": ["2,500", "quality 20"],
            "PSNR, dB": ["32.50", ""],
            "MS-SSIM": ["0.9200", f"{-10 * math.log10(0.08):.2f} dB"],
            "SSIMULACRA2": ["–", ""],
        },
    )
    label, figures = caption(page, "right")
    assert (label, figures["SSIMULACRA2"]) == ("smapcomp", ["41.0", ""])
    images = page.locator("#stage img").evaluate_all("images => images.map(image => image.alt)")
    assert images == [
        "kodim10, BPG 4:4:4 at 0.5 bits per pixel",
        "kodim10, smapcomp at 0.5 bits per pixel",
    ]


def test_only_selected_pictures_are_decoded(visit):
    page = visit()
    assert page.locator("img").count() == 2 + len(report_case.PICTURES)


def test_a_codec_without_a_file_is_disabled(visit):
    page = visit("#picture=kodim10&rate=0.5&left=jpeg-420&right=smapcomp")
    options = page.locator("#right option")
    disabled = options.evaluate_all("all => all.filter(o => o.disabled).map(o => o.value)")
    assert disabled == ["jpeg-420"]
    assert "No file of kodim10 near 0.5 bpp." in page.locator("#left-caption").inner_text()
    assert page.locator("#left-layer img").count() == 0
    choose(page, "rates", "0.25")
    assert_sides(page, 50, colour("kodim10", "jpeg-420", 0.25), colour("kodim10", "smapcomp", 0.25))


def test_a_link_restores_the_selection_and_the_address_follows_it(visit):
    page = visit("#picture=kodim10&rate=0.5&left=bpg-444&right=original&zoom=2&split=30&x=60&y=70")
    sides = (colour("kodim10", "bpg-444", 0.5), colour("kodim10", "original", None))
    assert_sides(page, 30, *sides)
    page.locator("#split").focus()
    page.keyboard.press("PageUp")
    choose(page, "metrics", "SSIMULACRA2")
    page.wait_for_url("**metric=ssimulacra2")
    view = page.evaluate("location.hash")
    assert view == (
        "#picture=kodim10&rate=0.5&left=bpg-444&right=original&zoom=2&split=40&x=60&y=70"
        "&protocol=fair&metric=ssimulacra2"
    )
    page.evaluate("location.hash = '#picture=kodim02&split=20&metric=psnr'")
    page.locator("#chart-title", has_text="kodim02").wait_for()
    wait(page)
    assert_sides(page, 20, colour("kodim02", "bpg-444", 0.5), colour("kodim02", "original", None))
    page = visit(view)
    assert_sides(page, 40, *sides)


def test_invalid_values_in_a_link_are_ignored(visit):
    page = visit("#picture=x&rate=7&left=__proto__&right=&zoom=3&split=-1&__proto__=1&metric=")
    assert split_position(page) == 50
    assert_sides(page, 50, colour("kodim02", "original", None), colour("kodim02", "smapcomp", 0.25))


def test_zooming_shows_whole_pixels_and_dragging_moves_them(visit, tmp_path):
    # Each pixel's colour encodes its position.
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    original = np.stack([columns % 256, rows, columns // 256], axis=2).astype(np.uint8)
    reconstructions = [report_case.reconstruction("map", "smapcomp", 0.5, original)]
    report_case.write(
        tmp_path / "report.html", pictures=[ComparedPicture("map", original, reconstructions)]
    )
    view = "#zoom=4&split=0&x=50&y=50"
    page = visit(view, tmp_path / "report.html")

    def seen(pixels, row, column):
        red, green, blue = pixels[row, column].astype(int)
        return green, red + 256 * blue

    image = pixels(page)
    # The embedded picture is lossless; each of its pixels covers 4x4 pixels.
    assert seen(image, 100, 161) == (100, 160)
    assert seen(image, 103, 163) == (100, 160)
    assert seen(image, 104, 164) == (101, 161)
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 120)
    page.mouse.up()
    assert seen(pixels(page), 100, 161) == (95, 170)
    # The picture's corner is the limit.
    for _ in range(4):
        page.mouse.move(box["x"] + 60, box["y"] + 10)
        page.mouse.down()
        page.mouse.move(box["x"] + 310, box["y"] + 190, steps=3)
        page.mouse.up()
    assert seen(pixels(page), 45, 9) == (11, 2)
    page.locator("#split").focus()
    page.keyboard.press("Shift+ArrowRight")
    assert split_position(page) == 0
    moved = seen(pixels(page), 45, 9)
    assert moved[0] == 11
    assert moved[1] > 2
    choose(page, "zooms", "1×")
    assert seen(pixels(page), 100, 161) == (100, 161)


def test_sides_are_swapped_while_a_key_or_button_is_held(visit):
    page = visit("#left=original&right=smapcomp&split=40")
    sides = (colour("kodim02", "original", None), colour("kodim02", "smapcomp", 0.25))
    page.keyboard.down("f")
    assert_sides(page, 40, *sides[::-1])
    assert page.locator("#left-tag").inner_text() == "smapcomp"
    page.keyboard.up("f")
    assert_sides(page, 40, *sides)
    page.locator("#flip").hover()
    page.mouse.down()
    assert_sides(page, 40, *sides[::-1])
    page.mouse.up()
    assert_sides(page, 40, *sides)


def test_the_browser_decodes_avif_to_the_measured_quality(visit, tmp_path):
    photo = report_case.photo()
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=25)
    coded = np.asarray(Image.open(buffer))
    picture = ComparedPicture(
        "photo", photo, [report_case.reconstruction("photo", "smapcomp", 0.5, coded)]
    )
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
