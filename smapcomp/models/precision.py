"""In what numbers networks compute, and what of it they keep for the backward pass."""

from collections.abc import Callable

import keras

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def with_precision(build: Callable[..., keras.Model], precision: str, *args, **kwargs):
    """A network that computes in a precision; its weights are float32 in any case.

    Args:
        build: Called with the other arguments under the precision's policy.
        precision: A key of `POLICIES`. float16 needs loss scaling.
    """
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        return build(*args, **kwargs)
    finally:
        keras.config.set_dtype_policy(previous)


def recomputed(network: keras.Model) -> Callable:
    """A function that calls a network and keeps none of its inner results for the gradient.

    They are computed again in the backward pass: a third more work (four passes instead of three)
    for memory of one network at a time instead of all. Not for networks with a state: batch
    normalisation would take a batch in twice, dropout would drop other values the second time.

    Args:
        network: Takes a tensor, or a list of one and of a label map. Of Keras' TensorFlow backend.
    """
    import tensorflow as tf

    def call(inputs, training: bool = False):
        tensor, *labels = inputs if isinstance(inputs, (list, tuple)) else (inputs,)

        @tf.recompute_grad
        def run(tensor, *labels):
            labels = [tf.cast(label_map, tf.int32) for label_map in labels]
            return network([tensor, *labels] if labels else tensor, training=training)

        # As arguments, and as floats, labels too wait for the backward pass: TensorFlow holds the
        # second computation back by its arguments. Left outside, what depends on labels alone
        # would be computed again at once and kept, which costs more memory than it saves.
        return run(tensor, *(tf.cast(label_map, tf.float32) for label_map in labels))

    return call
