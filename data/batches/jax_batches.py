"""Batches of `experiments.train_jax`, cut on the accelerator from pictures in its memory."""

import jax
import jax.numpy as jnp
import numpy as np

from data.pack_coded import ALIGNMENT, load_coded
from data.pack_pictures import GRID, load_pack
from smapcomp.errors import SmapcompError


def load_training(path: str, crop: int) -> dict[str, jax.Array]:
    """The training split on the accelerator, as `cut` takes it.

    Raises:
        SmapcompError: The file is no array file, or a picture is smaller than a crop.
    """
    arrays = load_pack(path, "training")
    smallest = int(arrays["sizes"].min())
    if crop > smallest:
        raise SmapcompError(f"--crop={crop}: {path} has pictures with sides of {smallest} pixels")
    return {key: jnp.asarray(value) for key, value in arrays.items()}


def load_validation(path: str) -> dict[str, np.ndarray]:
    """The validation split as one batch, cut at the top left to the largest common square.

    Returns:
        `image` uint8 [n, side, side, 3] and `label_map` uint8 [n, side, side].
    """
    arrays = load_pack(path, "validation")
    side = int(arrays["sizes"].min()) // GRID * GRID
    return {
        "image": arrays["image"][:, :side, :side],
        "label_map": arrays["labels"][:, :side, :side],
    }


def as_batch(image, label_map):
    """A batch of a stage from uint8 arrays: float32 in [-1, 1], and int32 labels."""
    return {"image": _signal(image), "label_map": jnp.asarray(label_map, jnp.int32)}


def _signal(image):
    return jnp.asarray(image, jnp.float32) / 127.5 - 1.0


def cut(pictures, key, batch: int, crop: int):
    """Random crops, half of them mirrored, as a batch of a stage.

    Args:
        pictures: `image` uint8 [n, H, W, 3], `labels` uint8 [n, H, W], `sizes` int [n, 2].
        key: JAX random key.
        batch: Number of crops.
        crop: Side; no picture is smaller.
    """
    keys = jax.random.split(key, 3)
    index = jax.random.randint(keys[0], (batch,), 0, pictures["image"].shape[0])
    room = pictures["sizes"][index] - crop
    start = jnp.floor(jax.random.uniform(keys[1], (batch, 2)) * (room + 1)).astype(jnp.int32)
    mirror = jax.random.bernoulli(keys[2], shape=(batch,))

    def one(i, at, flip):
        image = jax.lax.dynamic_slice(pictures["image"], (i, *at, 0), (1, crop, crop, 3))[0]
        labels = jax.lax.dynamic_slice(pictures["labels"], (i, *at), (1, crop, crop))[0]
        return jnp.where(flip, image[:, ::-1], image), jnp.where(flip, labels[:, ::-1], labels)

    return as_batch(*jax.vmap(one)(index, start, mirror))


def cut_scaled(pictures, key, batch: int, crop: int, scales: tuple[float, float]):
    """As `cut`, of pictures scaled by random factors between two, with grey and void beyond them."""
    keys = jax.random.split(key, 4)
    index = jax.random.randint(keys[0], (batch,), 0, pictures["image"].shape[0])
    low, high = np.log2(scales)
    scale = 2.0 ** jax.random.uniform(keys[1], (batch,), minval=low, maxval=high)
    sizes = pictures["sizes"][index]
    room = sizes * scale[:, None] - crop
    offset = -room * jax.random.uniform(keys[2], (batch, 2))
    mirror = jax.random.bernoulli(keys[3], shape=(batch,))
    centres = jnp.arange(crop) + 0.5

    def one(i, size, factor, shift, flip):
        image = pictures["image"][i].astype(jnp.float32) / 127.5 - 1.0
        image = jax.image.scale_and_translate(
            image, (crop, crop, 3), (0, 1), jnp.stack([factor, factor]), shift, "linear"
        )
        at = [jnp.floor((centres - shift[a]) / factor).astype(jnp.int32) for a in (0, 1)]
        inside = [(at[a] >= 0) & (at[a] < size[a]) for a in (0, 1)]
        labels = pictures["labels"][i][at[0].clip(0)][:, at[1].clip(0)]
        labels = jnp.where(inside[0][:, None] & inside[1][None], labels, 0).astype(jnp.int32)
        image = jnp.where(flip, image[:, ::-1], image)
        return image, jnp.where(flip, labels[:, ::-1], labels)

    image, labels = jax.vmap(one)(index, sizes, scale, offset, mirror)
    return {"image": jnp.clip(image, -1.0, 1.0), "label_map": labels}


