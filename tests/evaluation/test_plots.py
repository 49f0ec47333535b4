"""Plots: what they draw, and their files."""

import dataclasses
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from evaluation.analysis.bd import build_curve, compare_with_anchor
from evaluation.analysis.protocols import FAIR, PAPER
from evaluation.analysis.references import MEAN, load_references
from evaluation.analysis.selection import select
from evaluation.measurement.points import Point
from evaluation.plotting import plots, styles
from smapcomp.errors import SmapcompError

REFERENCES = load_references()
SMAPCOMP = [
    dataclasses.replace(p, codec="smapcomp", bpp=0.9 * p.bpp)
    for p in REFERENCES
    if p.codec == "bpg-444"
]
POINTS = [*REFERENCES, *SMAPCOMP]
PSNR = FAIR.metrics[0]


def selected(points=POINTS, protocol=FAIR, codecs=None):
    chosen = select(points, protocol, codecs)
    found = [
        build_curve(chosen.points, c, MEAN, protocol, protocol.metrics[0]) for c in chosen.codecs
    ]
    return chosen, found


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plots") / "made"
    return plots.write_plots(folder, POINTS, FAIR)


def texts(svg) -> list[str]:
    root = ElementTree.parse(svg).getroot()
    return ["".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")]


def test_every_plot_with_enough_points_is_written(written):
    names = ["fair-psnr", "fair-psnr-difference", "fair-ms-ssim-db", "fair-ms-ssim-db-difference"]
    names.append("fair-bd-rate")  # The references have neither SSIMULACRA2 nor times.
    assert [path.name for path in written] == [f"{n}.{e}" for n in names for e in ("svg", "png")]
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width > 1000
                assert np.asarray(image.convert("L")).std() > 10


def test_titles_name_protocol_and_pictures_and_text_is_text(written):
    for path in written:
        if path.suffix == ".svg":
            found = texts(path)
            assert any("24 Kodak pictures" in text for text in found)
            assert any(text.startswith("Protocol fair: bits per pixel") for text in found)
            assert "smapcomp" in found
            assert path.stat().st_size < 60_000
    first = texts(written[0])
    assert "bits per pixel, header included" in first
    assert "PSNR, dB" in first
    assert {"BPG 4:4:4", "AVIF 4:4:4, tuned for PSNR", "EDMS as published"} <= set(first)
    assert any("EDMS as published: the published PSNR is" in text for text in first)


def test_equal_points_give_equal_files_whatever_the_users_settings(written, tmp_path):
    points = [
        dataclasses.replace(p, ms_ssim=None) for p in POINTS if p.codec in ("bpg-444", "smapcomp")
    ]
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": None}):
        before = dict(matplotlib.rcParams)
        first = plots.write_plots(tmp_path / "1", points, FAIR)
        assert dict(matplotlib.rcParams) == before
    second = plots.write_plots(tmp_path / "2", points[::-1], FAIR)
    assert [path.name for path in first] == [path.name for path in second]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_curves_are_the_means_and_smapcomp_stands_out():
    chosen, curves = selected()
    figure = plots.rate_figure(curves, chosen, FAIR, PSNR)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    lines = {line.get_label(): line for line in axes.get_lines()}
    bpg = [p for p in REFERENCES if p.codec == "bpg-444" and p.quality == 32]
    np.testing.assert_allclose(lines["BPG 4:4:4"].get_xdata()[3], np.mean([p.bpp for p in bpg]))
    np.testing.assert_allclose(lines["BPG 4:4:4"].get_ydata()[3], np.mean([p.psnr for p in bpg]))
    np.testing.assert_allclose(lines["EDMS as published"].get_xdata()[0], 0.6429)
    own = lines.pop("smapcomp")
    for line in lines.values():
        assert line.get_linewidth() < own.get_linewidth()
        assert line.get_zorder() < own.get_zorder()
    # The order from top to bottom at a rate in the middle.
    order = [text.get_text() for text in axes.get_legend().get_texts()]
    assert (order[0], order[-1]) == ("smapcomp", "JPEG 4:2:0")


def test_the_paper_protocol_draws_bits_per_sample():
    chosen, curves = selected(protocol=PAPER)
    figure = plots.rate_figure(curves, chosen, PAPER, PAPER.metrics[0])
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    np.testing.assert_allclose(lines["EDMS as published"].get_xdata()[:2], [0.2143, 0.34])
    assert figure.axes[0].get_xlabel() == "bits per sample, header included"


def test_differences_are_at_equal_rates():
    shifted = [
        dataclasses.replace(p, codec="smapcomp", psnr=p.psnr + 0.5)
        for p in REFERENCES
        if p.codec == "bpg-444"
    ]
    chosen, curves = selected([*REFERENCES, *shifted], codecs=["smapcomp", "bpg-444", "jpeg-420"])
    figure = plots.difference_figure(curves, chosen, FAIR, PSNR, "bpg-444")
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    np.testing.assert_allclose(lines["smapcomp"].get_ydata(), 0.5)
    assert "JPEG 4:2:0" not in lines
    assert any(text.get_text() == "Below the plotted range: JPEG 4:2:0." for text in figure.texts)
    assert plots.difference_figure(curves, chosen, FAIR, PSNR, "webp-m6") is None


def test_bars_are_bd_rates_coloured_by_their_sign():
    codecs = ["smapcomp", "bpg-444", "webp-m6", "edms-published"]
    chosen = select(POINTS, FAIR, codecs)
    compared = compare_with_anchor(POINTS, FAIR, "bpg-444", codecs)
    figure = plots.bd_figure(compared, chosen, FAIR, "bpg-444")
    axes = figure.axes[0]
    assert [axes.get_title() for axes in figure.axes] == ["PSNR", "MS-SSIM"]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["smapcomp", "WebP", "EDMS as published"]
    bars = {round(bar.get_y() + bar.get_height() / 2): bar for bar in axes.patches}
    assert set(bars) == {0, 1}  # A published mean has no pictures.
    assert bars[0].get_width() == pytest.approx(-10)
    assert bars[1].get_width() == pytest.approx(compared["webp-m6"]["psnr"].picture_mean)
    assert to_hex(bars[0].get_facecolor()).upper() == styles.BLUE
    assert to_hex(bars[1].get_facecolor()).upper() == styles.ORANGE
    assert plots.bd_figure({}, chosen, FAIR, "bpg-444") is None


def test_time_is_drawn_if_pictures_of_several_sizes_have_times():
    one = [
        Point("webp-m6", "", "", f"p{side}", side, side, q, 1, 1.0, 30.0, encode_seconds=q * side,
              decode_seconds=1.0)
        for side in (1000, 2000)
        for q in (1, 2, 6)
    ]  # fmt: skip
    single = dataclasses.replace(one[0], codec="jpeg-420")
    figure = plots.time_figure([*one, single])
    encode, decode = figure.axes
    (line,) = encode.get_lines()
    np.testing.assert_allclose(line.get_xdata(), [1, 4])
    np.testing.assert_allclose(line.get_ydata(), [2000, 4000])
    assert (encode.get_xscale(), encode.get_yscale(), decode.get_yscale()) == ("log",) * 3
    assert plots.time_figure(one[:3]) is None


def test_points_of_other_sizes_are_in_the_plot_of_time_only(tmp_path):
    own = [
        Point("smapcomp", "", "", name, side, side, q, 1, 0.1 * q, 30.0 + q, encode_seconds=1.0,
              decode_seconds=1.0)
        for name, side in (("a", 100), ("b", 200))
        for q in (1, 2, 3, 4)
    ]  # fmt: skip
    paths = plots.write_plots(tmp_path, own[:4], FAIR, timed=own[4:])
    assert [path.name for path in paths[::2]] == ["fair-psnr.svg", "time.svg"]
    assert "PSNR against rate, means over 1 picture" in texts(paths[0])
    assert "Processor time against size, 2 pictures" in texts(paths[2])


def test_codecs_of_a_protocol_are_distinct_without_colours():
    for protocol in (FAIR, PAPER):
        looks = styles.codec_styles(
            [*protocol.codecs, "smapcomp:mode=none", "smapcomp:mode=sent", "new"]
        )
        apart = {(look.marker, look.dashes) for look in looks.values()}
        assert len(apart) == len(looks)
    assert looks["smapcomp:mode=none"].colour == looks["smapcomp"].colour
    assert looks["new"].colour != looks["smapcomp"].colour


def test_without_points_nothing_is_written(tmp_path):
    with pytest.raises(SmapcompError, match="no points of any of the codecs"):
        plots.write_plots(tmp_path / "made", [], FAIR)
    assert not (tmp_path / "made").exists()
