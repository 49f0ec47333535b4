"""Choice of the engine that runs the networks in this process.

No engine is loaded before a predictor is asked for.
"""

import functools
import importlib.util
import os
import sys
import threading

from smapcomp import zoo
from smapcomp.errors import SmapcompError
from smapcomp.keras_startup import import_keras
from smapcomp.models.weight_shapes import check_shapes
from smapcomp.predictors.local import LocalPredictor
from smapcomp.predictors.onnx_graphs import graph_file, weight_shapes

AUTO, ONNXRUNTIME, TENSORFLOW = ENGINES = ("auto", "onnxruntime", "tensorflow")
"""Names of the engines. "auto" is ONNX Runtime if there are graphs that fit the weights, else
TensorFlow."""

_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # Windows has no fork.
    # A thread of the parent may have held the lock; the child lacks that thread.
    os.register_at_fork(after_in_child=_renew_lock)


def choose_engine(variant: str, weights_dir: str | None = None, engine: str = AUTO) -> str:
    """Return the name of the engine that runs a variant's networks, not "auto".

    Args:
        variant: A key of `zoo.VARIANTS`.
        weights_dir: Folder of the weights; `None` for the bundled weights.
        engine: One of `ENGINES`.

    Raises:
        SmapcompError: The engine is unknown or not installed, or the weights cannot be read.
    """
    if engine not in ENGINES:
        raise SmapcompError(f"engine {engine!r} is unknown; allowed: {', '.join(ENGINES)}")
    found = tuple(name for name in ENGINES[1:] if _is_available(name, variant))
    if engine == AUTO and ONNXRUNTIME in found and not _graphs_fit_weights(variant, weights_dir):
        found = found[1:]
    if engine == AUTO and found:
        return found[0]
    if engine not in found:
        wanted = "TensorFlow" if engine != ONNXRUNTIME else "ONNX Runtime"
        has = f"; there is {', '.join(found)}" if found else ""
        raise SmapcompError(f"engine {engine!r}: no {wanted} for variant {variant!r}{has}")
    return engine


def load_predictor(
    variant: str, weights_dir: str | None = None, engine: str = AUTO
) -> LocalPredictor:
    """Return the predictor of a variant in this process; the last four are kept.

    Args:
        variant: A key of `zoo.VARIANTS`.
        weights_dir: Folder of the weights; `None` for the bundled weights.
        engine: One of `ENGINES`.

    Raises:
        SmapcompError: There are no such weights, or the engine is unknown or not installed.
    """
    engine = choose_engine(variant, weights_dir, engine)
    with _lock:  # Two threads must not build the same predictor.
        return _cached_predictor(variant, weights_dir, engine)


@functools.lru_cache(maxsize=4)
def _cached_predictor(variant: str, weights_dir: str | None, engine: str) -> LocalPredictor:
    networks = zoo.cached_networks(variant, weights_dir)
    # Each engine takes long to import and may be missing.
    if engine == ONNXRUNTIME:
        from smapcomp.predictors.onnx_predictor import OnnxPredictor

        return OnnxPredictor(networks)
    import_keras()
    from smapcomp.predictors.keras_predictor import KerasPredictor

    return KerasPredictor(networks)


def _is_available(engine: str, variant: str) -> bool:
    if engine == ONNXRUNTIME:
        return graph_file(variant, "segmenter").is_file() and _is_importable("onnxruntime")
    return _is_importable("tensorflow")


@functools.lru_cache(maxsize=2)  # As many as `zoo.cached_networks` keeps.
def _graphs_fit_weights(variant: str, weights_dir: str | None) -> bool:
    """Return whether the weights have the architecture of the graphs, as the bundled ones have."""
    if weights_dir is None:
        return True
    networks = zoo.cached_networks(variant, weights_dir)
    try:
        for role in zoo.ROLES:
            if networks.weights_file(role).is_file():
                check_shapes(networks.layer_weights(role), weight_shapes(variant, role))
    except ValueError:
        return False
    return True


def _is_importable(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    if package in sys.modules:
        return sys.modules[package] is not None  # Python's mark of a blocked import.
    return importlib.util.find_spec(package) is not None
