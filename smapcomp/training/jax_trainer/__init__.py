"""Training loop of the JAX backend, for one accelerator."""
