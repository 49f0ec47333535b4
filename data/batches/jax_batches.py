"""Batches for training with JAX, cut on the accelerator from pictures in its memory."""

import jax
import jax.numpy as jnp
import numpy as np

from data.batches.array_files import GRID, load_coded, load_pictures
from data.coded import ALIGNMENT
from smapcomp.errors import SmapcompError


def load_training(path: str, size: int) -> dict[str, jax.Array]:
    """Load the training split of an array file into the accelerator's memory.

    Args:
        path: Array file of `data.pack_pictures`.
        size: Side of the crops in pixels.

    Returns:
        The arrays of `array_files.load_pictures`, as `random_crops` takes them.

    Raises:
        SmapcompError: The file is not such an array file, or a picture is smaller than a crop.
    """
    arrays = load_pictures(path, "training")
    smallest = int(arrays["sizes"].min())
    if size > smallest:
        raise SmapcompError(
            f"size {size} of the crops exceeds the smallest side in {path}, {smallest} pixels"
        )
    return {key: jnp.asarray(value) for key, value in arrays.items()}


def load_validation(path: str) -> dict[str, np.ndarray]:
    """Load the validation split of an array file, cut at the top left to the largest common square.

    Args:
        path: Array file of `data.pack_pictures`.

    Returns:
        `image` uint8 [n, side, side, 3] and `label_map` uint8 [n, side, side].

    Raises:
        SmapcompError: The file is not such an array file.
    """
    arrays = load_pictures(path, "validation")
    side = int(arrays["sizes"].min()) // GRID * GRID
    return {
        "image": arrays["image"][:, :side, :side],
        "label_map": arrays["labels"][:, :side, :side],
    }


def as_batch(image, label_map):
    """Return the batch of uint8 arrays: `image` float32 in [-1, 1] and `label_map` int32."""
    return {"image": _signal(image), "label_map": jnp.asarray(label_map, jnp.int32)}


def _signal(image):
    return jnp.asarray(image, jnp.float32) / 127.5 - 1.0


def random_crops(pictures, key, batch_size: int, size: int):
    """Cut a batch of random crops, half of them mirrored.

    Args:
        pictures: `image` uint8 [n, H, W, 3], `labels` uint8 [n, H, W], `sizes` int [n, 2].
        key: JAX random key.
        batch_size: Number of crops.
        size: Side of the crops in pixels; no picture is smaller.
    """
    keys = jax.random.split(key, 3)
    index = jax.random.randint(keys[0], (batch_size,), 0, pictures["image"].shape[0])
    room = pictures["sizes"][index] - size
    start = jnp.floor(jax.random.uniform(keys[1], (batch_size, 2)) * (room + 1)).astype(jnp.int32)
    mirror = jax.random.bernoulli(keys[2], shape=(batch_size,))

    def one(i, at, flip):
        image = jax.lax.dynamic_slice(pictures["image"], (i, *at, 0), (1, size, size, 3))[0]
        labels = jax.lax.dynamic_slice(pictures["labels"], (i, *at), (1, size, size))[0]
        return jnp.where(flip, image[:, ::-1], image), jnp.where(flip, labels[:, ::-1], labels)

    return as_batch(*jax.vmap(one)(index, start, mirror))


def random_scaled_crops(pictures, key, batch_size: int, size: int, scales: tuple[float, float]):
    """Cut a batch of random crops of randomly scaled pictures, half of them mirrored.

    Beyond a picture, crops are grey and void.

    Args:
        pictures: As `random_crops` takes them.
        key: JAX random key.
        batch_size: Number of crops.
        size: Side of the crops in pixels.
        scales: Lowest and highest factor; the logarithm of the factor is uniform.
    """
    keys = jax.random.split(key, 4)
    index = jax.random.randint(keys[0], (batch_size,), 0, pictures["image"].shape[0])
    low, high = np.log2(scales)
    scale = 2.0 ** jax.random.uniform(keys[1], (batch_size,), minval=low, maxval=high)
    sizes = pictures["sizes"][index]
    room = sizes * scale[:, None] - size
    offset = -room * jax.random.uniform(keys[2], (batch_size, 2))
    mirror = jax.random.bernoulli(keys[3], shape=(batch_size,))
    centres = jnp.arange(size) + 0.5

    def one(i, picture_size, factor, shift, flip):
        image = pictures["image"][i].astype(jnp.float32) / 127.5 - 1.0
        image = jax.image.scale_and_translate(
            image, (size, size, 3), (0, 1), jnp.stack([factor, factor]), shift, "linear"
        )
        at = [jnp.floor((centres - shift[a]) / factor).astype(jnp.int32) for a in (0, 1)]
        inside = [(at[a] >= 0) & (at[a] < picture_size[a]) for a in (0, 1)]
        labels = pictures["labels"][i][at[0].clip(0)][:, at[1].clip(0)]
        labels = jnp.where(inside[0][:, None] & inside[1][None], labels, 0).astype(jnp.int32)
        image = jnp.where(flip, image[:, ::-1], image)
        return image, jnp.where(flip, labels[:, ::-1], labels)

    image, labels = jax.vmap(one)(index, sizes, scale, offset, mirror)
    return {"image": jnp.clip(image, -1.0, 1.0), "label_map": labels}


