"""Predictors whose arithmetic differs a little, as on another machine."""

from collections.abc import Callable

import keras
from keras import ops

from smapcomp.predictors.keras_predictor import KerasPredictor


def bfloat16(x):
    """Round every activation to bfloat16."""
    return ops.cast(ops.cast(x, "bfloat16"), "float32")


class PerturbedPredictor(KerasPredictor):
    """Predictor that changes the output of every layer of every network.

    Args:
        networks: As `KerasPredictor` takes them.
        change: Function of a float tensor that returns another.
    """

    def __init__(self, networks, change: Callable):
        super().__init__(networks)
        self._change = change

    def _load_network(self, role: str):
        changed = _with_change(self.networks.model(role), self._change)
        return lambda *inputs: changed(list(inputs) if len(inputs) > 1 else inputs[0])


class _Changed(keras.layers.Layer):
    def __init__(self, change: Callable):
        super().__init__()
        self.change = change

    def call(self, x):
        # A layer of labels returns integers, whatever its symbolic dtype is.
        return self.change(x) if keras.backend.is_float_dtype(x.dtype) else x

    def compute_output_spec(self, x):
        # Without it Keras would trace each change to find the shape.
        return keras.KerasTensor(x.shape, x.dtype)


def _with_change(model: keras.Model, change: Callable) -> keras.Model:
    def call(layer, *args, **kwargs):
        out = layer(*args, **kwargs)
        return out if isinstance(out, list) else _Changed(change)(out)

    clone = keras.models.clone_model(model, call_function=call, clone_function=lambda layer: layer)
    clone.set_weights(model.get_weights())
    return clone
