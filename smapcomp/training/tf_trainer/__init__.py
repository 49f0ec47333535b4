"""Training loop for TensorFlow, on one device or many."""
