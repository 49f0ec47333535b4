"""Stages of training: networks, losses and metrics, independent of loop and backend."""