def load_coded_training(path: str, coded: str, size: int, scale: int) -> dict:
    """Load pictures and their coded compact images into the accelerator's memory.

    Args:
        path: Array file of `data.pack_pictures`.
        coded: Array file of `data.pack_coded` of the same pictures.
        size: Side of the crops in pixels.
        scale: Scale of the compact images.

    Returns:
        The arrays of `array_files.load_coded` and `image`, as `random_coded_crops` takes them.

    Raises:
        SmapcompError: A file is not such an array file, the files have different pictures or
            another scale, or the pictures do not allow such crops.
    """
    pictures, arrays = load_training(path, size), load_coded(coded, "training")
    smallest = int(arrays["sizes"].min())
    if size % ALIGNMENT or size > smallest:
        raise SmapcompError(
            f"size {size} of the crops is not allowed; it must be a multiple of {ALIGNMENT} up to "
            f"{smallest}, the smallest side in {coded}"
        )
    if _scale(arrays) != scale:
        raise SmapcompError(f"{coded} is of scale {_scale(arrays)}, not {scale}")
    _check_pairs(path, coded, np.asarray(pictures["sizes"]), arrays["sizes"])
    # One array for each pass: a single one would have more values than 32 bits can count.
    return {
        key: [jnp.asarray(a) for a in v] if key == "coded" else jnp.asarray(v)
        for key, v in arrays.items()
    } | {"image": pictures["image"]}


def load_coded_validation(path: str, coded: str) -> dict[str, np.ndarray]:
    """Load the validation split, each picture once for each pass, cut to the largest common square.

    Args:
        path: Array file of `data.pack_pictures`.
        coded: Array file of `data.pack_coded` of the same pictures.

    Returns:
        `image` uint8 [n, side, side, 3], `compact` uint8 [n, side/scale, side/scale, 3], `labels`
        uint8 [n, side/8, side/8] and `quality` int32 [n].

    Raises:
        SmapcompError: A file is not such an array file, or the files have different pictures.
    """
    pictures, arrays = load_pictures(path, "validation"), load_coded(coded, "validation")
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
        raise SmapcompError(f"{coded} does not belong to the pictures of {path}")


def as_coded_batch(image, compact, labels, quality):
    """Return the batch of stage lossy of integer arrays.

    Args:
        image: Pictures, uint8 [B, side, side, 3].
        compact: Decoded compact images, uint8 [B, side/scale, side/scale, 3].
        labels: Label grids, [B, side/8, side/8] of 0..150.
        quality: Quality of each compact image, [B] in 0..100.

    Returns:
        `image` and `compact` float32 in [-1, 1], `labels_seen` int32 [B, side, side], `level`
        float32 [B], which is 1 - quality/100.
    """
    seen = jnp.repeat(jnp.repeat(labels, GRID, axis=1), GRID, axis=2)
    return {
        "image": _signal(image),
        "compact": _signal(compact),
        "labels_seen": jnp.asarray(seen, jnp.int32),
        "level": 1.0 - jnp.asarray(quality, jnp.float32) / 100.0,
    }


def random_coded_crops(pictures, key, batch_size: int, size: int):
    """Cut a batch of random crops of pictures and of their coded compact images.

    Crops begin at multiples of `ALIGNMENT`. They are mirrored in either direction and transposed,
    each with probability 1/2, as by `data.batches.coded_pipeline`.

    Args:
        pictures: Result of `load_coded_training`.
        key: JAX random key.
        batch_size: Number of crops.
        size: Side of the crops in pixels, a multiple of `ALIGNMENT`; no picture is smaller.
    """
    scale, passes = _scale(pictures), len(pictures["coded"])
    keys = jax.random.split(key, 4)
    index = jax.random.randint(keys[0], (batch_size,), 0, pictures["image"].shape[0])
    number = jax.random.randint(keys[1], (batch_size,), 0, passes)
    room = (pictures["sizes"][index] - size) // ALIGNMENT
    start = jnp.floor(jax.random.uniform(keys[2], (batch_size, 2)) * (room + 1)).astype(jnp.int32)
    start *= ALIGNMENT
    changes = jax.random.bernoulli(keys[3], shape=(batch_size, 3))

    def cut(array, i, at, side):
        shape = (1, side, side, *array.shape[3:])
        return jax.lax.dynamic_slice(array, (i, *at, *[0] * (array.ndim - 3)), shape)[0]

    def changed(array, change):
        array = jnp.where(change[0], array[:, ::-1], array)
        array = jnp.where(change[1], array[::-1], array)
        return jnp.where(change[2], jnp.swapaxes(array, 0, 1), array)

    def one(i, which, at, change):
        cuts = {"image": cut(pictures["image"], i, at, size)}
        coded = [cut(array, i, at // scale, size // scale) for array in pictures["coded"]]
        cuts["compact"] = jnp.stack(coded)[which]
        cuts["labels"] = cut(pictures["labels"], i, at // GRID, size // GRID)
        return {name: changed(array, change) for name, array in cuts.items()}

    cuts = jax.vmap(one)(index, number, start, changes)
    return as_coded_batch(**cuts, quality=pictures["qualities"][number, index])
