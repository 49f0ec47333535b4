"""Batches for training: transforms and tf.data pipelines for TensorFlow, crops for JAX."""
