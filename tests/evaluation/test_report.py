"""The report's page, as far as it can be tested without a browser."""

import base64
import dataclasses
import hashlib
import io
import json
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from evaluation.report import ComparedPicture, Section, markdown_table_to_html, plot_to_html
from evaluation.report.embed import embed
from smapcomp.errors import SmapcompError
from tests.helpers import report_case


class Page(HTMLParser):
    """Elements of a page with their attributes, and the texts by kind of element."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts, self._open = [], {}, []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open:
            self.texts[self._open[-1]][-1] += data

    def named(self, name):
        (found,) = [attributes for _, attributes in self.elements if attributes.get("id") == name]
        return found

    def data(self):
        return json.loads(self.texts["script"][0])


def _page(tmp_path, **changes):
    report_case.write(tmp_path / "report.html", **changes)
    return Page((tmp_path / "report.html").read_text("utf-8"))


def _psnr(a, b):
    error = np.mean((a.astype(float) - b.astype(float)) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _decoded(uri):
    head, data = uri.split(",")
    assert re.fullmatch(r"data:image/(avif|webp);base64", head)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_nothing_is_fetched_and_only_the_pages_own_script_runs(tmp_path):
    page = _page(tmp_path)
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    (style,) = page.texts["style"]
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [a["content"] for _, a in page.elements if a.get("http-equiv")]
    digest = hashlib.sha256(page.texts["script"][1].encode()).digest()
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"<!--|</script", page.texts["script"][1])


def test_the_page_contains_its_texts(tmp_path):
    page = _page(tmp_path)
    assert page.texts["h1"] == ["A small report"]
    assert page.texts["time"] == ["2026-11-05"]
    assert {"One thing.", "Another thing.", "A table."} <= set(page.texts["p"])
    assert "python -m evaluation.evaluate --pictures=kodak" in page.texts["code"]
    assert {"fair", "paper", "processor"} <= set(page.texts["dt"])
    assert {"A processor", "numpy 2.0"} <= set(page.texts["dd"])
    assert any(text.startswith("bits per sample") for text in page.texts["dd"])
    links = [attributes["href"][1:] for tag, attributes in page.elements if tag == "a"]
    for name in links:
        page.named(name)
    assert {"section-1", "comparison", "drill-down"} <= set(links)


def test_the_page_contains_all_points(tmp_path):
    points = [
        dataclasses.replace(point, psnr=math.inf if number == 3 else 30 + math.sqrt(number))
        for number, point in enumerate(report_case.points())
    ]
    other = [dataclasses.replace(points[0], codec="webp-m6")]
    found = _page(tmp_path, points=points + other).data()
    fields = found["points"]["fields"]
    assert len(found["points"]["rows"]) == len(points)
    for row, point in zip(found["points"]["rows"], points, strict=True):
        for name, value in zip(fields, row, strict=True):
            wanted = getattr(point, name)
            if isinstance(wanted, float):
                assert float(value) == pytest.approx(wanted, rel=1e-5)
            else:
                assert value == wanted
    codecs = {name: protocol["codecs"] for name, protocol in found["protocols"].items()}
    assert codecs == {"fair": [*report_case.CODECS], "paper": ["smapcomp", "bpg-444"]}


def test_embedded_pictures_are_close_to_the_original_ones(tmp_path):
    photo = report_case.photo()
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=20)
    coded = np.asarray(Image.open(buffer))
    reconstructions = [report_case.reconstruction("photo", "jpeg-420", 0.5, coded)]
    (found,) = _page(tmp_path, pictures=[ComparedPicture("photo", photo, reconstructions)]).data()[
        "pictures"
    ]
    original, reconstruction = found["original"], found["reconstructions"][0]
    for embedded, wanted, floor in ((original, photo, 44), (reconstruction, coded, 46)):
        psnr = _psnr(wanted, _decoded(embedded["uri"]))
        assert floor <= psnr < floor + 2
        assert embedded["embedded_psnr"] == pytest.approx(psnr, abs=1e-3)
    lossless = io.BytesIO()
    Image.fromarray(coded).save(lossless, "WEBP", lossless=True)
    assert len(reconstruction["uri"]) < len(lossless.getvalue())


def test_a_picture_that_avif_codes_too_coarsely_is_embedded_exactly():
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    found = embed(noise, 90)
    assert np.array_equal(_decoded(found.uri), noise)
    assert found.psnr == math.inf


def test_names_are_never_parsed_as_markup(tmp_path):
    nasty = "<img src=x onerror=alert(1)></script><!--&amp;'\"$title"
    given = report_case.points(pictures=(nasty,), codecs=(nasty,))
    picture = ComparedPicture(
        nasty,
        report_case.flat(9),
        [report_case.reconstruction(nasty, nasty, 0.5, report_case.flat(7))],
    )
    page = _page(
        tmp_path,
        title=nasty,
        summary=nasty,
        sections=[Section(nasty, markdown_table_to_html(f"{nasty}\n| a |\n|---|\n| {nasty} |"))],
        points=given,
        pictures=[picture],
        environments={nasty: {nasty: nasty}},
        protocols={"fair": [nasty]},
        display_names={},
        commands=[nasty],
    )
    assert "img" not in page.texts
    assert len(page.texts["script"]) == 2
    found = page.data()
    assert [*found["codecs"]] == [nasty]
    assert found["pictures"][0]["name"] == nasty
    for tag in ("h1", "title", "td", "dt", "dd", "figcaption", "code", "h2"):
        assert nasty in page.texts[tag]


def test_parts_without_content_are_left_out(tmp_path):
    page = _page(tmp_path, points=[], pictures=[])
    names = {attributes.get("id") for _, attributes in page.elements}
    assert not names & {"comparison", "drill-down", "stage", "chart"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocols": {"unfair": ["smapcomp"]}}, "'unfair' is unknown; allowed: fair, paper"),
        ({"pictures": report_case.pictures() * 2}, "two pictures are named kodim02"),
        (
            {
                "pictures": [
                    ComparedPicture(
                        "a",
                        report_case.flat(1),
                        [report_case.reconstruction("kodim02", "bpg-444", 0.5)] * 2,
                    )
                ]
            },
            "a, bpg-444 at 0.5 bpp: two reconstructions",
        ),
        (
            {
                "pictures": [
                    ComparedPicture(
                        "a",
                        np.zeros((5, 6, 3), np.uint8),
                        [report_case.reconstruction("kodim02", "bpg-444", 0.5)],
                    )
                ]
            },
            r"a, bpg-444 at 0.5 bpp: shape \(200, 320, 3\), but the original has \(5, 6, 3\)",
        ),
    ],
)
def test_inconsistent_content_is_refused_and_the_file_is_kept(tmp_path, changes, message):
    path = tmp_path / "report.html"
    path.write_text("before")
    with pytest.raises(SmapcompError, match=message):
        report_case.write(path, **changes)
    assert path.read_text() == "before"


def test_a_page_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("before")
    report_case.write(path, pictures=[])
    assert path.read_text("utf-8").endswith("</html>\n")
    assert [*tmp_path.iterdir()] == [path]
    with pytest.raises(SmapcompError):
        report_case.write(tmp_path / "nowhere" / "report.html", pictures=[])


def test_tables_keep_titles_notes_and_alignment():
    page = Page(
        markdown_table_to_html(
            "Some text.\n\n"
            "First table, protocol `fair`\n\n"
            "| Codec | dB | BD-rate | What |\n"
            "|:---|---|---:|---|\n"
            "| a \\| b | 30.50 | **−1.2 ± 0.3 %** | 3 of 4 |\n"
            "| <c> | – | +2 % |\n"
            "A note.\nAnother.\n\n"
            "And one more.\n\n"
            "Second table\n| n |\n|:-:|\n| 1 |\n"
        )
    )
    assert page.texts["p"] == ["Some text.", "A note.", "Another.", "And one more."]
    assert [attributes.get("class") for tag, attributes in page.elements if tag == "p"] == [
        *(None, "note", "note", "note")
    ]
    assert page.texts["figcaption"] == ["First table, protocol ", "Second table"]
    assert page.texts["code"] == ["fair"]
    assert page.texts["th"] == ["Codec", "dB", "BD-rate", "What", "n"]
    assert page.texts["td"] == ["a | b", "30.50", "", "3 of 4", "<c>", "–", "+2 %", "", "1"]
    assert page.texts["strong"] == ["−1.2 ± 0.3 %"]
    classes = [attributes.get("class") for tag, attributes in page.elements if tag == "th"]
    assert classes == [None, "figure", "figure", None, "middle"]


PLOT = """<?xml version="1.0"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 width="460pt" height='300pt'>
<metadata><a xmlns="x" href="http://example.org/"/></metadata>
<defs><style type="text/css">*{stroke-linejoin: round}</style>
<path id="m" d="M0 0"/><clipPath id="c"><rect width="9"/></clipPath></defs>
<g clip-path="url(#c)"><use xlink:href="#m"/></g></svg>
"""


def test_plots_have_unique_ids_and_limited_style_rules(tmp_path):
    figures = [plot_to_html(PLOT, f"Plot <{number}>, protocol fair") for number in (1, 2)]
    sections = [Section("One", "".join(figures)), Section("Two", figures[0])]
    report_case.write(tmp_path / "report.html", sections=sections)
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "example.org" not in html
    assert html.count("<!DOCTYPE") + html.count("<?xml") == 0
    plots = [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", html, re.S)]
    assert len(plots) == 3
    seen = set()
    for plot in plots:
        ids = {node.get("id") for node in plot.iter() if node.get("id")}
        assert len(ids) == 3
        assert not ids & seen
        seen |= ids
        (group,) = plot.findall("{*}g")
        assert group.get("clip-path")[5:-1] in ids
        assert group[0].get("{http://www.w3.org/1999/xlink}href")[1:] in ids
        assert plot.find("{*}defs/{*}style").text.startswith(f"#{plot.get('id')} *")
        assert plot.get("viewBox") == "0 0 460 300"
        assert plot.get("width") is None
    assert plots[1].get("aria-label") == "Plot <2>, protocol fair"
    assert "Plot <2>, protocol fair" in Page(html).texts["figcaption"]
