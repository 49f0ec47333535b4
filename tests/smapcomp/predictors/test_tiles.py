"""Windows cover a picture, and their results are joined without visible seams."""

from itertools import pairwise

import numpy as np
import pytest

from smapcomp.design import Tiling
from smapcomp.predictors.tiles import (
    DEFAULT_TILING,
    MAX_WHOLE_PIXELS,
    Window,
    blended_bands,
    choose_tiling,
    window_spans,
    windows_with_cores,
)

TILING = Tiling(64, 32)


def joined(height: int, width: int, tiling: Tiling | None, run) -> np.ndarray:
    bands = list(blended_bands(height, width, tiling, run))
    tops = np.cumsum([0, *(len(band) for _, band in bands)])
    assert [top for top, _ in bands] == tops[:-1].tolist()
    return np.concatenate([band for _, band in bands])


@pytest.mark.parametrize("side", [16, 64, 65, 96, 97, 128, 129, 500])
def test_windows_cover_a_side_and_overlap_by_the_tilings_overlap(side):
    found = window_spans(side, TILING)
    assert found[0][0] == 0
    assert found[-1][1] == side
    assert all(end - start <= TILING.side for start, end in found)
    for (_, end), (start, _) in pairwise(found):
        assert end - start == TILING.overlap
    assert found[-1][1] - found[-1][0] > TILING.overlap or len(found) == 1


def test_parts_of_a_picture_are_joined_to_the_same_picture():
    rng = np.random.default_rng(0)
    for height, width in ((16, 300), (64, 64), (72, 168), (200, 40), (136, 264)):
        picture = rng.uniform(0, 255, (height, width, 3)).astype(np.float32)
        whole = joined(height, width, TILING, lambda window, p=picture: window.crop(p).copy())
        np.testing.assert_allclose(whole, picture, rtol=1e-6)


def test_a_single_window_is_returned_bit_for_bit():
    picture = np.random.default_rng(0).uniform(0, 255, (40, 56, 3)).astype(np.float32)
    whole = joined(40, 56, None, lambda window: window.crop(picture))
    assert whole.tobytes() == picture.tobytes()


def test_neighbouring_windows_fade_into_each_other_without_a_step():
    def run(window: Window) -> np.ndarray:
        shape = (window.bottom - window.top, window.right - window.left, 1)
        return np.full(shape, 10.0 * (window.left > 0) + 1.0 * (window.top > 0), np.float32)

    whole = joined(96, 96, TILING, run)[..., 0]
    fade = np.arange(0.5, 16) / 16  # the middle half of the 32 rows or columns from 32 on
    profile = np.concatenate([np.zeros(40), fade, np.ones(40)])
    np.testing.assert_allclose(whole, 10 * profile[None] + profile[:, None], atol=1e-5)
    assert np.abs(np.diff(whole, axis=1)).max() < 10 / 16 + 1e-5


def test_cores_cover_the_picture_once_and_lie_in_their_windows():
    count = np.zeros((136, 264), int)
    for window, core in windows_with_cores(136, 264, TILING):
        core.crop(count)[:] += 1
        assert window.top <= core.top < core.bottom <= window.bottom
        assert window.left <= core.left < core.right <= window.right
        assert not [edge for edge in core if edge % 8]
    assert (count == 1).all()


def test_only_large_pictures_are_tiled():
    side = int(MAX_WHOLE_PIXELS**0.5)
    assert choose_tiling(side, side) is None
    assert choose_tiling(side + 8, side) == DEFAULT_TILING
