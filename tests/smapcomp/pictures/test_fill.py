"""Filling of invisible pixels."""

import numpy as np

from smapcomp.pictures.fill import fill_invisible


def picture(height: int = 37, width: int = 53, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_visible_pixels_stay_and_others_lie_between_them():
    samples = picture() // 2 + 40
    visible = np.random.default_rng(1).random((37, 53)) < 0.1
    filled = fill_invisible(samples, visible)
    np.testing.assert_array_equal(filled[visible], samples[visible])
    assert filled.min() >= samples[visible].min()
    assert filled.max() <= samples[visible].max()
    assert not np.array_equal(filled, samples)


def test_a_single_visible_pixel_fills_the_picture():
    samples, visible = picture(), np.zeros((37, 53), bool)
    visible[30, 7] = True
    np.testing.assert_array_equal(
        fill_invisible(samples, visible), np.broadcast_to(samples[30, 7], samples.shape)
    )


def test_invisible_noise_beside_a_flat_colour_becomes_flat():
    samples = picture()
    samples[:, :20] = (10, 200, 30)
    visible = np.zeros((37, 53), bool)
    visible[:, :20] = True
    np.testing.assert_array_equal(
        fill_invisible(samples, visible), np.broadcast_to((10, 200, 30), samples.shape)
    )


def test_pictures_that_are_visible_or_invisible_as_a_whole():
    samples = picture(5, 1, 1)
    assert fill_invisible(samples, np.ones((5, 1), bool)) is samples
    assert (fill_invisible(samples, np.zeros((5, 1), bool)) == 0).all()
