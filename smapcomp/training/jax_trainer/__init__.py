"""Training loop for JAX, on one accelerator."""
