"""Client of a server that runs the networks; it does not load TensorFlow."""
