"""The stages of training: networks, losses and metrics, independent of the loop."""
