"""Client of a server that runs the networks; it needs no TensorFlow."""
