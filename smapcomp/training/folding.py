"""Float weights of the lite networks in the form that their exact networks start from.

Batch normalisation becomes part of the convolutions, and the FineNets take and return signals in
units of 128 grey levels instead of 127.5 (`exact_layers.ExactSignal`).
"""

from collections.abc import Mapping

import numpy as np

from smapcomp.models.architecture import GREY_SCALE
from smapcomp.models.backbones import LITE0_BN_EPSILON
from smapcomp.models.exact_segmenter import BRANCH_FILTERS, HEADS
from smapcomp.models.exact_weights import layer_arrays, layer_names
from smapcomp.models.smapnet import NORM_EPSILON
from smapcomp.zoo import FINENETS

Arrays = dict[str, np.ndarray]


def folded(role: str, weights: Mapping[str, np.ndarray]) -> Arrays:
    """Return kernels and biases of an exact network's layers.

    Args:
        role: A network of the lite variant that a decoder runs.
        weights: Its float weights by `layer/variable`.

    Returns:
        float32 arrays by `layer/variable`.

    Raises:
        ValueError: CompNet, which only the encoder runs, has no exact form.
    """
    arrays = {key: np.asarray(array, np.float32) for key, array in weights.items()}
    if role in FINENETS:
        return _finenet(arrays)
    if role == "segmenter":
        return _segmenter(arrays)
    if role == "smapnet":
        return _smapnet(arrays)
    raise ValueError(
        f"{role} has no exact form; allowed: {', '.join(FINENETS)}, segmenter, smapnet"
    )


def _finenet(arrays: Arrays) -> Arrays:
    result = dict(arrays)
    kernel = arrays["conv0/kernel"].copy()
    # The last of 13 channels is the level of the coding, the others are the picture's.
    channels = kernel.shape[2] - kernel.shape[2] % 12
    kernel[:, :, :channels] /= GREY_SCALE
    result["conv0/kernel"] = kernel
    for name in ("detail/kernel", "detail/bias"):
        result[name] = arrays[name] * np.float32(GREY_SCALE)
    return result


def _segmenter(arrays: Arrays) -> Arrays:
    result: Arrays = {}
    for layer in layer_names(arrays):
        if layer.endswith("_bn"):
            continue
        kernel = arrays[f"{layer}/kernel"]
        norm = layer_arrays(arrays, f"{layer}_bn")
        if norm:
            scale, offset = _normalisation(norm, LITE0_BN_EPSILON)
            kernel = kernel * (scale[:, None] if layer.endswith("_depthwise") else scale)
        else:
            offset = arrays[f"{layer}/bias"]
        result |= {f"{layer}/kernel": kernel, f"{layer}/bias": offset}
    kernel, bias = result.pop("head/kernel"), result.pop("head/bias")
    ends = np.cumsum(
        [kernel.shape[2] - BRANCH_FILTERS * (len(HEADS) - 1), *[BRANCH_FILTERS] * (len(HEADS) - 1)]
    )
    for name, part in zip(HEADS, np.split(kernel, ends[:-1], axis=2), strict=True):
        result |= {f"{name}/kernel": part, f"{name}/bias": bias}
        bias = np.zeros_like(bias)  # The first one adds it.
    return result


def _smapnet(arrays: Arrays) -> Arrays:
    scale, offset = _normalisation(layer_arrays(arrays, "norm"), NORM_EPSILON)
    kernels = {key: array for key, array in arrays.items() if key.endswith("/kernel")}
    biases = {
        key.replace("/kernel", "/bias"): np.zeros(array.shape[-1], np.float32)
        for key, array in kernels.items()
    }
    return kernels | biases | {"norm/kernel": scale[None, None, :, None], "norm/bias": offset}


def _normalisation(norm: Mapping[str, np.ndarray], epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and offset that a batch normalisation stands for."""
    scale = norm["gamma"] / np.sqrt(norm["moving_variance"] + epsilon)
    return scale, norm["beta"] - norm["moving_mean"] * scale
