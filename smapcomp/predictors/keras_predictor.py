"""Networks run by Keras in this process.

Under TensorFlow each network is compiled once for all picture sizes. A graph compiled for one size
may round differently from a graph compiled for another, so with a graph for each size a stream
could depend on which pictures the process has coded before.

TensorFlow does not survive a fork: in a child of a process that has run a network, the first
operation would wait for ever. The predictor raises an error there instead.
"""

import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from smapcomp.errors import SmapcompError
from smapcomp.predictors.local import LocalPredictor
from smapcomp.zoo import Networks

_first_process: int | None = None
"""Process that first loaded a network; a child of a fork has its parent's value."""


class KerasPredictor(LocalPredictor):
    """Predictor that runs the networks with Keras."""

    engine = keras.backend.backend()

    def _network(self, role: str) -> Any:
        _refuse_fork()
        return super()._network(role)

    def _load_network(self, role: str) -> Callable:
        return compile_network(self.networks, role)

    def _run(self, role: str, *inputs: np.ndarray) -> np.ndarray:
        tensors = map(ops.convert_to_tensor, inputs)
        return ops.convert_to_numpy(self._network(role)(*tensors))

    def _smapnet_channels(self) -> int:
        return self.networks.model("smapnet").input_shape[-1]


def _refuse_fork() -> None:
    """Check that no parent of this process has run a network.

    Raises:
        SmapcompError: One has.
    """
    global _first_process
    if _first_process is None:
        _first_process = os.getpid()
    elif _first_process != os.getpid():
        raise SmapcompError(
            "engine 'tensorflow' has run in the parent of this process and cannot run after a "
            "fork; start processes with the method 'spawn', or load the engine in the child alone"
        )


def compile_network(networks: Networks, role: str) -> Callable:
    """Return a network as a function of its input tensors, for one picture of any size.

    Args:
        networks: Networks of a variant.
        role: One of `zoo.ROLES`.
    """
    model = networks.model(role)

    def run(*inputs):
        return model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

    if keras.backend.backend() != "tensorflow":
        return run
    # Another backend does not need TensorFlow.
    import tensorflow as tf

    signature = [tf.TensorSpec((1, *x.shape[1:]), x.dtype) for x in model.inputs]
    return tf.function(run, input_signature=signature)