def load_coded_training(path: str, coded: str, crop: int, scale: int) -> dict:
    """The training split with what AV1 made of it on the accelerator, as `cut_coded` takes it.

    Raises:
        SmapcompError: A file is another one, they are of other pictures or of another scale, or
            crops do not fit.
    """
    pictures, arrays = load_training(path, crop), load_coded(coded, "training")
    smallest = int(arrays["sizes"].min())
    if crop % ALIGNMENT or crop > smallest:
        raise SmapcompError(
            f"--crop={crop}: allowed are multiples of {ALIGNMENT} up to the {smallest} of {coded}"
        )
    if _scale(arrays) != scale:
        raise SmapcompError(f"{coded} is of scale {_scale(arrays)}, not {scale}")
    _check_pairs(path, coded, np.asarray(pictures["sizes"]), arrays["sizes"])
    # One array a pass: all in one would have more values than 32 bits count.
    return {
        key: [jnp.asarray(a) for a in v] if key == "coded" else jnp.asarray(v)
        for key, v in arrays.items()
    } | {"image": pictures["image"]}


def load_coded_validation(path: str, coded: str) -> dict[str, np.ndarray]:
    """The validation split, each picture once a pass, cut to the largest common square.

    Returns:
        `image` uint8 [n, side, side, 3], `compact` uint8 [n, side/scale, side/scale, 3], `labels`
        uint8 [n, side/8, side/8] and `quality` int32 [n].

    Raises:
        SmapcompError: As `load_coded_training`.
    """
    pictures, arrays = load_pack(path, "validation"), load_coded(coded, "validation")
    _check_pairs(path, coded, pictures["sizes"], arrays["sizes"])
    side, passes = int(arrays["sizes"].min()), len(arrays["coded"])
    scale = _scale(arrays)
    grid, small = side // GRID, side // scale
    return {
        "image": np.tile(pictures["image"][:, :side, :side], (passes, 1, 1, 1)),
        "compact": np.concatenate([a[:, :small, :small] for a in arrays["coded"]]),
        "labels": np.tile(arrays["labels"][:, :grid, :grid], (passes, 1, 1)),
        "quality": arrays["qualities"].reshape(-1),
    }


def _scale(arrays) -> int:
    return arrays["labels"].shape[1] * GRID // arrays["coded"][0].shape[1]


def _check_pairs(path: str, coded: str, sizes: np.ndarray, coded_sizes: np.ndarray) -> None:
    if sizes.shape != coded_sizes.shape or np.any(sizes // ALIGNMENT * ALIGNMENT != coded_sizes):
        raise SmapcompError(f"{coded} is not of the pictures of {path}")


def as_coded_batch(image, compact, labels, quality):
    """A batch of stage lossy from integers; labels are those of the 1/8 grid."""
    seen = jnp.repeat(jnp.repeat(labels, GRID, axis=1), GRID, axis=2)
    return {
        "image": _signal(image),
        "compact": _signal(compact),
        "labels_seen": jnp.asarray(seen, jnp.int32),
        "level": 1.0 - jnp.asarray(quality, jnp.float32) / 100.0,
    }


def cut_coded(pictures, key, batch: int, crop: int):
    """Random crops of pictures and of what AV1 made of them.

    They begin at multiples of `ALIGNMENT`; mirrored both ways and transposed, each half of the
    time, as by `data.batches.coded_pipeline`.

    Args:
        pictures: What `load_coded` returns, and `image` uint8 [n, H, W, 3].
        key: JAX random key.
        batch: Number of crops.
        crop: Side, a multiple of `ALIGNMENT`; no picture is smaller.
    """
    scale, passes = _scale(pictures), len(pictures["coded"])
    keys = jax.random.split(key, 4)
    index = jax.random.randint(keys[0], (batch,), 0, pictures["image"].shape[0])
    number = jax.random.randint(keys[1], (batch,), 0, passes)
    room = (pictures["sizes"][index] - crop) // ALIGNMENT
    start = jnp.floor(jax.random.uniform(keys[2], (batch, 2)) * (room + 1)).astype(jnp.int32)
    start *= ALIGNMENT
    changes = jax.random.bernoulli(keys[3], shape=(batch, 3))

    def part(array, i, at, side):
        size = (1, side, side, *array.shape[3:])
        found = jax.lax.dynamic_slice(array, (i, *at, *[0] * (array.ndim - 3)), size)
        return found[0]

    def changed(cut, change):
        cut = jnp.where(change[0], cut[:, ::-1], cut)
        cut = jnp.where(change[1], cut[::-1], cut)
        return jnp.where(change[2], jnp.swapaxes(cut, 0, 1), cut)

    def one(i, which, at, change):
        cuts = {"image": part(pictures["image"], i, at, crop)}
        coded = [part(array, i, at // scale, crop // scale) for array in pictures["coded"]]
        cuts["compact"] = jnp.stack(coded)[which]
        cuts["labels"] = part(pictures["labels"], i, at // GRID, crop // GRID)
        return {name: changed(cut, change) for name, cut in cuts.items()}

    cuts = jax.vmap(one)(index, number, start, changes)
    return as_coded_batch(**cuts, quality=pictures["qualities"][number, index])
