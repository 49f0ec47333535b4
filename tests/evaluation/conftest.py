"""Fixtures: replacements of libbpg's programs, and the report's page in headless Chromium."""

import shutil
import stat
import sys

import pytest

from tests.helpers import report_case
from tests.helpers.report_page import wait

BPG = """#!{python}
# Behaves as libbpg's programs: a BPG header, followed by a JPEG file instead of HEVC data.
import io
import sys
from PIL import Image

def ue7(value, more=0):
    return (ue7(value >> 7, 128) if value > 127 else b"") + bytes([value & 127 | more])

program = sys.argv[0].rsplit("/", 1)[1]
if sys.argv[1:] == ["-h"]:
    print("BPG Image Encoder version 0.9.8")
    sys.exit(1)
elif program == "bpgenc":
    q, quantiser, f, format, *colours, o, target, source = sys.argv[1:]
    assert (q, f, o) == ("-q", "-f", "-o") and colours in ([], ["-c", "rgb"]), sys.argv
    pixel_format = {{"L": 0, "RGB": {{"420": 1, "444": 3}}[format]}}
    image = Image.open(source)
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=100 - int(quantiser))
    header = b"BPG\\xfb" + bytes([pixel_format[image.mode] << 5, 0])
    header += ue7(image.width) + ue7(image.height) + b"\\x00"
    open(target, "wb").write(header + jpeg.getvalue())
else:
    o, target, source = sys.argv[1:]
    assert o == "-o", sys.argv
    data = open(source, "rb").read()
    Image.open(io.BytesIO(data[data.index(b"\\xff\\xd8") :])).save(target)
"""


@pytest.fixture
def bpg_programs(tmp_path, monkeypatch):
    """Put the two programs on the search path, and nothing else."""
    for name in ("bpgenc", "bpgdec"):
        program = tmp_path / name
        program.write_text(BPG.format(python=sys.executable))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser():
    """Start headless Chromium; skip the test without it or without Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"needs one of {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program)
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return the file of a small report."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    report_case.write(path)
    return path


# Without animated scrolling, which could be under way when the pointer moves.
CONTEXT = {"viewport": {"width": 1000, "height": 900}, "reduced_motion": "reduce"}


@pytest.fixture(scope="module")
def tab(browser):
    """Return a tab that visits share, which takes a third of the time of new tabs."""
    context = browser.new_context(**CONTEXT)
    yield context.new_page()
    context.close()


@pytest.fixture
def visit(browser, report, tab):
    """Return a function that opens a page.

    At the end, no page may have reported an error or requested anything but its file. A visit
    without options ends the one before it.
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
        wait(page)
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
