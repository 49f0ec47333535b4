"""Training loop of the TensorFlow backend, for one device or many."""
