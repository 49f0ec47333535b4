import numpy as np

from experiments import demo
from smapcomp.ade20k import PALETTE
from smapcomp.codec.bitstream import container
from smapcomp.pictures.image_files import write_image
from tests.helpers.paths import DEMO_PHOTO
from tests.helpers.pictures import read_samples


def test_pictures_stand_side_by_side_unchanged():
    rng = np.random.default_rng(0)
    panels = [(f"caption {i}", rng.integers(0, 256, (50, 60, 3), np.uint8)) for i in range(4)]
    panels.append(("grey", rng.integers(0, 256, (50, 60, 1), np.uint8)))
    sheet = demo.side_by_side(panels)
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (50, 60, 3))[:, :, 0]
    corners = []
    for caption, panel in panels:
        found = np.argwhere((windows == panel).all(axis=(2, 3, 4)))
        assert len(found) == 1, caption
        corners.append(tuple(found[0]))
    # Three in the first row, two in the second, from left to right.
    assert [row for row, _ in corners] == [corners[0][0]] * 3 + [corners[3][0]] * 2
    assert corners == sorted(corners)
    captions = sheet[: corners[0][0]]
    assert captions.min() < 100  # there is ink above the pictures


def test_legend_shows_the_commonest_labels_first():
    labels = np.zeros((100, 100), np.uint8)
    labels[:60] = 3
    labels[60:90] = 17
    picture = demo.legend(labels, 300, 300)
    rows = [np.argwhere((picture == PALETTE[label]).all(axis=2)) for label in (3, 17)]
    assert rows[0].size > 0
    assert rows[0][:, 0].max() < rows[1][:, 0].min()
    assert not (picture == PALETTE[5]).all(axis=2).any()
    assert (demo.legend(None, 30, 40) == 255).all()


def test_demo_prints_figures_of_the_file_that_it_writes(tmp_path, capsys):
    image = read_samples(DEMO_PHOTO)[:176, :184]
    write_image(tmp_path / "in.png", image)
    demo.run_demo(
        str(tmp_path / "in.png"), str(tmp_path / "out"), quality=60, mode="mapped", variant="lite"
    )
    out = capsys.readouterr().out
    data = (tmp_path / "out" / "in.smc").read_bytes()
    stream = container.unpack(data)
    for size in [len(data), *(len(layer.payload) for layer in stream.layers)]:
        assert f"{size} bytes {8 * size / image[:, :, 0].size:8.4f} bpp" in out
    back = read_samples(tmp_path / "out" / "in.png")
    error = np.mean((back.astype(float) - image) ** 2)
    assert f"reconstruction       PSNR {10 * np.log10(255**2 / error):.2f} dB" in out
    stages = read_samples(tmp_path / "out" / "stages.png")
    assert stages.shape[0] > 2 * 176
    assert stages.shape[1] > 3 * 184
