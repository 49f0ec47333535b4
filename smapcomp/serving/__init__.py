"""Export of the networks for TensorFlow Serving, and the client (docs/serving.md)."""
