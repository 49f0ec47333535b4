"""Batches for training: tf.data pipelines and JAX crops."""
