"""Check, with JAX, that a crop, its coded counterpart and its labels show the same place."""

import sys

import jax
import numpy as np

from data.batches import jax_batches


def places(pictures: dict) -> dict:
    """Return three pictures, coded twice, whose samples tell picture, pass, row and column."""
    count, height, width, _ = pictures["image"].shape
    image = np.stack(np.indices((count, height, width)), axis=-1).astype(np.uint8)
    small = image[:, ::2, ::2]
    return pictures | {
        "image": jax.numpy.array(image),
        "coded": [jax.numpy.array(small + 100 * number) for number in range(2)],
        "labels": jax.numpy.array(_grid(image)[:, ::8, ::8]),
        "qualities": jax.numpy.array([[10, 20, 30], [50, 60, 70]]),
    }


def _grid(image: np.ndarray) -> np.ndarray:
    return image[..., 1] // 8 * 4 + image[..., 2] // 8


def main(exact: str, coded: str) -> None:
    pictures = places(jax_batches.load_coded_training(exact, coded, 16, 2))
    batch = jax_batches.random_coded_crops(pictures, jax.random.key(3), 64, 16)
    images, compacts = (
        np.rint((np.asarray(batch[key]) + 1) * 127.5).astype(int) for key in ("image", "compact")
    )
    seen, passes, changes = set(), set(), set()
    rest = np.asarray(batch["labels_seen"]), np.asarray(batch["level"])
    for image, compact, labels, level in zip(images, compacts, *rest, strict=True):
        number = int(compact[0, 0, 0] >= 100)
        cuts = image, compact, labels
        change = [image[0, 0, 1] == image[1, 0, 1]]
        if change[0]:
            cuts = [cut.swapaxes(0, 1) for cut in cuts]
        change += [cuts[0][0, 0, 1] > cuts[0][1, 0, 1], cuts[0][0, 0, 2] > cuts[0][0, 1, 2]]
        if change[1]:
            cuts = [cut[::-1] for cut in cuts]
        if change[2]:
            cuts = [cut[:, ::-1] for cut in cuts]
        image, compact, labels = cuts
        picture, y, x = map(int, image[0, 0])
        assert y % 16 == x % 16 == 0
        np.testing.assert_array_equal(compact - 100 * number, image[::2, ::2])
        np.testing.assert_array_equal(labels, _grid(image))
        np.testing.assert_allclose(level, 1 - (10 + 10 * picture + 40 * number) / 100, atol=1e-6)
        seen.add((picture, y, x))
        passes.add(number)
        changes.add(tuple(map(bool, change)))
    assert len(seen) == 12  # Three pictures of 32x32 have four places each.
    assert passes == {0, 1}
    assert len(changes) == 8


if __name__ == "__main__":
    main(*sys.argv[1:])
