"""VGG-16 and VGG-19 as feature extractors for the perceptual loss."""

import os
import zipfile
from collections.abc import Iterable

import keras
import numpy as np
from keras import layers, ops

from smapcomp.errors import SmapcompError

_VGG16_CONVS = (2, 2, 3, 3, 1)
_VGG19_CONVS = (2, 2, 4, 4, 1)
_FILTERS = (64, 128, 256, 512, 512)

_MEAN_BGR = (103.939, 116.779, 123.68)
"""Mean of ImageNet's pixels, blue first, that the published weights expect to be subtracted."""

_PIXEL_STD = 0.225 * 255
"""Standard deviation of ImageNet's pixels in 0..255."""


def build_vgg19_features(weights_path: str | os.PathLike | None = None) -> keras.Model:
    """Build VGG-19 up to relu5_1, the network of the papers' perceptual loss.

    The published Keras weights take pixels in 0..255, but the papers' loss weights (docs/spec.md,
    section 3) were chosen for a network that takes pixels of unit variance. The features are
    therefore divided by the standard deviation of ImageNet's pixels, 57.375. VGG is homogeneous, so
    they then have the magnitude that those loss weights expect.

    Args:
        weights_path: Weights of `keras.applications` ("notop", `.h5`), or `.npz` of arrays
            `block1_conv1_kernel` `[height, width, in, out]`, `block1_conv1_bias` `[out]` and so on,
            of any float type. Layers behind block5_conv1 are ignored. `None` leaves the weights
            random.

    Returns:
        Model of float `[batch, height, width, 3]`, RGB in [-1, 1], with sides of at least 16, to
        the list of relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1: float
        `[batch, height / 2^k, width / 2^k, filters]`, k = 0..4, rounded down.

    Raises:
        SmapcompError: The file has another format, lacks a layer, or its arrays do not fit.
        FileNotFoundError: There is no such file.
    """
    return _build("vgg19_features", _VGG19_CONVS, weights_path)


def build_vgg16_features(weights_path: str | os.PathLike | None = None) -> keras.Model:
    """Build VGG-16 up to relu5_1; all else is as in `build_vgg19_features`."""
    return _build("vgg16_features", _VGG16_CONVS, weights_path)


def _build(name: str, convs: tuple[int, ...], weights_path: str | os.PathLike | None):
    image = keras.Input((None, None, 3), name="image")
    x = ops.flip(image, axis=-1)
    x = layers.Rescaling(127.5, [127.5 - mean for mean in _MEAN_BGR], name="pixels")(x)
    outputs = []
    for block, (filters, count) in enumerate(zip(_FILTERS, convs, strict=True), 1):
        if block > 1:
            x = layers.MaxPooling2D(2, name=f"block{block - 1}_pool")(x)
        for i in range(1, count + 1):
            x = layers.Conv2D(
                filters, 3, padding="same", activation="relu", name=f"block{block}_conv{i}"
            )(x)
            if i == 1:
                outputs.append(layers.Rescaling(1 / _PIXEL_STD, name=f"relu{block}_1")(x))
    model = keras.Model(image, outputs, name=name)
    if weights_path is not None:
        _load(model, str(weights_path))
    return model


def _load(model: keras.Model, path: str) -> None:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such weights file")
    convs = {layer.name: layer for layer in model.layers if isinstance(layer, layers.Conv2D)}
    shapes = {name: [tuple(w.shape) for w in conv.weights] for name, conv in convs.items()}
    try:
        arrays = _read_npz(path, shapes) if path.endswith(".npz") else _read_h5(path, shapes)
        for name, (kernel, bias) in shapes.items():
            found = [array.shape for array in arrays[name]]
            if found != [kernel, bias]:
                raise ValueError(
                    f"layer {name} has arrays of shapes {', '.join(map(str, found)) or 'none'}; "
                    f"required are a kernel {kernel} and a bias {bias}"
                )
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise SmapcompError(f"{path}: not the weights of {model.name}: {error}") from error
    for name, conv in convs.items():
        conv.set_weights([array.astype(np.float32) for array in arrays[name]])


def _read_npz(path: str, names: Iterable[str]) -> dict[str, list[np.ndarray]]:
    """Return kernel and bias of each layer, as far as the file has them."""
    with open(path, "rb") as file, np.load(file) as arrays:
        return {
            name: [arrays[key] for key in (f"{name}_kernel", f"{name}_bias") if key in arrays]
            for name in names
        }


def _read_h5(path: str, names: Iterable[str]) -> dict[str, list[np.ndarray]]:
    """Return kernel and bias of each layer, as far as the file has them.

    The names of the arrays in a layer's group depend on the release of Keras that wrote the file.
    """
    import h5py  # Loaded for such files only.

    found: dict[str, list[np.ndarray]] = {}
    with h5py.File(path) as file:
        for name in names:
            values: list[np.ndarray] = []
            if name in file:
                file[name].visititems(
                    lambda _, item, values=values: (
                        values.append(item[()]) if isinstance(item, h5py.Dataset) else None
                    )
                )
            found[name] = sorted(values, key=lambda array: -array.ndim)
    return found
