"""The networks of this process by ONNX Runtime, which is there in a tenth of TensorFlow's time.

A graph is the architecture of one network, made by `tools.onnx_graphs`; weights are those
files that Keras loads too. Its results don't depend on the number of threads. They are not
TensorFlow's to the bit.
"""

import os

import numpy as np
import onnxruntime

from smapcomp.errors import SmapcompError
from smapcomp.models.weight_shapes import check_shapes
from smapcomp.predictors.local import LocalPredictor
from smapcomp.predictors.onnx_graphs import graph_file, weight_shapes
from smapcomp.zoo import Networks

_ERRORS_ONLY = 3


class OnnxPredictor(LocalPredictor):
    """As `LocalPredictor`, by ONNX Runtime on the CPU.

    Takes as many threads as the environment variable OMP_NUM_THREADS says, by default one a core.

    Args:
        networks: Of a variant that has graphs.
    """

    def __init__(self, networks: Networks):
        super().__init__(networks)
        # The sessions' weights, which ONNX Runtime does not copy.
        self._weights: dict[str, list] = {}

    def _run(self, role: str, *inputs: np.ndarray) -> np.ndarray:
        session = self._network(role)
        names = [entry.name for entry in session.get_inputs()]
        return session.run(None, dict(zip(names, inputs, strict=True)))[0]

    def _smapnet_channels(self) -> int:
        return self._network("smapnet").get_inputs()[0].shape[-1]

    def _load_network(self, role: str) -> onnxruntime.InferenceSession:
        variant, path = self.variant.name, self.networks.folder / f"{role}.npz"
        stored = self.networks.arrays(role)
        try:
            check_shapes(stored, weight_shapes(variant, role))
        except ValueError as error:
            raise SmapcompError(f"{path}: {error}") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = threads()
        # Idle threads would take the processor from the coders.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in stored.items()}
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
        self._weights[role] = [arrays, values]
        options.add_external_initializers(list(arrays), values)
        graph = graph_file(variant, role).read_bytes()
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def threads() -> int:
    """How many threads a network runs in; 0: one a core."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isascii() and asked.isdigit() else 0
