"""Networks run by ONNX Runtime in this process.

ONNX Runtime starts in a tenth of TensorFlow's time. A graph holds the architecture of one network
(`tools.onnx_graphs` writes it); the weights come from the files that Keras loads too. Results do
not depend on the number of threads; those of exact networks are TensorFlow's.

A child of `os.fork` has no copy of the threads of the parent's sessions. To run such a session, or
to free it, would wait for these threads for ever. The child therefore leaves the parent's sessions
alone and loads its own when it runs a network.
"""

import ctypes
import os
import weakref

import numpy as np

# ONNX Runtime 1.32 sends telemetry from a thread that it starts when it is imported. A codec has no
# use for it, and at the exit of a child of os.fork, which lacks the thread, it waits for ever.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from smapcomp.errors import SmapcompError
from smapcomp.models.weight_shapes import check_shapes
from smapcomp.predictors.local import LocalPredictor
from smapcomp.predictors.onnx_graphs import graph_file, weight_shapes
from smapcomp.zoo import Networks

_LOG_ERRORS_ONLY = 3


class OnnxPredictor(LocalPredictor):
    """Predictor that runs the networks with ONNX Runtime on the CPU.

    It uses as many threads as the environment variable OMP_NUM_THREADS says, by default one for
    each core.

    Args:
        networks: Networks of a variant that has graphs.
    """

    engine = "onnxruntime"

    def __init__(self, networks: Networks):
        super().__init__(networks)
        # ONNX Runtime does not copy the weights, so they must live as long as the sessions.
        self._weights: dict[str, list] = {}
        _predictors.add(self)

    def _load_network(self, role: str) -> onnxruntime.InferenceSession:
        variant = self.variant.name
        stored = self.networks.layer_weights(role)
        try:
            check_shapes(stored, weight_shapes(variant, role))
        except ValueError as error:
            raise SmapcompError(f"{self.networks.weights_file(role)}: {error}") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _LOG_ERRORS_ONLY
        options.intra_op_num_threads = thread_count()
        # Idle threads would take processor time from the coders.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in stored.items()}
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
        self._weights[role] = [arrays, values]
        options.add_external_initializers(list(arrays), values)
        graph = graph_file(variant, role).read_bytes()
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def _run(self, role: str, *inputs: np.ndarray) -> np.ndarray:
        session = self._network(role)
        names = [entry.name for entry in session.get_inputs()]
        return session.run(None, dict(zip(names, inputs, strict=True)))[0]

    def _smapnet_channels(self) -> int:
        return self._network("smapnet").get_inputs()[0].shape[-1]

    def abandon_sessions(self) -> None:
        """Forget all sessions without freeing them, so that the next run loads new ones.

        Only the child of a fork needs this. Its memory is shared with the parent until it is
        written, so the old sessions cost little.
        """
        for kept in (*self._loaded.values(), self._weights):
            # Without this reference Python would free the object at exit at the latest.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
        self._forget_networks()
        self._weights = {}


_predictors: weakref.WeakSet[OnnxPredictor] = weakref.WeakSet()


def _abandon_all_sessions() -> None:
    for predictor in list(_predictors):
        predictor.abandon_sessions()


if hasattr(os, "register_at_fork"):  # Windows has no fork.
    os.register_at_fork(after_in_child=_abandon_all_sessions)


def thread_count() -> int:
    """Return the number of threads of a session; 0 stands for one for each core."""
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isascii() and value.isdigit() else 0
