"""Export of the networks for TensorFlow Serving, and its client (docs/serving.md)."""
