"""What runs the networks in this process; neither engine is loaded before it is asked for."""

import functools
import importlib.util
import sys
import threading

from smapcomp import zoo
from smapcomp.errors import SmapcompError
from smapcomp.keras_startup import import_keras
from smapcomp.models.weight_shapes import check_shapes
from smapcomp.predictors.local import LocalPredictor
from smapcomp.predictors.onnx_graphs import graph_file, weight_shapes

AUTO, ONNXRUNTIME, TENSORFLOW = ENGINES = ("auto", "onnxruntime", "tensorflow")
"""What may be asked for. "auto" codes with ONNX Runtime where there are graphs that take the
weights, and decodes with whichever of both computes what the encoder did."""

_loading = threading.Lock()


def check_engine(engine: str) -> None:
    """Raises a `SmapcompError` if it is none of `ENGINES`."""
    if engine not in ENGINES:
        raise SmapcompError(f"engine {engine!r} is unknown; allowed: {', '.join(ENGINES)}")


def engines_of(variant: str, weights_dir: str | None = None, engine: str = AUTO) -> tuple[str, ...]:
    """The engines that may run a variant's networks, the one to code with first.

    Args:
        variant, weights_dir: As `zoo.load` takes them.
        engine: One of `ENGINES`.

    Raises:
        SmapcompError: The engine that is asked for is unknown or not there, or "auto" finds no
            such weights.
    """
    check_engine(engine)
    found = tuple(name for name in (ONNXRUNTIME, TENSORFLOW) if _is_there(name, variant))
    if engine == AUTO and ONNXRUNTIME in found and not _graphs_take(variant, weights_dir):
        found = found[1:]
    if engine == AUTO and found:
        return found
    if engine not in found:
        wanted = "TensorFlow" if engine != ONNXRUNTIME else "ONNX Runtime"
        has = f"; there is {', '.join(found)}" if found else ""
        raise SmapcompError(f"engine {engine!r}: no {wanted} for variant {variant!r}{has}")
    return (engine,)


def predictor_of(variant: str, weights_dir: str | None = None, engine: str = AUTO):
    """The `LocalPredictor` of a variant; the last few are kept.

    Args:
        variant, weights_dir: As `zoo.load` takes them.
        engine: One of `ENGINES`; "auto" is the first of `engines_of`.

    Raises:
        SmapcompError: There are no such weights, or there is no such engine.
    """
    if engine == AUTO:
        engine = engines_of(variant, weights_dir)[0]
    with _loading:  # of two threads that ask at once, one makes it
        return _kept(variant, weights_dir, engine)


@functools.lru_cache(maxsize=4)
def _kept(variant: str, weights_dir: str | None, engine: str) -> LocalPredictor:
    engines_of(variant, weights_dir, engine)
    networks = zoo.load(variant, weights_dir)
    if engine == ONNXRUNTIME:
        from smapcomp.predictors.onnx_predictor import OnnxPredictor

        return OnnxPredictor(networks)
    import_keras()
    from smapcomp.predictors.keras_predictor import KerasPredictor

    return KerasPredictor(networks)


def _is_there(engine: str, variant: str) -> bool:
    if engine == ONNXRUNTIME:
        return graph_file(variant, "segmenter").is_file() and _importable("onnxruntime")
    return _importable("tensorflow")


@functools.lru_cache(maxsize=2)  # as `zoo.load`, of which it is asked again for each picture
def _graphs_take(variant: str, weights_dir: str | None) -> bool:
    """Whether the weights are those of the graphs' architecture; the box's are."""
    if weights_dir is None:
        return True
    networks = zoo.load(variant, weights_dir)
    try:
        for role in zoo.ROLES:
            if (networks.folder / f"{role}.npz").is_file():
                check_shapes(networks.arrays(role), weight_shapes(variant, role))
    except ValueError:
        return False
    return True


def _importable(package: str) -> bool:
    # Without loading it; None among the loaded ones marks what may not be.
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None
