"""Functions that operate the report's page in a browser, for its tests."""

import io

import numpy as np
from PIL import Image

from tests.helpers.report_case import HEIGHT, WIDTH


def wait(page):
    """Wait until the pictures of both sides are displayed."""
    page.wait_for_selector("#stage[aria-busy=false]")


def pixels(page):
    """Return a screenshot of the stage, uint8 [HEIGHT, WIDTH, 3]."""
    stage = page.locator("#stage")
    stage.scroll_into_view_if_needed()
    # The text above may place the stage between pixels.
    box = {name: round(value) for name, value in stage.bounding_box().items()}
    png = page.screenshot(clip=box)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def assert_sides(page, split, left, right):
    """Check the colours on both sides of the line, between the names and the handle."""
    image = pixels(page)
    assert image.shape == (HEIGHT, WIDTH, 3)
    edge = round(split * WIDTH / 100)
    rows = slice(45, 125)
    for part, wanted in (
        (image[rows, 4 : edge - 8], left),
        (image[rows, edge + 8 : WIDTH - 4], right),
    ):
        assert part.size == 0 or np.abs(part.astype(int) - wanted).max() <= 1, wanted


def split_position(page):
    """Return the position of the line between the sides in percent."""
    return float(page.locator("#split").get_attribute("aria-valuenow"))


def choose(page, group, text):
    """Select the choice with a text in a group of radio buttons."""
    page.locator(f"#{group} label", has_text=text).click()
    wait(page)


def caption(page, side):
    """Return a side's display name, and its caption: each row's other cells by the first cell."""
    place = page.locator(f"#{side}-caption")
    rows = place.locator("tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    )
    return place.locator("h3").inner_text(), {name: rest for name, *rest in rows}


def table_rows(page, name):
    """Return the texts of the cells of each row of a table."""
    return page.locator(f"#{name} tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    )
