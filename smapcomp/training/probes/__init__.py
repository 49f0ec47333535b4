"""Probes of the TensorFlow backend: validation, pictures, real coding."""
