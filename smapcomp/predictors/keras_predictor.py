"""The networks of this process by Keras.

Under TensorFlow each network is compiled once, for any picture size: a graph made for one size may
round differently from a graph made for another, and a stream would then decode only in a process
with the same history.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from smapcomp.predictors.local import LocalPredictor
from smapcomp.zoo import LOSSY_FINENETS, Networks


class KerasPredictor(LocalPredictor):
    """Runs the networks with Keras."""

    def _run(self, role: str, *inputs: np.ndarray) -> np.ndarray:
        tensors = map(ops.convert_to_tensor, inputs)
        return ops.convert_to_numpy(self._network(role)(*tensors))

    def _load_network(self, role: str) -> Callable:
        """A network as a function of tensors."""
        return compiled(self.networks, role)

    def _smapnet_channels(self) -> int:
        return self.networks.smapnet.input_shape[-1]


def compiled(networks: Networks, role: str) -> Callable:
    """A network as a function of its inputs, for batches of one picture of any size."""
    model = model_of(networks, role)

    def run(*inputs):
        return model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

    if keras.backend.backend() != "tensorflow":
        return run
    import tensorflow as tf

    signature = [tf.TensorSpec((1, *x.shape[1:]), x.dtype) for x in model.inputs]
    return tf.function(run, input_signature=signature)


def model_of(networks: Networks, role: str) -> keras.Model:
    """The Keras model of one of `zoo.ROLES`."""
    return networks.lossy_finenet(role) if role in LOSSY_FINENETS else getattr(networks, role)
