"""Number format of the networks' computation, and recomputation of activations."""

from collections.abc import Callable

import keras

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
"""Keras' dtype policy for each precision."""


def with_precision(build: Callable[..., keras.Model], precision: str, *args, **kwargs):
    """Build a network that computes in a precision; its weights are always float32.

    Args:
        build: Function that builds the network.
        precision: A key of `POLICIES`. float16 needs loss scaling.
        *args: Positional arguments of `build`.
        **kwargs: Keyword arguments of `build`.

    Returns:
        The network.
    """
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        return build(*args, **kwargs)
    finally:
        keras.config.set_dtype_policy(previous)


def recomputed(network: keras.Model) -> Callable:
    """Return a function that calls a network and keeps no activations for its gradient.

    The backward pass computes them again. That takes a third more work (four passes instead of
    three) and the memory of one network at a time instead of all. It does not suit networks with a
    state: batch normalisation would count a batch twice, and dropout would drop other values the
    second time.

    Args:
        network: Network of Keras' TensorFlow backend that takes a tensor, or a list of a tensor and
            a label map.
    """
    # Building networks needs no TensorFlow under another backend.
    import tensorflow as tf

    def call(inputs, training: bool = False):
        tensor, *labels = inputs if isinstance(inputs, (list, tuple)) else (inputs,)

        @tf.recompute_grad
        def run(tensor, *labels):
            label_maps = [tf.cast(label_map, tf.int32) for label_map in labels]
            return network([tensor, *label_maps] if label_maps else tensor, training=training)

        # TensorFlow delays the second computation until the gradients of its float arguments are
        # due. If the labels were no such arguments, everything that depends on labels alone would
        # be computed again at once and kept, which costs more memory than it saves.
        return run(tensor, *(tf.cast(label_map, tf.float32) for label_map in labels))

    return call
