"""Training of the networks: stages, optimizers, checkpoints, and a loop for each framework."""
